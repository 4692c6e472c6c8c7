// A generation as its caller holds it: a promise of the result, and an iterable of what comes before.

import type { StepReport } from './control/controller.js';
import { type Deferred, deferred } from './deferred.js';
import type { TokenLogprobs } from './logprobs.js';
import type { GenerationResult } from './result.js';

/** A call of a tool, as it is written. */
export type CallPart =
  /** A call begins, the result's `toolCalls[index]`. */
  | { type: 'call'; index: number; id: string; name: string }
  /** More of its arguments, as JSON. */
  | { type: 'arguments'; index: number; text: string };

/** What `events()` yields. A step's report is a copy and may be kept. */
export type GenerationPart =
  | { type: 'text'; text: string }
  /** With the option `logprobs`: of a step's tokens, in front of its text, which may come later or be withheld. */
  | { type: 'logprobs'; logprobs: TokenLogprobs[] }
  /** With `tools`: what the model says beside its calls, which `text` has as the model writes it. */
  | { type: 'content'; text: string }
  /** With `tools`. */
  | CallPart
  | { type: 'step'; step: StepReport }
  | { type: 'finish'; result: GenerationResult };

/** The side that writes. @internal */
export interface GenerationSource {
  readonly id: number;
  /** Undefined where they aren't counted yet. */
  readonly promptTokens: number | undefined;
  /** Somebody waits for what it writes. */
  follow(): void;
  /** Asked to stop: by the caller, by a broken loop, or by `await using`. */
  abort(reason: unknown): void;
}

/**
 * A running generation. Await it for the result; iterate it for the text as it comes; `events()` tells more. Leaving
 * a loop early stops the generation. An error rejects the promise and ends every loop; where neither is waited for it
 * shows nowhere.
 */
export class Generation implements PromiseLike<GenerationResult>, AsyncIterable<string>, AsyncDisposable {
  readonly #end = deferred<GenerationResult>();
  readonly #begun = deferred<void>();
  #source: GenerationSource | undefined;
  #abortReason: { reason: unknown } | undefined;
  readonly #parts: GenerationPart[] = [];
  #over = false;
  #error: { error: unknown } | undefined;
  #wantsSteps = false;
  #isFollowed = false;
  /** Where somebody waits for the next part. */
  #news: Deferred<void> | undefined;

  constructor() {
    // A caller who only iterates gets the error there; it must not count as an unhandled rejection as well.
    this.#end.promise.catch(() => {});
  }

  // biome-ignore lint/suspicious/noThenProperty: a generation is awaited like a promise, by design.
  then<A = GenerationResult, B = never>(
    onResult?: ((result: GenerationResult) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#end.promise.then(onResult, onError);
  }

  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<GenerationResult | B> {
    return this.#end.promise.catch(onError);
  }

  finally(onEnd?: (() => void) | null): Promise<GenerationResult> {
    return this.#end.promise.finally(onEnd);
  }

  /** Stops at the next step. Then the promise resolves with what there is, finishReason 'aborted'. */
  abort(): void {
    this.#stop(ABANDONED);
  }

  [Symbol.asyncIterator](): AsyncIterator<string, void, undefined> {
    return this.#texts();
  }

  /** The engine's number of the request, as `Engine.on` tells it; undefined where the request was refused. */
  get id(): number | undefined {
    return this.#source?.id;
  }

  /** Tokens of the prompt; undefined where the request was refused, and of a long prompt until `begun`. */
  get promptTokens(): number | undefined {
    return this.#source?.promptTokens;
  }

  /** Resolves when the prompt's tokens are known: at once, but for a long prompt; or when the generation is over. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  /** Text, content, calls, steps and the finish. Steps are kept from this call on: call it at once, and get them all. */
  events(): AsyncIterableIterator<GenerationPart> {
    this.#wantsSteps = true;
    return this.#iterate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop(ABANDONED);
    await this.#end.promise.catch(() => {});
  }

  async *#texts(): AsyncGenerator<string, void, undefined> {
    for await (const part of this.#iterate()) if (part.type === 'text') yield part.text;
  }

  async *#iterate(): AsyncGenerator<GenerationPart, void, undefined> {
    try {
      this.#isFollowed = true;
      this.#source?.follow();
      for (let next = 0; ; ) {
        if (next < this.#parts.length) yield this.#parts[next++]!;
        else if (this.#error) throw this.#error.error;
        else if (this.#over) return;
        else {
          this.#news ??= deferred<void>();
          await this.#news.promise;
        }
      }
    } finally {
      this.#stop(ABANDONED);
    }
  }

  #stop(reason: unknown): void {
    if (this.#over || this.#abortReason) return;
    this.#abortReason = { reason };
    this.#source?.abort(reason);
  }

  /** Stops as `abort` does, but with a reason for the source to judge by. @internal */
  stop(reason: unknown): void {
    this.#stop(reason);
  }

  /** @internal */
  get isOver(): boolean {
    return this.#over;
  }

  /** @internal */
  get wantsSteps(): boolean {
    return this.#wantsSteps;
  }

  /** Connects the side that writes; an abort that came before reaches it now. @internal */
  connect(source: GenerationSource): void {
    this.#source = source;
    if (source.promptTokens !== undefined) this.#begun.resolve();
    if (this.#isFollowed) source.follow();
    if (this.#abortReason) source.abort(this.#abortReason.reason);
  }

  /** @internal */
  push(part: GenerationPart): void {
    const last = this.#parts.at(-1);
    // Before anybody looks, the text is one.
    if (!this.#isFollowed && part.type === 'text' && last?.type === 'text') last.text += part.text;
    else this.#parts.push(part);
    this.#wake();
  }

  /** @internal */
  finish(result: GenerationResult): void {
    if (this.#over) return;
    this.#over = true;
    this.#parts.push({ type: 'finish', result });
    this.#begun.resolve();
    this.#end.resolve(result);
    this.#wake();
  }

  /** @internal */
  fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = { error };
    this.#begun.resolve();
    this.#end.reject(error);
    this.#wake();
  }

  #wake(): void {
    this.#news?.resolve();
    this.#news = undefined;
  }
}

/** The reason of an abort by the caller's own hand, which is no error. @internal */
export const ABANDONED = Symbol('abandoned');
