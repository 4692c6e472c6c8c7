// Baselines: the speeds of a benchmark kept in a file, and a later benchmark compared with them.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { AdaptiveSpecError } from '../errors.js';
import type { BenchResult, Interval } from './bench-result.js';
import { ratioInterval } from './comparisons.js';
import { byKind } from './prompt-sums.js';
import { randomFrom } from './random.js';

/** Slower by more than this share, and surely slower at all, is a regression. */
export const TOLERANCE = 0.05;

const entry = v.object({
  arm: v.string(),
  promptId: v.string(),
  kind: v.string(),
  temperature: v.number(),
  /** Before the first loop, over all runs. */
  tokens: v.number(),
  ms: v.number(),
});

const schema = v.object({
  format: v.literal('adaptive-spec-bench-baseline'),
  version: v.literal(1),
  createdAt: v.string(),
  commit: v.string(),
  fit: v.boolean(),
  /** What must be the same for two benchmarks to be compared. */
  conditions: v.record(v.string(), v.union([v.string(), v.number()])),
  entries: v.array(entry),
});

export type Baseline = v.InferOutput<typeof schema>;

/** An arm's speed over the baseline's. */
export interface BaselineComparison {
  arm: string;
  temperature: number;
  ratio: Interval;
  regression: boolean;
}

export interface BaselineVerdict {
  status: 'no regression' | 'regression' | 'incomparable';
  comparisons: BaselineComparison[];
  /** Why nothing can be said. */
  reasons: string[];
}

export function baselineOf(result: BenchResult): Baseline {
  const entries = new Map<string, Baseline['entries'][number]>();
  for (const { arm, promptId, kind, temperature, beforeLoop } of result.runs) {
    const key = JSON.stringify([arm, promptId, temperature]);
    const one = entries.get(key) ?? { arm, promptId, kind, temperature, tokens: 0, ms: 0 };
    one.tokens += beforeLoop.tokens;
    one.ms += beforeLoop.decodeMs;
    entries.set(key, one);
  }
  return {
    format: 'adaptive-spec-bench-baseline',
    version: 1,
    createdAt: result.createdAt,
    commit: String(result.environment.commit),
    fit: result.fitness.fit,
    conditions: conditionsOf(result),
    entries: [...entries.values()].filter(({ tokens }) => tokens > 0),
  };
}

function conditionsOf({ environment, settings }: BenchResult): Baseline['conditions'] {
  const { cpu, kernels, targetThreads, models, promptsSha256 } = environment;
  return {
    cpu: String(cpu),
    kernels: String(kernels),
    threads: Number(targetThreads),
    models: (models as { sha256: string }[]).map(({ sha256 }) => sha256).join(' '),
    prompts: String(promptsSha256),
    maxTokens: settings.maxTokens,
    seed: settings.seed,
  };
}

/** SHA-256 of ids and texts of prompts, whatever their order. */
export function hashPrompts(prompts: readonly { id: string; prompt: string }[]): string {
  const lines = prompts.map(({ id, prompt }) => JSON.stringify([id, prompt])).sort();
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

/** Reads a file that `baselineOf` was written to. Throws INVALID_ARGUMENT. */
export function readBaseline(path: string): Baseline {
  const hint = 'Give a file that --save-baseline wrote.';
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const message = `The baseline ${path} can't be read: ${(cause as Error).message}`;
    throw new AdaptiveSpecError('INVALID_ARGUMENT', message, hint, { cause });
  }
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const where = v.getDotPath(result.issues[0]) ?? 'its form';
  throw new AdaptiveSpecError('INVALID_ARGUMENT', `${path} is no baseline: ${where} is not right`, hint);
}

/**
 * Compares arm by arm, paired by prompt. A regression: slower by more than the tolerance, with the whole interval below
 * no change. Incomparable: other conditions, an arm that was not measured again, or (unless allowed) an unfit run on
 * either side.
 */
export function compareWithBaseline(
  result: BenchResult,
  baseline: Baseline,
  { tolerance = TOLERANCE, allowUnfit = false }: { tolerance?: number; allowUnfit?: boolean } = {},
): BaselineVerdict {
  const now = baselineOf(result);
  const reasons: string[] = [];
  for (const [name, value] of Object.entries(baseline.conditions)) {
    if (now.conditions[name] !== value)
      reasons.push(`${name} was ${shorten(value)} and is ${shorten(now.conditions[name])}`);
  }
  if (!allowUnfit && !baseline.fit) reasons.push('the baseline was made on a machine that was not quiet');
  if (!allowUnfit && !now.fit) reasons.push(`this run is unfit: ${result.fitness.reasons.join('; ')}`);
  const comparisons: BaselineComparison[] = [];
  const random = randomFrom(result.settings.seed + 1000);
  for (const [key, before] of byKind(baseline.entries, keyOf)) {
    const after = new Map(now.entries.filter((one) => keyOf(one) === key).map((one) => [one.promptId, one]));
    const pairs = before.flatMap((old) => {
      const one = after.get(old.promptId);
      return one ? [{ kind: old.kind, ratio: one.tokens / one.ms / (old.tokens / old.ms) }] : [];
    });
    const { arm, temperature } = before[0]!;
    if (pairs.length < before.length) {
      const what = pairs.length === 0 ? 'not measured' : `measured on ${pairs.length} prompts only`;
      reasons.push(`${arm} at temperature ${temperature} was ${what}, the baseline has ${before.length}`);
      if (pairs.length === 0) continue;
    }
    const strata = [...byKind(pairs, ({ kind }) => kind).values()];
    const ratio = ratioInterval(
      strata.map((kind) => kind.map((pair) => pair.ratio)),
      random,
    );
    const regression = ratio.value < 1 - tolerance && ratio.high < 1;
    comparisons.push({ arm, temperature, ratio, regression });
  }
  if (baseline.entries.length === 0) reasons.push('the baseline is empty');
  const found = comparisons.some(({ regression }) => regression) ? 'regression' : 'no regression';
  return { status: reasons.length > 0 ? 'incomparable' : found, comparisons, reasons };
}

function keyOf({ arm, temperature }: { arm: string; temperature: number }): string {
  return JSON.stringify([arm, temperature]);
}

function shorten(value: unknown): string {
  const text = String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
