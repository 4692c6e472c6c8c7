// A chat model whose answers are values: their form is the engine's responseFormat, or a tool's parameters.

import type { StructuredOutputMethodOptions } from '@langchain/core/language_models/base';
import {
  assembleStructuredOutputPipeline,
  createContentParser,
  createFunctionCallingParser,
} from '@langchain/core/language_models/structured_output';
import { toJsonSchema } from '@langchain/core/utils/json_schema';
import type { SerializableSchema } from '@langchain/core/utils/standard_schema';
import type { InteropZodType } from '@langchain/core/utils/types';
import { AdaptiveSpecError } from '../errors.js';
import type { JsonSchema } from '../structured/schema-text.js';
import type { ChatAdaptiveSpec } from './index.js';

/** A Zod schema, a standard schema that can be written as JSON Schema, or a JSON schema. */
export type OutputSchema<Output extends Values = Values> =
  | InteropZodType<Output>
  | SerializableSchema<Output>
  | Values;

// biome-ignore lint/suspicious/noExplicitAny: LangChain's own type of what a model answers.
export type Values = Record<string, any>;

export function structuredOutput(
  model: ChatAdaptiveSpec,
  schema: OutputSchema,
  { name, method = 'jsonSchema', strict, includeRaw }: StructuredOutputMethodOptions<boolean> = {},
) {
  const json = toJsonSchema(schema as Parameters<typeof toJsonSchema>[0]) as JsonSchema;
  const runName = includeRaw ? 'StructuredOutputRunnable' : 'StructuredOutput';
  if (method === 'functionCalling') {
    const tool = name ?? 'extract';
    const calls = model.bindTools([{ type: 'function', function: { name: tool, parameters: json } }], {
      tool_choice: tool,
    });
    return assembleStructuredOutputPipeline(
      calls,
      createFunctionCallingParser(schema, tool),
      includeRaw,
      runName,
    );
  }
  if (method !== 'jsonSchema' && method !== 'jsonMode') {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `There is no method ${JSON.stringify(method)} of structured output`,
      "Give 'jsonSchema' (default), 'functionCalling' or 'jsonMode'.",
    );
  }
  const responseFormat =
    method === 'jsonMode'
      ? ({ type: 'json_object' } as const)
      : {
          type: 'json_schema' as const,
          schema: json,
          ...(name === undefined ? {} : { name }),
          ...(strict === undefined ? {} : { strict }),
        };
  const answers = model.withConfig({ responseFormat });
  return assembleStructuredOutputPipeline(answers, createContentParser(schema), includeRaw, runName);
}
