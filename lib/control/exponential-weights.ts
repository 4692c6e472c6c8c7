// Exponential weights over experts of which some may have nothing to say in a round: Hedge with sleeping experts.

import { finite, type Kind, list } from './settings.js';

export interface ExponentialWeightsOptions {
  /** How much a weight's logarithm changes for a gain of 1. */
  rate: number;
  /** What a round counts for after each further one, 0 to 1. */
  discount: number;
}

/**
 * Logarithms of weights, 0 at first. In a round in which all are awake this is Hedge: what all gain alike changes no
 * weight's share. An expert that is asleep keeps its weight relative to the one that is followed, as if both had gained
 * the same; a mean over those awake would let the followed one rise above sleepers for being better than a few.
 */
export class ExponentialWeights {
  readonly #options: Readonly<ExponentialWeightsOptions>;
  #logs: Float64Array;

  constructor(experts: number, options: ExponentialWeightsOptions) {
    this.#options = options;
    this.#logs = new Float64Array(experts);
  }

  /** Gains by expert; NaN for one that is asleep. Nothing is learnt where the one that is followed is. */
  learn(gains: ArrayLike<number>, followed: number): void {
    const { rate, discount } = this.#options;
    for (let i = 0; i < this.#logs.length; i++) {
      const change = rate * (gains[i]! - gains[followed]!);
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
