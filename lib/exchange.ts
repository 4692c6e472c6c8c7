// How a step's numbers cross between native code and TypeScript: arrays that are written and read in place.

import type { Exchange } from './binding.js';
import type { StepReport } from './control/controller.js';
import { MAX_CURVE, type NativePlan } from './control/native-plan.js';

/** Places in `Exchange.header`, in native code's order. */
export const HEADER = {
  question: 0,
  step: 1,
  position: 2,
  depth: 3,
  drafted: 4,
  accepted: 5,
  tokens: 6,
  draftMs: 7,
  verifyMs: 8,
  catchUpMs: 9,
  otherMs: 10,
  waitMs: 11,
  rows: 12,
  contextLength: 13,
  drafter: 14,
  drafterLag: 15,
  late: 16,
  running: 17,
  waiting: 18,
  last: 19,
  asked: 20,
  verified: 21,
  beside: 22,
  besideAccepted: 23,
  reused: 24,
} as const;

/** Places in `Exchange.plan`, in native code's order; v(n) stands behind them. */
export const PLAN = {
  depth: 0,
  drafter: 1,
  steps: 2,
  verify: 3,
  trim: 4,
  treeNodes: 5,
  branches: 6,
  minProbability: 7,
  maxEntropy: 8,
  minAcceptance: 9,
  minSurvival: 10,
  keep: 11,
  hasModel: 12,
  bias: 13,
  logit: 14,
  margin: 15,
  entropy: 16,
  place: 17,
  match: 18,
  ngramBias: 19,
  ngramLogit: 20,
  tokensPerMs: 21,
  draftMs: 22,
  startMs: 23,
  rebuildMs: 24,
  ahead: 25,
  curveLength: 26,
} as const;
const CURVE_START = 27;

const HEADER_LENGTH = Object.keys(HEADER).length;
/** Of a plain step: its request, its header, its token. */
const PLAIN_STEP = 1 + HEADER_LENGTH + 1;
/** Plain steps that cross at once at most. */
const PLAIN_STEPS = 256;

/** Reads reports out of the exchange arrays and puts plans into them. */
export class StepExchange {
  readonly #maxDepth: number;
  /** Out of every controller's reach, so that steps still to be unpacked outlive a torn exchange. */
  readonly #plainSteps = new Float64Array(PLAIN_STEPS * PLAIN_STEP);
  #arrays: Exchange;
  #lent: readonly { readonly length: number }[];
  // Views of each length, made once: a view costs more than all else in a report.
  #tokens: Int32Array[] = [];
  #draftTokens: Int32Array[] = [];
  #probabilities: Float32Array[] = [];
  #margins: Float32Array[] = [];
  #entropies: Float32Array[] = [];
  #matches: Float32Array[] = [];
  #origins: Uint8Array[] = [];

  constructor(maxDepth: number) {
    this.#maxDepth = maxDepth;
    this.#arrays = this.#make();
    this.#lent = Object.values(this.#arrays);
  }

  get arrays(): Exchange {
    return this.#arrays;
  }

  /** True where the report just told is its request's last: no plan is wanted. */
  get isLast(): boolean {
    return this.#arrays.header[HEADER.last] === 1;
  }

  /** True where a plan is wanted after the report just told; false while the last one holds. */
  get isAsked(): boolean {
    return this.#arrays.header[HEADER.asked] === 1;
  }

  /** Of the prompt's report: how many of its tokens were in the cache already, and the milliseconds it took. */
  get prompt(): { reused: number; ms: number } | undefined {
    const { header } = this.#arrays;
    if (header[HEADER.step] !== 0) return undefined;
    return { reused: header[HEADER.reused]!, ms: header[HEADER.verifyMs]! };
  }

  /** True where a controller has taken the memory of an array away (by `postMessage`, say); `renew` mends it. */
  get isTorn(): boolean {
    for (const { length } of this.#lent) if (length === 0) return true;
    return false;
  }

  /** Puts plain step `i` of those just told where a report stands. Answers its request. */
  unpack(i: number): number {
    const { header, tokens } = this.#arrays;
    const from = this.#plainSteps;
    let at = i * PLAIN_STEP;
    const request = from[at++]!;
    for (let place = 0; place < HEADER_LENGTH; place++) header[place] = from[at++]!;
    tokens[0] = from[at]!;
    return request;
  }

  renew(): Exchange {
    this.#arrays = this.#make();
    this.#lent = Object.values(this.#arrays);
    this.#tokens = [];
    this.#draftTokens = [];
    this.#probabilities = [];
    this.#margins = [];
    this.#entropies = [];
    this.#matches = [];
    this.#origins = [];
    return this.#arrays;
  }

  /** The report that native code has just told of. Its arrays are views of the exchange. */
  report(text: string, drafters: readonly string[]): StepReport {
    const { header, tokens, draftTokens, probabilities, margins, entropies, matches, origins } = this.#arrays;
    const { besideTokens, besideParents, besideProbabilities } = this.#arrays;
    const number = (place: number) => header[place]!;
    const drafted = number(HEADER.drafted);
    const emitted = number(HEADER.tokens);
    const beside = number(HEADER.beside);
    this.#draftTokens[drafted] ??= draftTokens.subarray(0, drafted);
    this.#tokens[emitted] ??= tokens.subarray(0, emitted);
    // A drafter that says no probability of its tokens says none of any.
    const told = drafted > 0 && Number.isNaN(probabilities[0]) ? 0 : drafted;
    this.#probabilities[told] ??= probabilities.subarray(0, told);
    this.#margins[told] ??= margins.subarray(0, told);
    this.#entropies[told] ??= entropies.subarray(0, told);
    this.#matches[drafted] ??= matches.subarray(0, drafted);
    this.#origins[drafted] ??= origins.subarray(0, drafted);
    const report: StepReport = {
      step: number(HEADER.step),
      position: number(HEADER.position),
      depth: number(HEADER.depth),
      drafted,
      verified: number(HEADER.verified),
      accepted: number(HEADER.accepted),
      draftTokens: this.#draftTokens[drafted],
      tokens: this.#tokens[emitted],
      text,
      probabilities: this.#probabilities[told],
      margins: this.#margins[told],
      entropies: this.#entropies[told],
      origins: this.#origins[drafted],
      matches: this.#matches[drafted],
      draftMs: number(HEADER.draftMs),
      verifyMs: number(HEADER.verifyMs),
      catchUpMs: number(HEADER.catchUpMs),
      otherMs: number(HEADER.otherMs),
      rows: number(HEADER.rows),
      contextLength: number(HEADER.contextLength),
      drafter: drafters[number(HEADER.drafter)] ?? '',
      drafterLag: number(HEADER.drafterLag),
      late: number(HEADER.late) === 1,
      load: { running: number(HEADER.running), waiting: number(HEADER.waiting) },
    };
    if (beside > 0)
      report.branches = {
        tokens: besideTokens.subarray(0, beside),
        parents: besideParents.subarray(0, beside),
        probabilities: besideProbabilities.subarray(0, beside),
        accepted: number(HEADER.besideAccepted),
      };
    return report;
  }

  plan(plan: Readonly<NativePlan>): void {
    const target = this.#arrays.plan;
    const { acceptance: model, value } = plan;
    target[PLAN.depth] = plan.depth;
    target[PLAN.drafter] = plan.drafter;
    target[PLAN.steps] = plan.steps;
    target[PLAN.verify] = plan.verify;
    target[PLAN.trim] = plan.trim ? 1 : 0;
    target[PLAN.treeNodes] = plan.treeNodes;
    target[PLAN.branches] = plan.branches;
    target[PLAN.minProbability] = plan.minProbability;
    target[PLAN.maxEntropy] = plan.maxEntropy;
    target[PLAN.minAcceptance] = plan.minAcceptance;
    target[PLAN.minSurvival] = plan.minSurvival;
    target[PLAN.keep] = plan.keep ? 1 : 0;
    target[PLAN.hasModel] = model ? 1 : 0;
    if (model) {
      target[PLAN.bias] = model.bias;
      target[PLAN.logit] = model.logit;
      target[PLAN.margin] = model.margin;
      target[PLAN.entropy] = model.entropy;
      target[PLAN.place] = model.place;
      target[PLAN.match] = model.match;
      target[PLAN.ngramBias] = model.ngramBias;
      target[PLAN.ngramLogit] = model.ngramLogit;
    }
    target[PLAN.curveLength] = value ? value.verifyMs.length : 0;
    if (value) {
      target[PLAN.tokensPerMs] = value.tokensPerMs;
      target[PLAN.draftMs] = value.draftMs;
      target[PLAN.startMs] = value.startMs ?? 0;
      target[PLAN.rebuildMs] = value.rebuildMs ?? 0;
      target[PLAN.ahead] = value.ahead;
      for (let i = 0; i < value.verifyMs.length; i++) target[CURVE_START + i] = value.verifyMs[i]!;
    }
  }

  #make(): Exchange {
    return {
      header: new Float64Array(HEADER_LENGTH),
      tokens: new Int32Array(this.#maxDepth + 1),
      draftTokens: new Int32Array(this.#maxDepth),
      probabilities: new Float32Array(this.#maxDepth),
      margins: new Float32Array(this.#maxDepth),
      entropies: new Float32Array(this.#maxDepth),
      matches: new Float32Array(this.#maxDepth),
      origins: new Uint8Array(this.#maxDepth),
      besideTokens: new Int32Array(this.#maxDepth),
      besideParents: new Int32Array(this.#maxDepth),
      besideProbabilities: new Float32Array(this.#maxDepth),
      plan: new Float64Array(CURVE_START + MAX_CURVE),
      plainSteps: this.#plainSteps,
    };
  }
}
