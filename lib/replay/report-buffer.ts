// The step report that a replayed controller reads: one object and its arrays, reused at every step, like live.

import type { StepReport } from '../control/controller.js';
import type { ReplayGeneration } from './generation.js';
import type { ReplayStep } from './replay.js';

/** Views of an array by length, made once each. */
class Views<A extends Int32Array | Float32Array | Uint8Array> {
  readonly #whole: A;
  readonly #views: A[] = [];

  constructor(whole: A) {
    this.#whole = whole;
  }

  /** Copies `length` numbers of `from`, so that nothing done to the view reaches the trace. */
  fill(from: A, start: number, length: number): A {
    for (let i = 0; i < length; i++) this.#whole[i] = from[start + i]!;
    this.#views[length] ??= this.#whole.subarray(0, length) as A;
    return this.#views[length]!;
  }
}

export class ReportBuffer {
  readonly report: StepReport;
  readonly #generation: ReplayGeneration;
  readonly #draftTokens: Views<Int32Array>;
  readonly #tokens: Views<Int32Array>;
  readonly #probabilities: Views<Float32Array>;
  readonly #margins: Views<Float32Array>;
  readonly #entropies: Views<Float32Array>;
  readonly #matches: Views<Float32Array>;
  readonly #origins: Views<Uint8Array>;

  constructor(generation: ReplayGeneration, sequences: number) {
    this.#generation = generation;
    const { width } = generation;
    this.#draftTokens = new Views(new Int32Array(width));
    this.#tokens = new Views(new Int32Array(width + 1));
    this.#probabilities = new Views(new Float32Array(width));
    this.#margins = new Views(new Float32Array(width));
    this.#entropies = new Views(new Float32Array(width));
    this.#matches = new Views(new Float32Array(width));
    this.#origins = new Views(new Uint8Array(width));
    this.report = {
      step: 0,
      position: 0,
      depth: 0,
      drafted: 0,
      verified: 0,
      accepted: 0,
      draftTokens: new Int32Array(0),
      tokens: new Int32Array(0),
      text: '',
      probabilities: new Float32Array(0),
      margins: new Float32Array(0),
      entropies: new Float32Array(0),
      origins: new Uint8Array(0),
      matches: new Float32Array(0),
      draftMs: 0,
      verifyMs: 0,
      catchUpMs: 0,
      otherMs: 0,
      rows: 0,
      contextLength: 0,
      drafter: '',
      drafterLag: 0,
      late: false,
      load: { running: sequences, waiting: 0 },
    };
  }

  /** The prompt's report. How long the prompt took is not in a trace. */
  prompt(): void {
    this.report.contextLength = this.#generation.contextLength[0]!;
    this.report.drafterLag = this.#generation.promptTokens;
  }

  /** The report of a step just made, the `number`th. */
  step(step: Readonly<ReplayStep>, number: number, drafterLag: number): void {
    const g = this.#generation;
    const { position, drafted, emitted } = step;
    const start = position * g.width;
    const signals = g.hasSignals ? drafted : 0;
    Object.assign(this.report, {
      step: number,
      position: position + emitted,
      depth: step.depth,
      drafted,
      verified: step.verified,
      accepted: step.accepted,
      draftTokens: this.#draftTokens.fill(g.draft, start, drafted),
      tokens: this.#tokens.fill(g.tokens, position, emitted),
      text: emitted === 1 ? g.texts[position] : g.texts.slice(position, position + emitted).join(''),
      probabilities: this.#probabilities.fill(g.probabilities, start, signals),
      margins: this.#margins.fill(g.margins, start, signals),
      entropies: this.#entropies.fill(g.entropies, start, signals),
      origins: this.#origins.fill(g.origins, start, drafted),
      matches: this.#matches.fill(g.matches, start, drafted),
      draftMs: step.draftMs,
      verifyMs: step.verifyMs,
      catchUpMs: step.catchUpMs,
      otherMs: step.otherMs,
      rows: step.verified + 1,
      contextLength: g.contextLength[position]! + 1 + step.accepted,
      drafter: drafted > 0 ? g.drafter : '',
      drafterLag,
    });
  }
}
