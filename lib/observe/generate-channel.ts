// The diagnostics channel 'adaptive-spec:generate': what a tracer makes spans of, in OpenTelemetry's words for GenAI.

import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import { basename } from 'node:path';
import { AdaptiveSpecError } from '../errors.js';
import type { Generation } from '../generation.js';
import type { CheckedRequest } from '../options.js';
import type { GenerationResult } from '../result.js';

/** Name of the tracing channel; `tracingChannel` of node:diagnostics_channel gives its parts. */
export const GENERATE_CHANNEL = 'adaptive-spec:generate';

/** A value of a span's attribute, as OpenTelemetry allows it. */
export type AttributeValue = string | number | boolean | string[] | number[];

/**
 * What subscribers of 'adaptive-spec:generate' get, one object per generation: at `start` with what was asked for, at
 * `asyncStart` and `asyncEnd` with what came of it, after an `error` where it failed. No text of prompt or answer is in
 * it.
 */
export interface GenerateTrace {
  /** What a span may be called: operation and model. */
  name: string;
  /** Names of OpenTelemetry's semantic conventions for GenAI, `adaptive_spec.…` for speculation. Times in seconds. */
  attributes: Record<string, AttributeValue>;
  /** Where the generation was refused or failed. */
  error?: unknown;
  /** Where it ended with a result. */
  result?: GenerationResult;
}

const channel: TracingChannel<string, GenerateTrace> = tracingChannel(GENERATE_CHANNEL);

/**
 * Starts a generation, and tells the channel of it where anybody listens there; where nobody does it costs one look.
 * Throws what `start` throws.
 */
export function traceGeneration(
  generation: Generation,
  request: CheckedRequest,
  modelPath: string,
  start: () => void,
): void {
  if (!channel.hasSubscribers) {
    start();
    return;
  }
  const trace = begunTrace(request, basename(modelPath).replace(/\.gguf$/i, ''));
  let refused: { error: unknown } | undefined;
  channel
    .tracePromise(async () => {
      try {
        try {
          start();
        } catch (error) {
          refused = { error };
          throw error;
        }
        const result = await generation;
        Object.assign(trace.attributes, resultAttributes(result));
        return result;
      } catch (error) {
        trace.attributes['error.type'] = typeOf(error);
        throw error;
      }
    }, trace)
    // The caller has it from the generation.
    .catch(() => {});
  if (refused) throw refused.error;
}

function begunTrace(request: CheckedRequest, model: string): GenerateTrace {
  const operation = request.messages ? 'chat' : 'text_completion';
  const { responseFormat, stop, seed } = request;
  const attributes: GenerateTrace['attributes'] = {
    'gen_ai.operation.name': operation,
    'gen_ai.provider.name': 'adaptive_spec',
    'gen_ai.request.model': model,
    'gen_ai.request.max_tokens': request.maxTokens,
    'gen_ai.request.temperature': request.temperature,
    'gen_ai.request.top_k': request.topK,
    'gen_ai.request.top_p': request.topP,
    'gen_ai.request.frequency_penalty': request.frequencyPenalty,
    'gen_ai.request.presence_penalty': request.presencePenalty,
    'gen_ai.output.type': responseFormat && responseFormat.type !== 'text' ? 'json' : 'text',
  };
  if (seed !== undefined) attributes['gen_ai.request.seed'] = seed;
  const stops = typeof stop === 'string' ? [stop] : [...stop];
  if (stops.length > 0) attributes['gen_ai.request.stop_sequences'] = stops;
  return { name: `${operation} ${model}`, attributes };
}

function resultAttributes({ finishReason, usage, seed, stats }: GenerationResult) {
  return {
    'gen_ai.response.finish_reasons': [finishReason],
    'gen_ai.response.time_to_first_chunk': stats.timeToFirstTokenMs / 1000,
    'gen_ai.usage.input_tokens': usage.promptTokens,
    'gen_ai.usage.output_tokens': usage.completionTokens,
    'gen_ai.request.seed': seed,
    'adaptive_spec.controller': stats.controller.name,
    'adaptive_spec.steps': stats.steps,
    'adaptive_spec.draft_tokens': stats.draftTokens,
    'adaptive_spec.accepted_tokens': stats.acceptedTokens,
    'adaptive_spec.acceptance_rate': stats.acceptanceRate,
    'adaptive_spec.mean_acceptance_length': stats.meanAcceptanceLength,
    'adaptive_spec.acceptance_per_position': [...stats.acceptancePerPosition],
    'adaptive_spec.tokens_per_second': stats.tokensPerSecond,
    'adaptive_spec.queue_time': stats.queueMs / 1000,
    'adaptive_spec.prompt_time': stats.promptMs / 1000,
    'adaptive_spec.decode_time': stats.decodeMs / 1000,
    'adaptive_spec.draft_time': stats.draftMs / 1000,
    'adaptive_spec.verify_time': stats.verifyMs / 1000,
    'adaptive_spec.late_plans': stats.controller.latePlans,
    'adaptive_spec.controller_errors': stats.controller.errors,
  };
}

/** `error.type`: a code of ours, or the error's own name. */
function typeOf(error: unknown): string {
  if (error instanceof AdaptiveSpecError) return error.code;
  return error instanceof Error && error.name !== '' ? error.name : '_OTHER';
}
