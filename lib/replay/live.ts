// Whether replay predicts live speed: fixed depths of a bench run against the same prompts replayed.

import type { BenchResult, BenchRun } from '../bench/bench-result.js';
import type { CostModel } from '../control/costs.js';
import { fixedDepth } from '../control/fixed-depth.js';
import { AdaptiveSpecError } from '../errors.js';
import { change, percent } from '../percent.js';
import { countedTo, type ReplayGeneration } from './generation.js';
import { replay } from './replay.js';

/** Depths that are compared, where the bench run and the trace have them. */
export const CHECKED_DEPTHS = [0, 3, 7, 8, 15, 16] as const;
/** Largest error, as a share, with which replay's other figures may be believed. */
export const LARGEST_ERROR = 0.05;

/** One depth, live and replayed, over the same prompts. */
export interface DepthCheck {
  depth: number;
  runs: number;
  live: number;
  replayed: number;
  /** replayed / live - 1. */
  error: number;
}

export type Validation =
  | { checked: false; summary: string }
  | {
      checked: true;
      /** Whether all of CHECKED_DEPTHS were compared, each within LARGEST_ERROR. */
      within: boolean;
      depths: DepthCheck[];
      /** Depths that the bench run or the trace lacks. */
      missing: number[];
      prompts: number;
      summary: string;
    };

export const NOT_CHECKED: Validation = {
  checked: false,
  summary:
    'NOT CHECKED against live speed: give --live FILE, the JSON of a bench run with these prompts, before you quote these figures.',
};

/**
 * Compares greedy runs of `bench` with the replay of the same prompts, of the same number of tokens. `generations` are
 * whole; with `beforeLoop` both sides count the tokens before the first loop only, by the bench run's finding.
 * Throws INVALID_ARGUMENT where no run and no generation are of the same prompt.
 */
export function checkAgainstLive(
  generations: readonly ReplayGeneration[],
  bench: Pick<BenchResult, 'runs'>,
  costs: CostModel,
  beforeLoop: boolean,
): Validation {
  const byId = new Map(generations.filter((g) => g.temperature === 0).map((g) => [g.id, g]));
  const prompts = new Set<string>();
  const depths: DepthCheck[] = [];
  for (const depth of CHECKED_DEPTHS) {
    const check = { depth, runs: 0, tokens: 0, ms: 0, replayedTokens: 0, replayedMs: 0 };
    for (const run of bench.runs) {
      const generation = byId.get(run.promptId);
      if (generation === undefined || generation.width < depth || run.temperature !== 0) continue;
      if (depthOf(run, generation.drafter) !== depth) continue;
      const { tokens, decodeMs } = beforeLoop ? run.beforeLoop : run.all;
      if (!(tokens > 0 && decodeMs > 0)) continue;
      const replayed = replay(countedTo(generation, tokens), fixedDepth(depth), costs);
      prompts.add(run.promptId);
      check.runs++;
      check.tokens += tokens;
      check.ms += decodeMs;
      check.replayedTokens += replayed.tokens;
      check.replayedMs += replayed.ms;
    }
    if (check.runs === 0) continue;
    const live = (check.tokens / check.ms) * 1000;
    const replayed = (check.replayedTokens / check.replayedMs) * 1000;
    depths.push({ depth, runs: check.runs, live, replayed, error: replayed / live - 1 });
  }
  if (depths.length === 0) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      'The bench run and the trace have no greedy prompt with a fixed depth in common',
      `Record the trace with the prompts of the bench run, and bench arms such as plain, ${CHECKED_DEPTHS.slice(
        1,
      )
        .map((k) => `fixed:${k}`)
        .join(', ')}.`,
    );
  }
  const missing = CHECKED_DEPTHS.filter((depth) => !depths.some((check) => check.depth === depth));
  const worst = depths.reduce((a, b) => (Math.abs(b.error) > Math.abs(a.error) ? b : a));
  const within = missing.length === 0 && Math.abs(worst.error) <= LARGEST_ERROR;
  return { checked: true, within, depths, missing, prompts: prompts.size, summary: summaryOf() };

  function summaryOf(): string {
    const found = `the largest error of fixed depths against live speed is ${change(worst.error)} (K = ${worst.depth})`;
    const limit = percent(LARGEST_ERROR);
    if (missing.length > 0)
      return `NOT WHOLLY CHECKED: ${found}, and K = ${missing.join(', ')} is missing live.`;
    return within
      ? `Within ${limit} of live speed at every depth: ${found}.`
      : `NOT within ${limit} of live speed: ${found}.`;
  }
}

/**
 * 'plain' and 'off' are depth 0, 'fixed:8' is 8 of the draft model and 'fixed:8@hybrid' of another drafter; undefined
 * for an arm whose depth changes, or that another than the trace's drafter drafted.
 */
function depthOf({ arm }: BenchRun, drafter: string): number | undefined {
  if (arm === 'plain' || arm === 'off') return 0;
  const match = /^fixed:(\d+)(?:@(.+))?$/.exec(arm);
  return match && (match[2] ?? 'model') === drafter ? Number(match[1]) : undefined;
}
