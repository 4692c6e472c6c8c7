// What steps of one number of rows took, with the share of the context in it: a weighted line through the newest.

export interface RowCellState {
  count: number;
  /** Of these, steps with as many rows as the step before. */
  same: number;
  /** Of all, steps that asked no draft model, nor stood beside others where they have one row. */
  free: number;
  meanContext: number;
  mean: number;
  /** Weighted variance of the context, and its covariance with the time. */
  sxx: number;
  sxy: number;
  deviation: number;
}

/** Slower than `RobustMean`: what drifts is taken up by the common scale. */
const SHARE = 0.02;
const CLIP = 3;
const LEAST = 0.01;
/** An early value is worth more than its number says, as long as there is no deviation to judge by. */
const FIRST_DEVIATION = 0.1;

/** Relative times, 1 being what was expected; contexts in tokens. */
export class RowCell implements RowCellState {
  count = 0;
  same = 0;
  free = 0;
  meanContext = 0;
  mean = 1;
  sxx = 0;
  sxy = 0;
  deviation = FIRST_DEVIATION;

  constructor(state?: RowCellState) {
    if (state) Object.assign(this, state);
  }

  /** What is expected at that context length, at the given rise per token. */
  at(contextLength: number, slope: number): number {
    return this.mean + slope * (contextLength - this.meanContext);
  }

  add(value: number, contextLength: number, slope: number): void {
    this.count++;
    if (this.count === 1) {
      this.mean = value;
      this.meanContext = contextLength;
      this.deviation = FIRST_DEVIATION * value;
      return;
    }
    const share = Math.max(SHARE, 1 / this.count);
    const further = contextLength - this.meanContext;
    const limit = CLIP * Math.max(this.deviation, LEAST * this.mean);
    const off = value - this.at(contextLength, slope);
    const change = slope * further + Math.min(limit, Math.max(-limit, off));
    this.mean += share * change;
    this.meanContext += share * further;
    this.sxx = (1 - share) * (this.sxx + share * further * further);
    this.sxy = (1 - share) * (this.sxy + share * further * change);
    this.deviation += share * (Math.min(Math.abs(off), 2 * limit) - this.deviation);
  }
}
