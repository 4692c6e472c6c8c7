// A running mean that a stray value hardly moves. Pure, and the same work for every value.

export interface RobustMeanState {
  mean: number;
  /** Mean distance from it. */
  deviation: number;
  count: number;
}

/** Newer values count more: each for this share, once there are enough of them. */
const SHARE = 0.05;
/** What is further off than so many deviations counts as if it were no further. */
const CLIP = 3;
/** Least deviation, as a share of the mean: equal values must not make all others strays. */
const LEAST = 0.01;

export class RobustMean {
  #mean = 0;
  #deviation = 0;
  #count = 0;

  /** With a prior it starts there, as if it had been seen `weight` times. */
  constructor(prior?: number, weight = 4) {
    if (prior === undefined) return;
    this.#mean = prior;
    this.#deviation = 0.1 * Math.abs(prior);
    this.#count = weight;
  }

  get mean(): number {
    return this.#mean;
  }

  get count(): number {
    return this.#count;
  }

  add(value: number): void {
    this.#count++;
    if (this.#count === 1) {
      this.#mean = value;
      this.#deviation = 0.1 * Math.abs(value);
      return;
    }
    const share = Math.max(SHARE, 1 / this.#count);
    const limit = CLIP * Math.max(this.#deviation, LEAST * Math.abs(this.#mean), Number.MIN_VALUE);
    const off = value - this.#mean;
    this.#mean += share * Math.min(limit, Math.max(-limit, off));
    // Twice the limit: where values stay away, it widens until it lets them in.
    this.#deviation += share * (Math.min(Math.abs(off), 2 * limit) - this.#deviation);
  }

  snapshot(): RobustMeanState {
    return { mean: this.#mean, deviation: this.#deviation, count: this.#count };
  }

  restore({ mean, deviation, count }: RobustMeanState): void {
    this.#mean = mean;
    this.#deviation = deviation;
    this.#count = count;
  }
}
