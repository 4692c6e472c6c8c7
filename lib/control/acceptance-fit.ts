// Fits an AcceptanceModel to what was accepted: damped Newton steps of logistic regression, one after so many steps.

import type { AcceptanceModel, StepReport } from './controller.js';
import { finite, type Kind, type Kinds, list, optional, shape, whole } from './settings.js';
import { acceptanceOf, logOddsOf } from './stop-rule.js';

/** The weights of an `AcceptanceModel`, in the order that lists of them have. */
const WEIGHTS = ['bias', 'logit', 'margin', 'entropy', 'place'] as const;
type Weight = (typeof WEIGHTS)[number];

/** The model that believes the drafter: a token's acceptance is the drafter's probability of it. */
export const DRAFTER_MODEL: Readonly<AcceptanceModel> = {
  bias: 0,
  logit: 1,
  margin: 0,
  entropy: 0,
  place: 0,
};

export const ACCEPTANCE_MODEL: Kind = shape<AcceptanceModel>({
  bias: finite,
  logit: finite,
  margin: finite,
  entropy: finite,
  place: finite,
  match: optional(finite),
  ngramBias: optional(finite),
  ngramLogit: optional(finite),
});

export interface AcceptanceFitOptions {
  /** Weights that are fitted; the others stay as in `start`. */
  weights: readonly Weight[];
  start: Readonly<AcceptanceModel>;
  /** Steps with a draft between two fits. */
  interval: number;
  /** Tokens that make a fit go half of its way: n of them make it go n / (n + damping). */
  damping: number;
  /** Added to the information of each weight: how unwilling it is to move. */
  ridge: number;
  /** What is left of the information after a fit: 0 fits each round by itself, towards 1 older tokens steady it. */
  keep: number;
}

/** Plain data that survives JSON. */
export interface AcceptanceFitState {
  model: AcceptanceModel;
  /** Sums over tokens of w x x^T, by rows, and of (outcome - prediction) x. */
  information: number[];
  gradient: number[];
  tokens: number;
  steps: number;
  fits: number;
}

/**
 * Logistic regression of acceptance on the drafter's signals. Learns from the tokens that were verified up to the
 * first that was wrong: those after it were never asked about. A fit that would make a likelier token less acceptable
 * leaves the weight of the probability alone. Deterministic; memory and time per token are constant.
 */
export class AcceptanceFit {
  readonly #options: Readonly<AcceptanceFitOptions>;
  #state: AcceptanceFitState;

  constructor(options: AcceptanceFitOptions) {
    this.#options = options;
    const { length } = options.weights;
    this.#state = {
      model: { ...options.start },
      information: new Array<number>(length * length).fill(0),
      gradient: new Array<number>(length).fill(0),
      tokens: 0,
      steps: 0,
      fits: 0,
    };
  }

  /** Weights as of now; a new object. */
  get model(): AcceptanceModel {
    return { ...this.#state.model };
  }

  /** Fits so far. */
  get fits(): number {
    return this.#state.fits;
  }

  /** Takes in a step whose draft has signals. */
  learn(report: StepReport): void {
    const { information, gradient, model } = this.#state;
    const { weights, interval } = this.#options;
    const seen = Math.min(report.accepted + 1, report.verified);
    for (let j = 0; j < seen; j++) {
      const prediction = acceptanceOf(model, report, j);
      const residual = (j < report.accepted ? 1 : 0) - prediction;
      const importance = prediction * (1 - prediction);
      const x = weights.map((weight) => feature(weight, report, j));
      for (let row = 0; row < x.length; row++) {
        gradient[row] = gradient[row]! + residual * x[row]!;
        for (let column = 0; column < x.length; column++) {
          const at = row * x.length + column;
          information[at] = information[at]! + importance * x[row]! * x[column]!;
        }
      }
    }
    this.#state.tokens += seen;
    this.#state.steps++;
    if (this.#state.steps >= interval) this.#fit();
  }

  #fit(): void {
    const { weights, damping, ridge, keep } = this.#options;
    const { information, gradient, tokens, model } = this.#state;
    const ridged = information.map((value, at) => (at % (weights.length + 1) === 0 ? value + ridge : value));
    const change = solve(ridged, gradient);
    const share = tokens / (tokens + damping);
    if (change.every(Number.isFinite) && tokens > 0) {
      for (const [i, weight] of weights.entries()) {
        const moved = model[weight] + share * change[i]!;
        if (weight !== 'logit' || moved >= 0) model[weight] = moved;
      }
    }
    for (let i = 0; i < information.length; i++) information[i] = information[i]! * keep;
    gradient.fill(0);
    this.#state.tokens = 0;
    this.#state.steps = 0;
    this.#state.fits++;
  }

  /** What a state must be like. */
  get kind(): Kind {
    const { length } = this.#options.weights;
    const kinds: Kinds<AcceptanceFitState> = {
      model: ACCEPTANCE_MODEL,
      information: list(finite, length * length, length * length),
      gradient: list(finite, length, length),
      tokens: whole(0, Number.MAX_SAFE_INTEGER),
      steps: whole(0, Number.MAX_SAFE_INTEGER),
      fits: whole(0, Number.MAX_SAFE_INTEGER),
    };
    return shape(kinds);
  }

  snapshot(): AcceptanceFitState {
    return structuredClone(this.#state);
  }

  /** `state` must be of `kind`. */
  restore(state: AcceptanceFitState): void {
    this.#state = structuredClone(state);
  }
}

function feature(weight: Weight, { probabilities, margins, entropies }: StepReport, j: number): number {
  switch (weight) {
    case 'bias':
      return 1;
    case 'logit':
      return logOddsOf(probabilities[j]!);
    case 'margin':
      return margins[j]!;
    case 'entropy':
      return entropies[j]!;
    case 'place':
      return Math.log(1 + j);
  }
}

/** x with A x = b for a symmetric, positive definite A (by rows, at most 5 by 5): elimination needs no pivoting. */
function solve(matrix: readonly number[], b: readonly number[]): number[] {
  const n = b.length;
  const a = [...matrix];
  const x = [...b];
  for (let k = 0; k < n; k++) {
    for (let row = k + 1; row < n; row++) {
      const factor = a[row * n + k]! / a[k * n + k]!;
      for (let column = k; column < n; column++) {
        a[row * n + column] = a[row * n + column]! - factor * a[k * n + column]!;
      }
      x[row] = x[row]! - factor * x[k]!;
    }
  }
  for (let row = n - 1; row >= 0; row--) {
    for (let column = row + 1; column < n; column++) x[row] = x[row]! - a[row * n + column]! * x[column]!;
    x[row] = x[row]! / a[row * n + row]!;
  }
  return x;
}
