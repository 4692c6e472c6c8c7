// One request's way through the server: it waits for a slot, generates, and leaves, however it ends.

import type { CallPart } from '../generation.js';
import type { TokenLogprobs } from '../logprobs.js';
import type { RequestOptions } from '../options.js';
import type { GenerationResult } from '../result.js';
import { HttpError } from './http-error.js';
import type { ServedRequest } from './request.js';
import type { ServedEngine } from './served-engine.js';
import type { Slots } from './slots.js';
import type { BegunRequest, ServerState } from './state.js';

/** Of a request with tools: what it says beside its calls, and these. */
export type AnswerPart = { type: 'content'; text: string } | CallPart;

/** What an answer is made of. */
export type RunPart =
  | { type: 'begin' }
  /** `tokens`: those since the piece before; `logprobs`: theirs, where the request asks for them. */
  | { type: 'text'; text: string; tokens: number[]; logprobs: TokenLogprobs[] }
  | AnswerPart
  /** `queueMs`: what the request waited for its slot. */
  | { type: 'finish'; result: GenerationResult; queueMs: number };

export interface RunContext {
  engine: ServedEngine;
  slots: Slots;
  state: ServerState;
  modelName: string;
  /** Whose texts the request may go on from; undefined: nobody's. */
  cache: string | undefined;
}

/**
 * Runs a request until its text ends or `signal` is aborted, which frees the slot within a step. With an HttpError as
 * the signal's reason the parts end with it. Throws what refuses the request, before 'begin', and what ends it.
 */
export async function* run(
  { engine, slots, state, modelName, cache }: RunContext,
  request: ServedRequest,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<RunPart, void, undefined> {
  const asked = performance.now();
  const release = await slots.take(signal);
  const queueMs = performance.now() - asked;
  try {
    // Now, so that who waited gets what was chosen meanwhile.
    const options = { ...withDefaults(request.options, state), ...(cache === undefined ? {} : { cache }) };
    const generation = engine.generate(options);
    const parts = generation.events();
    const stop = () => generation.abort();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    await generation.begun;
    const { promptTokens } = generation;
    if (promptTokens === undefined) {
      signal.removeEventListener('abort', stop);
      await generation;
      if (signal.reason instanceof HttpError) throw signal.reason;
      return;
    }
    state.emit('begin', begun(request, options, { id, model: modelName, promptTokens }));
    let tokens: number[] = [];
    let logprobs: TokenLogprobs[] = [];
    let result: GenerationResult | undefined;
    let failure: unknown;
    try {
      yield { type: 'begin' };
      for await (const part of parts) {
        if (part.type === 'step') {
          tokens.push(...part.step.tokens);
          state.emit('step', id, part.step);
        } else if (part.type === 'logprobs') logprobs.push(...part.logprobs);
        else if (part.type === 'text') {
          yield { ...part, tokens, logprobs };
          tokens = [];
          logprobs = [];
        } else if (part.type === 'finish') result = part.result;
        else yield part;
      }
      if (signal.aborted && signal.reason instanceof HttpError) throw signal.reason;
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
      // The slot is free when the engine has let go of the request, not when it was told to.
      generation.abort();
      await generation.then(
        (value) => {
          result = value;
        },
        () => {},
      );
      state.emit('end', id, failure === undefined ? result : undefined, failure);
    }
    if (result && !signal.aborted) yield { type: 'finish', result, queueMs };
  } finally {
    release();
  }
}

function withDefaults(asked: RequestOptions, { policy }: ServerState): RequestOptions {
  // Steps are counted for the figures in the reply.
  const options = { ...asked, steps: true };
  return asked.controller === undefined && asked.depth === undefined ? { ...options, ...policy } : options;
}

function begun(
  { kind }: ServedRequest,
  { controller, depth, maxTokens }: RequestOptions,
  rest: Pick<BegunRequest, 'id' | 'model' | 'promptTokens'>,
): BegunRequest {
  const name = typeof controller === 'string' ? controller : (controller?.name ?? 'fixed');
  return {
    ...rest,
    kind,
    controller: name === '' ? 'custom' : name,
    ...(depth === undefined ? {} : { depth }),
    maxTokens: maxTokens!,
  };
}
