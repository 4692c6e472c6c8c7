// What steps cost, from the steps that a benchmark ran anyway.

import { draftLine } from '../calibration/draft-line.js';
import { askedModel, type CostTable, isPlain, type RowCost, tokensBehind } from '../control/costs.js';
import type { MeasuredRun } from './run.js';
import type { StepSample } from './run-figures.js';
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
  const free: Passes = new Map();
  const asked: Passes = new Map();
  const mixed: number[] = [];
  const contexts: number[] = [];
  const other = { asked: [] as number[], native: [] as number[] };
  const read = { tokens: 0, ms: 0 };
  // Drawing a token takes longer than finding the likeliest: means over several temperatures hold at none of them.
  const runs = measured.filter(({ run }) => run.temperature === temperature);
  const drafts = runs.flatMap(({ steps }) => steps.filter(({ modelTokens }) => modelTokens > 0));
  const line = draftLine(drafts.map(({ modelTokens, draftMs }) => ({ tokens: modelTokens, ms: draftMs })));
  for (const { run, steps } of runs) {
    const others = depthOf(run.arm) === undefined ? other.asked : other.native;
    const isAsked = (step: StepSample) => askedModel(step.modelTokens, step.draftMs, line.msPerToken);
    for (const [i, step] of steps.entries()) {
      const before = steps[i - 1];
      // The first step comes after the prompt's batch, and finds other caches too.
      if (before !== undefined) {
        const asks = isAsked(step);
        const isMixed = asks || !isPlain(before.rows, isAsked(before));
        if (step.rows === 1 && isMixed) mixed.push(step.verifyMs);
        else add(asks ? asked : free, step, before.rows);
      }
      contexts.push(step.contextLength);
      others.push(step.otherMs);
      // At first the whole prompt is to be read.
      const behind = tokensBehind(before?.lag ?? step.contextLength - step.tokens);
      if (step.catchUpMs > 0 && behind > 0) {
        read.tokens += behind;
        read.ms += step.catchUpMs;
      }
    }
  }
  const contextLength = Math.round(median(contexts));
  const afterMs = afterOf(free, asked);
  const target: RowCost[] = [];
  for (const rows of new Set([...free.keys(), ...asked.keys()])) {
    const without = timeOf(free, rows);
    const ms = without ?? minus(timeOf(asked, rows), afterMs);
    if (ms !== undefined) target.push({ rows, contextLength, ms });
  }
  target.sort((a, b) => a.rows - b.rows);
  if (target.length === 0) return undefined;
  const more = [free, asked].flatMap((passes) =>
    [...passes].flatMap(([rows, { changed }]) => {
      const ms = timeOf(passes, rows);
      return ms !== undefined && changed.length >= LEAST_STEPS ? [mean(changed) - ms] : [];
    }),
  );
  const alone = target.find(({ rows }) => rows === 1)?.ms;
  const mixedMs = alone !== undefined && mixed.length >= LEAST_STEPS ? Math.max(0, mean(mixed) - alone) : 0;
  const overheadMs = other.native.length > 0 ? mean(other.native) : mean(other.asked);
  const callbackMs = other.native.length > 0 && other.asked.length > 0 ? mean(other.asked) - overheadMs : 0;
  return {
    target,
    draft: {
      ...line,
      threads: draftThreads,
      afterMs,
      ...(read.tokens > 0 && { readMs: read.ms / read.tokens }),
    },
    overheadMs,
    rebuildMs: more.length > 0 ? Math.max(0, median(more)) : 0,
    mixedMs,
    callbackMs: Math.max(0, callbackMs),
  };
}

/** By rows, the times of passes with as many rows as the pass before, and of others. */
type Passes = Map<number, { same: number[]; changed: number[] }>;

function add(
  passes: Passes,
  { rows, verifyMs }: { rows: number; verifyMs: number },
  rowsBefore: number,
): void {
  const times = passes.get(rows) ?? { same: [], changed: [] };
  passes.set(rows, times);
  (rows === rowsBefore ? times.same : times.changed).push(verifyMs);
}

function timeOf(passes: Passes, rows: number): number | undefined {
  const same = passes.get(rows)?.same ?? [];
  return same.length >= LEAST_STEPS ? mean(same) : undefined;
}

/** What asking the model costs the pass: known of rows that were seen both ways, 0 where there are none. */
function afterOf(free: Passes, asked: Passes): number {
  const more = [...asked].flatMap(([rows, { same }]) => {
    const without = timeOf(free, rows);
    return without === undefined || same.length < LEAST_STEPS ? [] : same.map((ms) => ms - without);
  });
  return more.length > 0 ? Math.max(0, mean(more)) : 0;
}

function minus(ms: number | undefined, less: number): number | undefined {
  return ms === undefined ? undefined : ms - less;
}
