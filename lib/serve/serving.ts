// What all endpoints that generate have in common: a request runs as long as its client is there.

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { TokenLogprobs } from '../logprobs.js';
import type { GenerationResult } from '../result.js';
import { EventStream } from './event-stream.js';
import { type ErrorBody, HttpError, httpErrorOf, unavailable } from './http-error.js';
import type { ServerMetrics } from './metrics.js';
import type { CheckedServerOptions } from './options.js';
import type { ServedRequest } from './request.js';
import { type RunPart, run } from './run.js';
import type { ServedEngine } from './served-engine.js';
import { Slots } from './slots.js';
import type { ServerState } from './state.js';

/** How an endpoint words a stream. */
export interface StreamForm {
  begin(stream: EventStream): void;
  text(stream: EventStream, text: string, logprobs: readonly TokenLogprobs[]): void;
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

/** What nobody hears, but the metrics count. */
function clientGone(): HttpError {
  return new HttpError('unavailable_error', 'The client has gone', { code: 'CLIENT_GONE' });
}

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

  /** Throws the refusal of a request that would find no place, before anything else of it is looked at. */
  mustHaveRoom(): void {
    this.#slots.mustHaveRoom();
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
  async stream(
    served: ServedRequest,
    request: FastifyRequest,
    reply: FastifyReply,
    form: StreamForm,
  ): Promise<void> {
    const stream = new EventStream(reply, this.options);
    try {
      for await (const part of this.#run(served, request, reply)) {
        if (part.type === 'begin') form.begin(stream);
        else if (part.type === 'text') form.text(stream, part.text, part.logprobs);
        else form.finish(stream, part.result, part.queueMs);
      }
      if (!stream.isOpen) throw clientGone();
    } catch (error) {
      if (!stream.isOpen) {
        stream.cancel();
        throw error;
      }
      form.fail(stream, this.told(error, request).body);
    }
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
        { engine, state, modelName, slots: this.#slots },
        served,
        request.id,
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
