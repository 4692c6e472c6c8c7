// When an answer is read while it is written: a reader may read all of the text again each time.

import type { AnswerDelta, AnswerReader } from './answer-reader.js';

/** Between two readings pass so many times the first one's duration: reading takes 2 % of the time at most. */
const REST = 50;

/** Reads behind the engine's back, so that no step waits for it. */
export class PacedReading {
  readonly #reader: AnswerReader;
  readonly #tell: (deltas: AnswerDelta[]) => void;
  #timer: NodeJS.Timeout | undefined;
  #restMs = 0;

  constructor(reader: AnswerReader, tell: (deltas: AnswerDelta[]) => void) {
    this.#reader = reader;
    this.#tell = tell;
  }

  /** `isHeard`: somebody listens, so that it is worth reading before the end. */
  add(text: string, isHeard: boolean): void {
    this.#reader.add(text);
    if (isHeard) this.#timer ??= setTimeout(() => this.#read(), this.#restMs);
  }

  /** No more comes. Tells the rest; answers the whole. */
  end(isWhole: boolean): ReturnType<AnswerReader['end']> {
    this.stop();
    const answer = this.#reader.end(isWhole);
    this.#tell(answer.rest);
    return answer;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #read(): void {
    this.#timer = undefined;
    const start = performance.now();
    const deltas = this.#reader.read();
    this.#restMs = REST * (performance.now() - start);
    this.#tell(deltas);
  }
}
