// How probable it is that a draft token is accepted: logistic regression that begins with a prior and learns on line.

import { CONTEXT_KINDS, type ContextKind } from './context-kind.js';
import { type AcceptanceModel, ORIGIN, type StepReport } from './controller.js';
import { recommendedDepth } from './recommended-depth.js';
import { finite, type Kind, list } from './settings.js';
import { logOddsOf } from './stop-rule.js';

/** What a step's tokens have in common. */
export interface Surroundings {
  kind: ContextKind;
  /** Share of lately verified first tokens that were accepted, 0 to 1: the last outcomes. */
  recent: number;
  /** Whether the generation has only begun (position-phase.ts). */
  isEarly: boolean;
}

/**
 * Weights of a draft model's token: 1, log-odds of its probability, margin, entropy, ln(1 + place), match, recent
 * outcomes, early, and one for each kind of text; then of an n-gram's token: 1, log-odds of its score, recent outcomes.
 * The first six and the n-gram's two are fitted to the default pair (docs/controllers/auto.md). Those of the kinds are
 * the experiment's table: a kind that it gives twice the depth begins with so much more.
 */
const PRIOR = {
  model: [0.03, 0.75, 0.17, -0.04, -0.49, 0.38, 0.75, 0],
  ngram: [-0.3, 1.14, 0.23],
};
const MODEL = PRIOR.model.length + CONTEXT_KINDS.length;
const NGRAM = PRIOR.ngram.length;
const KIND_WEIGHT = 0.1;
const PRIOR_WEIGHTS: readonly number[] = [
  ...PRIOR.model,
  ...CONTEXT_KINDS.map((kind) => KIND_WEIGHT * Math.log2(recommendedDepth(kind) / recommendedDepth('prose'))),
  ...PRIOR.ngram,
];
/** How sure of the prior it begins, in tokens' worth of information, and what is left of that per token learnt. */
const PRIOR_INFORMATION = 20;
const KEEP = 0.998;
/** Recent outcomes are counted from here, so that its weight is no second bias. */
const USUAL_RECENT = 0.5;

/**
 * Learns from tokens that were verified up to the first wrong one: those after it were never asked about. Each weight has
 * a step of its own, smaller the more is known of it. Deterministic; constant memory and time per token.
 */
export class AcceptanceLearner {
  readonly #weights = Float64Array.from(PRIOR_WEIGHTS);
  readonly #information = new Float64Array(MODEL + NGRAM).fill(PRIOR_INFORMATION);
  /** Scratch. */
  readonly #x = new Float64Array(MODEL + NGRAM);

  /** The weights as a plan has them, for tokens drafted now; a new object. */
  model({ kind, recent, isEarly }: Surroundings): Required<AcceptanceModel> {
    const w = this.#weights;
    const since = recent - USUAL_RECENT;
    const ofKind = w[PRIOR.model.length + CONTEXT_KINDS.indexOf(kind)]!;
    return {
      bias: w[0]! + w[6]! * since + (isEarly ? w[7]! : 0) + ofKind,
      logit: w[1]!,
      margin: w[2]!,
      entropy: w[3]!,
      place: w[4]!,
      match: w[5]!,
      ngramBias: w[MODEL]! + w[MODEL + 2]! * since,
      ngramLogit: w[MODEL + 1]!,
    };
  }

  /** Takes in a step that was drafted in these surroundings. */
  learn(report: StepReport, surroundings: Surroundings): void {
    const seen = Math.min(report.accepted + 1, report.verified, report.probabilities.length);
    for (let j = 0; j < seen; j++) {
      // What a grammar forces teaches nothing of anybody's guesses.
      if (report.origins[j] === ORIGIN.grammar) continue;
      this.#learnToken(report, j, surroundings, j < report.accepted ? 1 : 0);
    }
  }

  #learnToken(report: StepReport, j: number, { kind, recent, isEarly }: Surroundings, outcome: number): void {
    const x = this.#x.fill(0);
    const logOdds = logOddsOf(report.probabilities[j]!);
    const since = recent - USUAL_RECENT;
    if (report.origins[j] === ORIGIN.model) {
      x[0] = 1;
      x[1] = logOdds;
      x[2] = report.margins[j]!;
      x[3] = report.entropies[j]!;
      x[4] = Math.log(1 + j);
      x[5] = report.matches[j]!;
      x[6] = since;
      x[7] = isEarly ? 1 : 0;
      x[PRIOR.model.length + CONTEXT_KINDS.indexOf(kind)] = 1;
    } else {
      x[MODEL] = 1;
      x[MODEL + 1] = logOdds;
      x[MODEL + 2] = since;
    }
    const w = this.#weights;
    let z = 0;
    for (let i = 0; i < x.length; i++) z += w[i]! * x[i]!;
    const prediction = 1 / (1 + Math.exp(-z));
    const residual = outcome - prediction;
    const importance = prediction * (1 - prediction);
    const information = this.#information;
    for (let i = 0; i < x.length; i++) {
      if (x[i] === 0) continue;
      const known = information[i]!;
      w[i] = w[i]! + (residual * x[i]!) / known;
      // What is known fades towards the prior's, so that it goes on learning in a text that changes.
      information[i] = Math.max(PRIOR_INFORMATION, KEEP * (known + importance * x[i]! * x[i]!));
    }
    // A likelier token is never less acceptable.
    w[1] = Math.max(0, w[1]!);
    w[MODEL + 1] = Math.max(0, w[MODEL + 1]!);
  }

  /** What a snapshot must be like. */
  static readonly kind: Kind = list(finite, 2 * (MODEL + NGRAM), 2 * (MODEL + NGRAM));

  snapshot(): number[] {
    return [...this.#weights, ...this.#information];
  }

  /** `state` must be of `kind`. */
  restore(state: readonly number[]): void {
    this.#weights.set(state.slice(0, MODEL + NGRAM));
    this.#information.set(state.slice(MODEL + NGRAM));
  }
}
