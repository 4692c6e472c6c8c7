// Puts long texts into tokens while JavaScript goes on: native code's thread does the long steps, and short ones leave
// room for other work between them.

import { setImmediate } from 'node:timers/promises';
import type { NativeEngine, NativeFault } from './binding.js';
import { type Deferred, deferred } from './deferred.js';
import { AdaptiveSpecError, type ErrorCode } from './errors.js';
import { LONG_TEXT, lengthOf, stepNow, type Wording, type WordingStep } from './wording.js';

/** Milliseconds after which other work gets its turn. */
const TURN_MS = 3;

export class WordDesk {
  readonly #native: NativeEngine;
  readonly #newId: () => number;
  readonly #answers = new Map<number, Deferred<unknown>>();
  #words = 0;
  #closed: { error: unknown } | undefined;

  constructor(native: NativeEngine, newId: () => number) {
    this.#native = native;
    this.#newId = newId;
  }

  /** Whether native code has a thread for long texts. */
  get isThere(): boolean {
    return this.#native.tokenizeLater !== undefined;
  }

  /** Texts that are being put into tokens, or wait for it. */
  get size(): number {
    return this.#words;
  }

  /** Rejects with what a step throws, with the signal's reason, or with the error of `close`. */
  async word<T>(wording: Wording<T>, signal: AbortSignal | undefined): Promise<T> {
    this.#words++;
    try {
      // What called has already had its turn: with a long text it may have been a long one.
      await setImmediate();
      this.#mustGoOn(signal);
      let since = performance.now();
      let next = wording.next();
      while (!next.done) {
        const done =
          lengthOf(next.value) > LONG_TEXT ? await this.#later(next.value, signal) : this.#now(next.value);
        if (performance.now() - since > TURN_MS) {
          await setImmediate();
          since = performance.now();
        }
        this.#mustGoOn(signal);
        next = wording.next(done);
      }
      return next.value;
    } finally {
      this.#words--;
    }
  }

  /** Takes in what the thread has done, or failed to do. */
  answered(id: number, value: unknown): void {
    this.#answers.get(id)?.resolve(value);
  }

  failed(id: number, { code, message, hint }: NativeFault): void {
    this.#answers.get(id)?.reject(new AdaptiveSpecError(code as ErrorCode, message, hint));
  }

  /** Rejects whatever is under way, since the vocabulary goes. */
  close(error: unknown): void {
    this.#closed ??= { error };
    for (const answer of this.#answers.values()) answer.reject(error);
  }

  #now(step: WordingStep): unknown {
    return stepNow(this.#native, step);
  }

  async #later(step: WordingStep, signal: AbortSignal | undefined): Promise<unknown> {
    this.#mustGoOn(signal);
    const id = this.#newId();
    const answer = deferred<unknown>();
    this.#answers.set(id, answer);
    const stop = () => {
      this.#native.dropLater!(id);
      answer.reject(signal!.reason);
    };
    signal?.addEventListener('abort', stop, { once: true });
    try {
      this.#send(id, step);
      return await answer.promise;
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#answers.delete(id);
    }
  }

  #send(id: number, step: WordingStep): void {
    const native = this.#native;
    if (step.kind === 'tokenize') native.tokenizeLater!(id, step.text, step.addSpecial, step.parseSpecial);
    else if (step.kind === 'template') native.applyTemplateLater!(id, step.messages, step.turn);
    else if (step.kind === 'tools')
      native.applyToolsLater!(id, step.said, step.offered, step.required, step.parallel, step.turn);
  }

  #mustGoOn(signal: AbortSignal | undefined): void {
    if (this.#closed) throw this.#closed.error;
    signal?.throwIfAborted();
  }
}
