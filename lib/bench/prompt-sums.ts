// Runs added up by arm and prompt, in the form that statistics draw from.

import type { BenchRun, RunFigures } from './bench-result.js';

/** Tokens and decode time of one arm on one prompt, over its runs. */
export interface PromptSums {
  promptId: string;
  kind: string;
  runs: number;
  tokens: number;
  ms: number;
}

/** Which tokens of a run count. */
export type Part = 'all' | 'beforeLoop';

/** Sums by prompt, for every arm. A prompt without a token that counts is left out. */
export function sumsByPrompt(runs: readonly BenchRun[], part: Part): Map<string, Map<string, PromptSums>> {
  const arms = new Map<string, Map<string, PromptSums>>();
  for (const run of runs) {
    const figures: RunFigures = run[part];
    const prompts = arms.get(run.arm) ?? new Map<string, PromptSums>();
    arms.set(run.arm, prompts);
    if (figures.tokens === 0) continue;
    const sums = prompts.get(run.promptId);
    if (sums) {
      sums.runs++;
      sums.tokens += figures.tokens;
      sums.ms += figures.decodeMs;
    } else {
      const { promptId, kind } = run;
      prompts.set(promptId, { promptId, kind, runs: 1, tokens: figures.tokens, ms: figures.decodeMs });
    }
  }
  return arms;
}

/** Values of each kind, in the order in which the kinds come. */
export function byKind<T>(values: readonly T[], kindOf: (value: T) => string): Map<string, T[]> {
  const kinds = new Map<string, T[]>();
  for (const value of values) {
    const kind = kindOf(value);
    const list = kinds.get(kind);
    if (list) list.push(value);
    else kinds.set(kind, [value]);
  }
  return kinds;
}

/** Tokens per second: sum of tokens over sum of time. */
export function speedOf(sums: readonly { tokens: number; ms: number }[]): number {
  let tokens = 0;
  let ms = 0;
  for (const sum of sums) {
    tokens += sum.tokens;
    ms += sum.ms;
  }
  return (1000 * tokens) / ms;
}

/** Tokens per second of each kind. */
export function speedsOf(sums: readonly PromptSums[]): number[] {
  return [...byKind(sums, ({ kind }) => kind).values()].map(speedOf);
}
