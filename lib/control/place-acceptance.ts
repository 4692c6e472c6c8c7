// Acceptance by place in the draft from what was accepted: discounted counts, censored, later places pooled with earlier.

import { MAX_DEPTH, type StepReport } from './controller.js';
import { type Kind, list, real, shape } from './settings.js';

export interface PlaceAcceptanceOptions {
  /** What a step counts for after each further step with a draft, 0 to 1. */
  discount: number;
  /** Acceptance of the first place before anything was seen, 0 to 1. */
  prior: number;
  /** How many tokens the prior counts for: that of the first place, and at each later one the estimate of the place before. */
  weight: number;
}

/** Plain data that survives JSON; all lists have a number for each place, from the first on. */
export interface PlaceAcceptanceState {
  /** Times that the place was reached and verified, and that it was right. */
  seen: number[];
  right: number[];
  /** Times that the drafter could have gone on to the place, and that it did. */
  asked: number[];
  drafted: number[];
}

const COUNTS = list(real(0, Number.MAX_VALUE), MAX_DEPTH, MAX_DEPTH);
export const PLACE_ACCEPTANCE: Kind = shape<PlaceAcceptanceState>({
  seen: COUNTS,
  right: COUNTS,
  asked: COUNTS,
  drafted: COUNTS,
});

/**
 * Acceptance at place j, given that all before it were right: (right_j + w * p_j) / (seen_j + w), a Beta prior of w
 * tokens whose mean p_j is `prior` at the first place and the estimate of place j - 1 after it. A place that was
 * hardly seen is therefore taken to be like the one before.
 */
export class PlaceAcceptance {
  readonly #options: Readonly<PlaceAcceptanceOptions>;
  #seen = new Float64Array(MAX_DEPTH);
  #right = new Float64Array(MAX_DEPTH);
  #asked = new Float64Array(MAX_DEPTH);
  #drafted = new Float64Array(MAX_DEPTH);

  constructor(options: PlaceAcceptanceOptions) {
    this.#options = options;
  }

  /**
   * Takes in a step. Places up to the first that was wrong are known; those after it were not asked about, and after a
   * draft that was right to its end nothing is known of the places beyond. `depth` is what was asked of the drafter
   * where nothing but the drafter itself (an n-gram that found no more) can have ended the draft; else undefined.
   */
  learn({ verified, accepted, drafted }: StepReport, depth?: number): void {
    const { discount } = this.#options;
    if (verified > 0) {
      const places = Math.min(accepted < verified ? accepted + 1 : accepted, MAX_DEPTH);
      for (let j = 0; j < MAX_DEPTH; j++) {
        this.#seen[j] = discount * this.#seen[j]! + (j < places ? 1 : 0);
        this.#right[j] = discount * this.#right[j]! + (j < accepted ? 1 : 0);
      }
    }
    if (depth === undefined || depth === 0) return;
    const places = Math.min(drafted < depth ? drafted + 1 : drafted, MAX_DEPTH);
    for (let j = 0; j < MAX_DEPTH; j++) {
      this.#asked[j] = discount * this.#asked[j]! + (j < places ? 1 : 0);
      this.#drafted[j] = discount * this.#drafted[j]! + (j < drafted ? 1 : 0);
    }
  }

  /** Lets all that was seen count for less, by this factor. */
  forget(share: number): void {
    for (const counts of [this.#seen, this.#right, this.#asked, this.#drafted]) {
      for (let j = 0; j < MAX_DEPTH; j++) counts[j] = share * counts[j]!;
    }
  }

  /** Fills in acceptance, and how likely it is that the drafter goes on to the place, for the first `places`. */
  estimate(places: number, acceptance: Float64Array, reach: Float64Array): void {
    const { prior, weight } = this.#options;
    let a = prior;
    let h = 1;
    for (let j = 0; j < places; j++) {
      a = (this.#right[j]! + weight * a) / (this.#seen[j]! + weight);
      h = (this.#drafted[j]! + weight * h) / (this.#asked[j]! + weight);
      acceptance[j] = a;
      reach[j] = h;
    }
  }

  snapshot(): PlaceAcceptanceState {
    return {
      seen: [...this.#seen],
      right: [...this.#right],
      asked: [...this.#asked],
      drafted: [...this.#drafted],
    };
  }

  /** `state` must be of `PLACE_ACCEPTANCE`. */
  restore(state: PlaceAcceptanceState): void {
    this.#seen = Float64Array.from(state.seen);
    this.#right = Float64Array.from(state.right);
    this.#asked = Float64Array.from(state.asked);
    this.#drafted = Float64Array.from(state.drafted);
  }
}
