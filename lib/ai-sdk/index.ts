// What `import … from 'adaptive-spec/ai-sdk'` gives: a language model for the AI SDK, versions 6 and 7.

import type {
  LanguageModelV3,
  LanguageModelV3CallOptions,
  LanguageModelV3FinishReason,
  LanguageModelV3GenerateResult,
  LanguageModelV3StreamPart,
  LanguageModelV3StreamResult,
  LanguageModelV3Usage,
} from '@ai-sdk/provider';
import { type AdapterSettings, type Runner, runnerOf } from '../sdk/runner.js';
import { AnswerParts, contentOf, endOf } from './answer.js';
import { requestOf } from './request.js';

export type { AdapterSettings as AdaptiveSpecModelSettings, RequestSettings } from '../sdk/runner.js';

/**
 * A model for `generateText`, `streamText`, `generateObject`, agents, and whatever else takes a LanguageModelV3.
 * `providerOptions.adaptiveSpec` sets controller, depth, drafter and the rest for a call, and
 * `providerMetadata.adaptiveSpec` has the statistics of speculation. Throws INVALID_ARGUMENT.
 */
export function adaptiveSpec(settings: AdapterSettings = {}): LanguageModelV3 {
  return new AdaptiveSpecModel(runnerOf(settings));
}

class AdaptiveSpecModel implements LanguageModelV3 {
  readonly specificationVersion = 'v3';
  readonly provider = 'adaptive-spec';
  readonly modelId: string;
  readonly supportedUrls = {};
  readonly #runner: Runner;

  constructor(runner: Runner) {
    this.modelId = runner.modelId;
    this.#runner = runner;
  }

  async doGenerate(options: LanguageModelV3CallOptions): Promise<LanguageModelV3GenerateResult> {
    const { request, warnings } = requestOf(options);
    const result = await this.#runner.run(request);
    const content = contentOf(result);
    return {
      ...endOf(result),
      content,
      warnings,
      response: { timestamp: new Date(), modelId: this.modelId },
    };
  }

  /** Rejects where nothing could be generated; an error that comes later is a part of the stream. */
  async doStream(options: LanguageModelV3CallOptions): Promise<LanguageModelV3StreamResult> {
    const { request, warnings } = requestOf(options);
    const generation = this.#runner.run(request);
    const answer = new AnswerParts({
      hasTools: request.tools !== undefined && request.toolChoice !== 'none',
      includeRaw: options.includeRawChunks === true,
    });
    const events = generation.events();
    const first = await events.next();
    const { modelId } = this;
    async function* parts(): AsyncGenerator<LanguageModelV3StreamPart> {
      yield { type: 'stream-start', warnings };
      yield { type: 'response-metadata', timestamp: new Date(), modelId };
      try {
        if (!first.done) yield* answer.of(first.value);
        for await (const event of events) yield* answer.of(event);
      } catch (error) {
        // The SDK knows an abort by the stream's own error.
        if (options.abortSignal?.aborted) throw error;
        yield { type: 'error', error };
        yield { type: 'finish', finishReason: FAILED, usage: UNKNOWN };
      }
    }
    return { stream: streamOf(parts(), () => generation.abort()) };
  }
}

const FAILED: LanguageModelV3FinishReason = { unified: 'error', raw: undefined };
const UNKNOWN: LanguageModelV3Usage = {
  inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: undefined, text: undefined, reasoning: undefined },
};

/** A stream that is read no faster than it is wanted. */
function streamOf<T>(parts: AsyncGenerator<T>, cancel: () => void): ReadableStream<T> {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await parts.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel,
  });
}
