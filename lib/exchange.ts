// How a step's numbers cross between native code and TypeScript: arrays that are written and read in place.

import type { Exchange } from './binding.js';
import type { StepReport } from './control/controller.js';
import type { NativePlan } from './control/driver.js';

/** Places in `Exchange.header`, in native code's order. */
const HEADER = {
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
} as const;

/** Reads reports out of the exchange arrays and puts plans into them. */
export class StepExchange {
  readonly #maxDepth: number;
  #arrays: Exchange;
  // Views of each length, made once: a view costs more than all else in a report.
  #tokens: Int32Array[] = [];
  #probabilities: Float32Array[] = [];
  #margins: Float32Array[] = [];
  #entropies: Float32Array[] = [];

  constructor(maxDepth: number) {
    this.#maxDepth = maxDepth;
    this.#arrays = this.#make();
  }

  get arrays(): Exchange {
    return this.#arrays;
  }

  /** True where the report just told is its request's last: no plan is wanted. */
  get isLast(): boolean {
    return this.#arrays.header[HEADER.last] === 1;
  }

  /** True where a controller has taken the memory of an array away (by `postMessage`, say); `renew` mends it. */
  get isTorn(): boolean {
    const { tokens, probabilities, margins, entropies } = this.#arrays;
    return tokens.length * probabilities.length * margins.length * entropies.length === 0;
  }

  renew(): Exchange {
    this.#arrays = this.#make();
    this.#tokens = [];
    this.#probabilities = [];
    this.#margins = [];
    this.#entropies = [];
    return this.#arrays;
  }

  /** The report that native code has just told of. Its arrays are views of the exchange. */
  report(text: string, drafters: readonly string[]): StepReport {
    const { header, tokens, probabilities, margins, entropies } = this.#arrays;
    const number = (place: number) => header[place]!;
    const drafted = number(HEADER.drafted);
    const emitted = number(HEADER.tokens);
    this.#tokens[emitted] ??= tokens.subarray(0, emitted);
    this.#probabilities[drafted] ??= probabilities.subarray(0, drafted);
    this.#margins[drafted] ??= margins.subarray(0, drafted);
    this.#entropies[drafted] ??= entropies.subarray(0, drafted);
    return {
      step: number(HEADER.step),
      position: number(HEADER.position),
      depth: number(HEADER.depth),
      drafted,
      verified: drafted,
      accepted: number(HEADER.accepted),
      draftTokens: new Int32Array(drafted),
      tokens: this.#tokens[emitted],
      text,
      probabilities: this.#probabilities[drafted],
      margins: this.#margins[drafted],
      entropies: this.#entropies[drafted],
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
  }

  plan(plan: Readonly<NativePlan>): void {
    const target = this.#arrays.plan;
    target[0] = plan.depth;
    target[1] = plan.minProbability;
    target[2] = plan.drafter;
  }

  #make(): Exchange {
    return {
      header: new Float64Array(Object.keys(HEADER).length),
      tokens: new Int32Array(this.#maxDepth + 1),
      probabilities: new Float32Array(this.#maxDepth),
      margins: new Float32Array(this.#maxDepth),
      entropies: new Float32Array(this.#maxDepth),
      plan: new Float64Array(3),
    };
  }
}
