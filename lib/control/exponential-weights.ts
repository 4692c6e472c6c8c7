// Exponential weights over experts of which some may have nothing to say in a round: Hedge with sleeping experts.

import { finite, type Kind, list } from './settings.js';

export interface ExponentialWeightsOptions {
  /** How much a weight's logarithm changes for a gain of 1. */
  rate: number;
  /** What a round counts for after each further one, 0 to 1. */
  discount: number;
}

/**
 * Logarithms of weights, 0 at first. In a round the experts that are awake gain or lose against their weighted mean;
 * the others keep their weight, as if they had that mean (Freund, Schapire, Singer and Warmuth 1997).
 */
export class ExponentialWeights {
  readonly #options: Readonly<ExponentialWeightsOptions>;
  #logs: Float64Array;

  constructor(experts: number, options: ExponentialWeightsOptions) {
    this.#options = options;
    this.#logs = new Float64Array(experts);
  }

  /** Gains by expert; NaN for one that is asleep. */
  learn(gains: ArrayLike<number>): void {
    const { rate, discount } = this.#options;
    const most = Math.max(...this.#logs);
    let sum = 0;
    let weights = 0;
    for (let i = 0; i < this.#logs.length; i++) {
      const gain = gains[i]!;
      if (Number.isNaN(gain)) continue;
      const weight = Math.exp(this.#logs[i]! - most);
      sum += weight * gain;
      weights += weight;
    }
    // Weights that are too small for a number say nothing of the mean.
    const mean = weights > 0 ? sum / weights : Number.NaN;
    for (let i = 0; i < this.#logs.length; i++) {
      const change = rate * (gains[i]! - mean);
      this.#logs[i] = discount * this.#logs[i]! + (Number.isNaN(change) ? 0 : change);
    }
  }

  /** The expert to follow after `followed`: the one of the largest weight, if that is `lead` gains ahead. */
  best(followed: number, lead: number): number {
    let best = 0;
    for (let i = 1; i < this.#logs.length; i++) if (this.#logs[i]! > this.#logs[best]!) best = i;
    return this.#logs[best]! > this.#logs[followed]! + lead * this.#options.rate ? best : followed;
  }

  /** Share of an expert in the sum of the weights. */
  share(expert: number): number {
    const most = Math.max(...this.#logs);
    let sum = 0;
    for (const log of this.#logs) sum += Math.exp(log - most);
    return Math.exp(this.#logs[expert]! - most) / sum;
  }

  /** What a state must be like. */
  get kind(): Kind {
    return list(finite, this.#logs.length, this.#logs.length);
  }

  snapshot(): number[] {
    return [...this.#logs];
  }

  /** `state` must be of `kind`. */
  restore(state: readonly number[]): void {
    this.#logs = Float64Array.from(state);
  }
}
