// The AI SDK's call options as a request of the engine, with a warning for all that has no meaning here.

import type { LanguageModelV3CallOptions, SharedV3Warning } from '@ai-sdk/provider';
import type { RequestOptions } from '../options.js';
import { callSettings } from '../sdk/runner.js';
import type { JsonSchema } from '../structured/schema-text.js';
import type { ResponseFormat } from '../structured/structure.js';
import type { Tool } from '../structured/tools.js';
import { messagesOf } from './prompt.js';

/** Throws INVALID_ARGUMENT and UNSUPPORTED. */
export function requestOf(options: LanguageModelV3CallOptions): {
  request: RequestOptions;
  warnings: SharedV3Warning[];
} {
  const warnings: SharedV3Warning[] = [];
  const tools = toolsOf(options, warnings);
  const { maxOutputTokens, temperature, topP, topK, presencePenalty, frequencyPenalty } = options;
  const { stopSequences, seed, abortSignal, providerOptions } = options;
  const request = {
    messages: messagesOf(options.prompt, warnings),
    maxTokens: maxOutputTokens,
    temperature,
    topP,
    topK,
    presencePenalty,
    frequencyPenalty,
    seed,
    stop: stopSequences,
    signal: abortSignal,
    ...tools,
    responseFormat: formatOf(options, tools.tools !== undefined && tools.toolChoice !== 'none', warnings),
    ...callSettings(providerOptions?.adaptiveSpec ?? {}, 'providerOptions.adaptiveSpec'),
  };
  // What is undefined is left to the model's settings.
  return { request: request as RequestOptions, warnings };
}

function toolsOf(
  { tools = [], toolChoice }: LanguageModelV3CallOptions,
  warnings: SharedV3Warning[],
): Pick<RequestOptions, 'tools' | 'toolChoice'> {
  const offered: Tool[] = [];
  for (const tool of tools) {
    if (tool.type === 'provider') {
      const details = 'Tools of a provider run at that provider.';
      warnings.push({ type: 'unsupported', feature: `tool ${tool.id}`, details });
      continue;
    }
    const { name, description, inputSchema } = tool;
    offered.push({
      type: 'function',
      function: {
        name,
        ...(description === undefined ? {} : { description }),
        parameters: inputSchema as JsonSchema,
      },
    });
  }
  if (offered.length === 0) return {};
  return {
    tools: offered,
    toolChoice: toolChoice?.type === 'tool' ? { name: toolChoice.toolName } : (toolChoice?.type ?? 'auto'),
  };
}

function formatOf(
  { responseFormat }: LanguageModelV3CallOptions,
  areToolsOffered: boolean,
  warnings: SharedV3Warning[],
): ResponseFormat | undefined {
  if (responseFormat?.type !== 'json') return undefined;
  if (areToolsOffered) {
    const details =
      "While tools are offered the text is free; with toolChoice 'none' it keeps to the format.";
    warnings.push({ type: 'unsupported', feature: 'responseFormat', details });
    return undefined;
  }
  const { schema, name } = responseFormat;
  if (schema === undefined) return { type: 'json_object' };
  return { type: 'json_schema', schema: schema as JsonSchema, ...(name === undefined ? {} : { name }) };
}
