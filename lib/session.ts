// A conversation that keeps what it has read: its requests go on from there.

import type { NativeResult, NativeSessionState } from './binding.js';
import { AdaptiveSpecError } from './errors.js';
import { Generation } from './generation.js';
import { type CheckedRequest, checkPath, checkRequestOptions, type RequestOptions } from './options.js';

/** What a session needs of its engine. @internal */
export interface SessionEngine {
  start(
    request: CheckedRequest,
    generation: Generation,
    how: { session: HeldSession; quiet?: boolean },
  ): void;
  forgetSession(id: number): void;
  /** Throws UNSUPPORTED where the model's caches can't be saved. */
  mustSaveSessions(): void;
  writeSession(path: string, state: NativeSessionState): Promise<void>;
  readonly info: { contextSize: number };
}

/** One request as its session sees it. @internal */
export interface SessionRequest {
  id: number;
  saves: boolean;
  /** What the session begins from; asked once, when the request is sent off. */
  begin(): NativeSessionState | undefined;
  over(prompt: Int32Array, native: NativeResult): void;
}

/** A session's own request, which may have to wait for its prompt's tokens. @internal */
export interface HeldSession extends SessionRequest {
  /** Keeps others of the session out from now on; answers what ends that, where the request is never sent off. */
  hold(): () => void;
}

/**
 * A conversation that keeps its KV caches between requests. Made by `engine.session()`. A request reads only what its
 * prompt doesn't have in common with the text so far; the result is the one without a session. An engine keeps as many
 * sessions in its caches as it has `parallel` requests; one that had to make room reads its prompt anew.
 */
export class Session implements Disposable {
  readonly #engine: SessionEngine;
  readonly #id: number;
  /** Prompt and output of the last request: what the caches hold, or held. */
  #text: Int32Array = new Int32Array();
  #restored: NativeSessionState | undefined;
  #isRunning = false;
  #isClosed = false;

  /** @internal */
  constructor(engine: SessionEngine, id: number, restored?: NativeSessionState) {
    this.#engine = engine;
    this.#id = id;
    this.#restored = restored;
    if (restored) this.#text = restored.tokens;
  }

  /** Tokens of prompt and output of the last request; 0 before the first. */
  get length(): number {
    return this.#text.length;
  }

  /** Whether a request of this session has not ended. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /**
   * Starts a generation, as `engine.generate` does; `stats.reusedPromptTokens` says how much of the prompt needed no
   * reading. One at a time: rejects with BUSY while another of this session runs.
   */
  generate(options: RequestOptions): Generation {
    const generation = new Generation();
    try {
      this.#mustBeFree();
      const request = checkRequestOptions(options);
      if (request.cache !== undefined) {
        throw new AdaptiveSpecError(
          'INVALID_ARGUMENT',
          'A request of a session names a cache',
          'Leave cache out: a session goes on from its own text.',
        );
      }
      this.#engine.start(request, generation, {
        session: this.#request((prompt, { tokens }) => {
          this.#text = new Int32Array(prompt.length + tokens.length);
          this.#text.set(prompt);
          this.#text.set(tokens, prompt.length);
        }),
      });
    } catch (error) {
      generation.fail(error);
    }
    return generation;
  }

  /**
   * Writes the session to a file, for `engine.session({ restore })` of an engine with the same models and settings. What
   * had to make room is computed again for it. Throws SESSION_FAILED, BUSY, UNSUPPORTED (models with a sliding window,
   * recurrent ones), INVALID_ARGUMENT before the first request, OUT_OF_MEMORY.
   */
  async save(path: string): Promise<void> {
    const checked = checkPath(path);
    this.#mustBeFree();
    this.#engine.mustSaveSessions();
    if (this.#text.length === 0) {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        'The session has no text yet',
        'Generate something first.',
      );
    }
    let saved: NativeSessionState | undefined;
    const generation = new Generation();
    // A request that reads the text as far as it isn't cached, and a token more, which the session doesn't take in.
    const prompt = this.#text.slice(0, this.#engine.info.contextSize);
    const request = checkRequestOptions({ prompt, maxTokens: 1, controller: 'off', share: false });
    this.#engine.start(request, generation, {
      quiet: true,
      session: this.#request((_, native) => {
        saved = native.saved;
      }, true),
    });
    await generation;
    if (!saved) {
      throw new AdaptiveSpecError(
        'OUT_OF_MEMORY',
        'There is no memory for a copy of what the session has read',
        'Free some memory, or use a smaller contextSize.',
      );
    }
    await this.#engine.writeSession(checked, saved);
  }

  /** Gives up what the session has cached. A request that runs goes on; later ones are rejected with DISPOSED. */
  close(): void {
    this.#isClosed = true;
    this.#restored = undefined;
    if (!this.#isRunning) this.#engine.forgetSession(this.#id);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #request(onOver: SessionRequest['over'], saves = false): HeldSession {
    const release = () => {
      this.#isRunning = false;
      if (this.#isClosed) this.#engine.forgetSession(this.#id);
    };
    return {
      id: this.#id,
      saves,
      hold: () => {
        this.#isRunning = true;
        return release;
      },
      begin: () => {
        this.#isRunning = true;
        const restored = this.#restored;
        this.#restored = undefined;
        return restored;
      },
      over: (prompt, native) => {
        onOver(prompt, native);
        release();
      },
    };
  }

  #mustBeFree(): void {
    if (this.#isClosed)
      throw new AdaptiveSpecError('DISPOSED', 'The session is closed', 'Make another with engine.session().');
    if (this.#isRunning)
      throw new AdaptiveSpecError(
        'BUSY',
        'A request of this session is running',
        'Await it, or make a session for each conversation.',
      );
  }
}
