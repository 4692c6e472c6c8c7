// What steps cost, from the steps that a benchmark ran anyway.

import type { CostTable } from '../control/costs.js';
import type { MeasuredRun } from './run.js';
import { median } from './statistics.js';

/** Fewer steps of a number of rows say too little. */
const LEAST_STEPS = 5;

/**
 * A cost table of means over the steps, since a run's time is their sum, slow ones included; undefined where there are too
 * few steps. The times are of the contexts that came up, so every row stands at their median length. `depthOf` gives an arm's fixed depth, or undefined where a controller
 * is asked.
 */
export function costsOfSteps(
  measured: readonly MeasuredRun[],
  { draftThreads, depthOf }: { draftThreads: number; depthOf: (arm: string) => number | undefined },
): CostTable | undefined {
  const same = new Map<number, number[]>();
  const changed = new Map<number, number[]>();
  const contexts: number[] = [];
  const other = { asked: [] as number[], native: [] as number[] };
  const drafts: { tokens: number; ms: number }[] = [];
  for (const { run, steps } of measured) {
    const others = depthOf(run.arm) === undefined ? other.asked : other.native;
    for (const [i, step] of steps.entries()) {
      // The first step comes after the prompt's batch, whose number of rows is another.
      const times = i > 0 && steps[i - 1]!.rows === step.rows ? same : changed;
      const list = times.get(step.rows);
      if (list) list.push(step.verifyMs);
      else times.set(step.rows, [step.verifyMs]);
      contexts.push(step.contextLength);
      others.push(step.otherMs);
      if (step.modelTokens > 0) drafts.push({ tokens: step.modelTokens, ms: step.draftMs });
    }
  }
  const contextLength = Math.round(median(contexts));
  const target = [...same]
    .filter(([, times]) => times.length >= LEAST_STEPS)
    .map(([rows, times]) => ({ rows, contextLength, ms: mean(times) }))
    .sort((a, b) => a.rows - b.rows);
  if (target.length === 0) return undefined;
  const more = target.flatMap(({ rows, ms }) => {
    const times = changed.get(rows) ?? [];
    return times.length >= LEAST_STEPS ? [mean(times) - ms] : [];
  });
  const overheadMs = other.native.length > 0 ? mean(other.native) : mean(other.asked);
  const callbackMs = other.native.length > 0 && other.asked.length > 0 ? mean(other.asked) - overheadMs : 0;
  return {
    target,
    draft: { ...draftCosts(drafts), threads: draftThreads },
    overheadMs,
    rebuildMs: more.length > 0 ? Math.max(0, median(more)) : 0,
    callbackMs: Math.max(0, callbackMs),
  };
}

/** A line through the times of drafts by the tokens that a model made for them: what each costs, and the first one more. */
function draftCosts(drafts: readonly { tokens: number; ms: number }[]): {
  msPerToken: number;
  startMs: number;
} {
  if (drafts.length === 0) return { msPerToken: 0, startMs: 0 };
  const tokens = mean(drafts.map((draft) => draft.tokens));
  const ms = mean(drafts.map((draft) => draft.ms));
  let sxx = 0;
  let sxy = 0;
  for (const draft of drafts) {
    sxx += (draft.tokens - tokens) ** 2;
    sxy += (draft.tokens - tokens) * (draft.ms - ms);
  }
  // Drafts of one length only don't tell the two apart.
  const slope = sxx > 0 ? Math.min(sxy / sxx, ms / tokens) : ms / tokens;
  return slope > 0
    ? { msPerToken: slope, startMs: ms - slope * tokens }
    : { msPerToken: ms / tokens, startMs: 0 };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
