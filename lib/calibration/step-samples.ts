// What whole steps of a fixed depth take: passes between which a step does its other work, and drafts of real tokens.

import { CostModel, type RowCost } from '../control/costs.js';
import { type DraftLine, draftLine } from './draft-line.js';
import { mean, quantile } from './quantile.js';

/** One step of a fixed depth. Times are in milliseconds. */
export interface StepSample {
  rows: number;
  /** Tokens in the KV cache before. */
  contextLength: number;
  verifyMs: number;
  draftMs: number;
  /** Tokens that the draft model made. */
  modelTokens: number;
}

/** The first steps of a run come after other shapes and with cold caches. */
const FIRST_COUNTED = 2;
/** Of a number of rows; fewer say too little. */
const LEAST_STEPS = 4;

export class StepSamples {
  readonly #byRows = new Map<number, StepSample[]>();

  /** The steps of one run, of which those with `rows` rows count. */
  add(rows: number, steps: readonly StepSample[]): void {
    const counted = steps.filter((step, i) => i >= FIRST_COUNTED && step.rows === rows);
    if (counted.length >= LEAST_STEPS) this.#byRows.set(rows, counted);
  }

  /** Undefined where no draft was seen. */
  draft(): DraftLine | undefined {
    const drafts = [...this.#byRows.values()].flatMap((steps) => {
      const limit = longest(steps.map(({ draftMs }) => draftMs));
      return steps.filter(({ modelTokens, draftMs }) => modelTokens > 0 && draftMs <= limit);
    });
    if (drafts.length === 0) return undefined;
    return draftLine(drafts.map(({ modelTokens, draftMs }) => ({ tokens: modelTokens, ms: draftMs })));
  }

  /**
   * The same points, each times what steps took over what the points say, as `scaled` makes them: a pass in a loop of
   * nothing but passes finds other caches, clocks and threads than one in a step. Between the numbers of rows that steps
   * had, the factor lies between theirs; one number alone says nothing of others.
   */
  corrected<P extends RowCost>(points: readonly P[], scaled: (point: P, factor: number) => P): P[] {
    const model = passes(points);
    const factors = [...this.#byRows].map(([rows, steps]) => {
      const ratios = steps.map((step) => step.verifyMs / model.verifyMs(rows, step.contextLength));
      return { rows, contextLength: 0, ms: undisturbedMean(ratios) };
    });
    if (factors.length === 0) return [...points];
    const last = factors.reduce((most, factor) => (factor.rows > most.rows ? factor : most));
    const between = passes(factors);
    return points.map((point) => {
      if (factors.length === 1 && point.rows !== last.rows) return point;
      return scaled(point, between.verifyMs(Math.min(point.rows, last.rows), 0));
    });
  }
}

/** The mean without what something else held up. */
function undisturbedMean(values: readonly number[]): number {
  const limit = longest(values);
  return mean(values.filter((value) => value <= limit));
}

/** More than half above the median isn't the step's own time. */
const longest = (times: readonly number[]) => 1.5 * quantile(times, 0.5);

/** What passes alone cost. */
export function passes(target: readonly RowCost[]): CostModel {
  return new CostModel({
    target,
    draft: { msPerToken: 0, threads: 1 },
    overheadMs: 0,
    rebuildMs: 0,
    callbackMs: 0,
  });
}
