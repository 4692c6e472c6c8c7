// What steps cost, from the steps that a benchmark ran anyway.

import { draftLine } from '../calibration/draft-line.js';
import type { CostTable } from '../control/costs.js';
import type { MeasuredRun } from './run.js';
import { mean, median } from './statistics.js';

/** Fewer steps of a number of rows say too little. */
const LEAST_STEPS = 5;

/**
 * A cost table of means over the steps at `temperature`, since a run's time is their sum, slow ones included; undefined
 * where there are too few steps. The times are of the contexts that came up, so every row stands at their median length.
 * `depthOf` gives an arm's fixed depth, or undefined where a controller is asked.
 */
export function costsOfSteps(
  measured: readonly MeasuredRun[],
  {
    temperature,
    draftThreads,
    depthOf,
  }: { temperature: number; draftThreads: number; depthOf: (arm: string) => number | undefined },
): CostTable | undefined {
  const same = new Map<number, number[]>();
  const changed = new Map<number, number[]>();
  const mixed: number[] = [];
  const contexts: number[] = [];
  const other = { asked: [] as number[], native: [] as number[] };
  const drafts: { tokens: number; ms: number }[] = [];
  for (const { run, steps } of measured) {
    // Drawing a token takes longer than finding the likeliest: means over several temperatures hold at none of them.
    if (run.temperature !== temperature) continue;
    const others = depthOf(run.arm) === undefined ? other.asked : other.native;
    for (const [i, step] of steps.entries()) {
      const before = steps[i - 1];
      // The first step comes after the prompt's batch, and finds other caches too.
      if (before !== undefined) {
        if (step.rows === 1 && (before.rows > 1 || before.modelTokens > 0 || step.modelTokens > 0))
          mixed.push(step.verifyMs);
        else {
          const times = before.rows === step.rows ? same : changed;
          const list = times.get(step.rows);
          if (list) list.push(step.verifyMs);
          else times.set(step.rows, [step.verifyMs]);
        }
      }
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
  const alone = target.find(({ rows }) => rows === 1)?.ms;
  const mixedMs = alone !== undefined && mixed.length >= LEAST_STEPS ? Math.max(0, mean(mixed) - alone) : 0;
  const overheadMs = other.native.length > 0 ? mean(other.native) : mean(other.asked);
  const callbackMs = other.native.length > 0 && other.asked.length > 0 ? mean(other.asked) - overheadMs : 0;
  return {
    target,
    draft: { ...draftLine(drafts), threads: draftThreads },
    overheadMs,
    rebuildMs: more.length > 0 ? Math.max(0, median(more)) : 0,
    mixedMs,
    callbackMs: Math.max(0, callbackMs),
  };
}
