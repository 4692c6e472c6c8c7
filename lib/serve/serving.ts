// What all endpoints that generate have in common: a request runs as long as its client is there.

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { TokenLogprobs } from '../logprobs.js';
import type { RequestOptions } from '../options.js';
import type { GenerationResult } from '../result.js';
import { EventStream } from './event-stream.js';
import { clientGone } from './gone-signal.js';
import { cacheOf } from './guards.js';
import { type ErrorBody, type HttpError, httpErrorOf, unavailable } from './http-error.js';
import type { ServerMetrics } from './metrics.js';
import type { CheckedServerOptions } from './options.js';
import type { ServedRequest } from './request.js';
import { type AnswerPart, type RunPart, run } from './run.js';
import type { ServedEngine } from './served-engine.js';
import { Slots } from './slots.js';
import type { ServerState } from './state.js';

/** How an endpoint words a stream. */
export interface StreamForm {
  begin(stream: EventStream): void;
  text(
    stream: EventStream,
    text: string,
    logprobs: readonly TokenLogprobs[],
    tokens: readonly number[],
  ): void;
  /** Of a request with tools. */
  part(stream: EventStream, part: AnswerPart): void;
  finish(stream: EventStream, result: GenerationResult, queueMs: number): void;
  fail(stream: EventStream, body: ErrorBody): void;
}

export interface ServingParts {
  engine: ServedEngine;
  state: ServerState;
  metrics: ServerMetrics;
  options: CheckedServerOptions;
  modelName: string;
  fingerprint: string;
}

/** Why a request whose client has gone is aborted. */
const CLIENT_GONE = Symbol('client gone');

export class Serving {
  readonly engine: ServedEngine;
  readonly state: ServerState;
  readonly metrics: ServerMetrics;
  readonly options: CheckedServerOptions;
  readonly modelName: string;
  readonly fingerprint: string;
  readonly #slots: Slots;
  readonly #running = new Set<AbortController>();

  constructor({ engine, state, metrics, options, modelName, fingerprint }: ServingParts) {
    this.engine = engine;
    this.state = state;
    this.metrics = metrics;
    this.options = options;
    this.modelName = modelName;
    this.fingerprint = fingerprint;
    this.#slots = new Slots(engine.info.parallel, options.queue, (running, waiting) =>
      state.count(running, waiting),
    );
  }

  /** Throws the refusal of a request that would find no place behind `ahead` others, before anything else of it is looked at. */
  mustHaveRoom(ahead: number): void {
    this.#slots.mustHaveRoom(ahead);
  }

  /** The whole answer. Throws what went wrong; where the client has gone, nobody hears it. */
  async answer(
    served: ServedRequest,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<{ result: GenerationResult; queueMs: number }> {
    for await (const part of this.#run(served, request, reply)) if (part.type === 'finish') return part;
    throw clientGone();
  }

  /** Sends the answer as events. Throws what went wrong before the first one. */
  stream(
    served: ServedRequest,
    request: FastifyRequest,
    reply: FastifyReply,
    form: StreamForm,
  ): Promise<void> {
    return this.streams([served], request, reply, () => form);
  }

  /** The same for several answers, one after the other. `formOf` is called when the turn of each has come. */
  async streams(
    all: readonly ServedRequest[],
    request: FastifyRequest,
    reply: FastifyReply,
    formOf: (served: ServedRequest, index: number) => StreamForm,
  ): Promise<void> {
    const stream = new EventStream(reply, this.options);
    let form: StreamForm | undefined;
    try {
      for (const [index, served] of all.entries()) {
        form = formOf(served, index);
        let finished = false;
        for await (const part of this.#run(served, request, reply)) {
          if (part.type === 'begin') form.begin(stream);
          else if (part.type === 'text') form.text(stream, part.text, part.logprobs, part.tokens);
          else if (part.type === 'finish') {
            form.finish(stream, part.result, part.queueMs);
            finished = true;
          } else form.part(stream, part);
        }
        if (!finished) break;
      }
      if (!stream.isOpen) throw clientGone();
    } catch (error) {
      if (!stream.isOpen) {
        stream.cancel();
        throw error;
      }
      form!.fail(stream, this.told(error, request).body);
    }
  }

  /** A request's options with the server's defaults. */
  resolved(options: RequestOptions): RequestOptions {
    const { contextSize } = this.engine.info;
    const { maxTokens = contextSize, ...defaults } = this.options.defaults;
    return { ...defaults, maxTokens: Math.min(maxTokens, contextSize), ...options };
  }

  /** An error as it is answered; one of the server's own is told to its owner. */
  told(error: unknown, request: FastifyRequest): HttpError {
    const answer = httpErrorOf(error, this.engine.info.contextSize);
    this.metrics.rejected(answer.body.error.code);
    if (answer.type === 'server_error') this.options.onError?.(answer.cause ?? answer, request.id);
    return answer;
  }

  /** Ends: who waits is refused at once, who runs may go on for `drainMs`. */
  async drain(): Promise<void> {
    this.state.drain();
    const late = setTimeout(() => {
      const reason = unavailable('SHUTTING_DOWN', 'The server is shutting down', 1);
      for (const running of this.#running) running.abort(reason);
    }, this.options.drainMs);
    await this.#slots.close();
    clearTimeout(late);
  }

  /** What the request may go on from; undefined where it is to read all of its prompt. */
  #cacheOf({ cachePrompt }: ServedRequest, request: FastifyRequest): string | undefined {
    return cachePrompt && this.options.cachePrompt ? cacheOf(request) : undefined;
  }

  async *#run(
    served: ServedRequest,
    request: FastifyRequest,
    reply: FastifyReply,
  ): AsyncGenerator<RunPart, void, undefined> {
    const came = performance.now();
    const abort = new AbortController();
    this.#running.add(abort);
    const gone = () => abort.abort(CLIENT_GONE);
    reply.raw.once('close', gone);
    if (reply.raw.destroyed || request.raw.socket.destroyed) gone();
    const { engine, state, modelName } = this;
    try {
      for await (const part of run(
        { engine, state, modelName, slots: this.#slots, cache: this.#cacheOf(served, request) },
        { ...served, options: this.resolved(served.options) },
        served.part === undefined ? request.id : `${request.id}.${served.part}`,
        abort.signal,
      )) {
        if (part.type === 'finish') {
          this.metrics.answered(part.result, performance.now() - came, part.queueMs);
        }
        yield part;
      }
    } catch (error) {
      if (error !== CLIENT_GONE) throw error;
    } finally {
      this.#running.delete(abort);
      reply.raw.off('close', gone);
    }
  }
}
