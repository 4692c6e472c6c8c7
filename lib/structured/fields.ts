// Options that give the text a form: what each may be, and which of them go together.

import * as v from 'valibot';
import { AdaptiveSpecError } from '../errors.js';
import type { JsonSchema } from './schema-text.js';

const MOST_CHARACTERS = 1024 * 1024;
const MOST_TOOLS = 128;

const NAME = "a name of up to 64 letters, digits, '_', '.' and '-'";
const toolName = v.pipe(v.string(NAME), v.regex(/^[A-Za-z0-9_.-]{1,64}$/, NAME));
// structured/schema-text.ts looks into it, and has a code of its own for what is wrong there.
const schema = v.custom<JsonSchema>(
  (value) => typeof value === 'object' && value !== null,
  'a JSON schema, as an object',
);

const FORMAT = "{ type: 'text' }, { type: 'json_object' } or { type: 'json_schema', schema }";
const CHOICE = "'auto', 'none', 'required' or { name }";
const TOOL = "an object such as { type: 'function', function: { name: 'search', parameters: {…} } }";

export const structuredFields = {
  responseFormat: v.optional(
    v.union(
      [
        v.strictObject({ type: v.literal('text') }),
        v.strictObject({ type: v.literal('json_object') }),
        v.strictObject({
          type: v.literal('json_schema'),
          schema,
          name: v.optional(v.pipe(v.string(), v.maxLength(200))),
          strict: v.optional(v.boolean()),
        }),
      ],
      FORMAT,
    ),
  ),
  grammar: v.optional(
    v.pipe(
      v.string('a GBNF grammar, as a string'),
      v.minLength(1, 'a GBNF grammar'),
      v.maxLength(MOST_CHARACTERS, `a grammar of up to ${MOST_CHARACTERS} characters`),
      v.check((text) => !text.includes('\0'), 'a grammar without NUL characters'),
    ),
  ),
  tools: v.optional(
    v.pipe(
      v.array(
        v.strictObject(
          {
            type: v.literal('function', "'function'"),
            function: v.strictObject(
              {
                name: toolName,
                description: v.optional(v.string('a string')),
                parameters: v.optional(schema),
              },
              'an object with name, description and parameters only',
            ),
          },
          TOOL,
        ),
        'an array of tools',
      ),
      v.minLength(1, 'at least one tool'),
      v.maxLength(MOST_TOOLS, `up to ${MOST_TOOLS} tools`),
      v.check(
        (tools) => new Set(tools.map((tool) => tool.function.name)).size === tools.length,
        'tools with names that differ',
      ),
    ),
  ),
  toolChoice: v.optional(
    v.union([v.picklist(['auto', 'none', 'required']), v.strictObject({ name: toolName })], CHOICE),
    'auto',
  ),
  parallelToolCalls: v.optional(v.boolean(), false),
};

/** What of a request concerns its text's form. */
interface StructuredRequest {
  prompt?: unknown;
  ignoreEos: boolean;
  grammar?: string | undefined;
  responseFormat?: { type: string } | undefined;
  tools?: readonly unknown[] | undefined;
  toolChoice: unknown;
  parallelToolCalls: boolean;
}

/** Throws INVALID_ARGUMENT where options contradict each other. */
export function mustFitTogether(request: StructuredRequest): void {
  const { prompt, ignoreEos, grammar, responseFormat, tools, toolChoice, parallelToolCalls } = request;
  const isJson = responseFormat !== undefined && responseFormat.type !== 'text';
  const calls = tools !== undefined && toolChoice !== 'none';
  const refuse = (message: string, hint: string): never => {
    throw new AdaptiveSpecError('INVALID_ARGUMENT', message, hint);
  };
  if (Number(grammar !== undefined) + Number(isJson) + Number(calls) > 1) {
    refuse(
      'The text is given more than one form',
      "Give one of grammar, responseFormat and tools; tools may stay with toolChoice: 'none'.",
    );
  }
  if (ignoreEos && (grammar !== undefined || isJson || calls)) {
    refuse(
      'ignoreEos and a form of the text contradict each other',
      'Leave ignoreEos out: the form says where it ends.',
    );
  }
  if (tools !== undefined && prompt !== undefined) {
    refuse(
      'Tools need a conversation',
      'Give messages instead of a prompt, so that the chat template can offer them.',
    );
  }
  if (tools === undefined && parallelToolCalls) {
    refuse('parallelToolCalls is given, and no tools', 'Give tools, or leave parallelToolCalls out.');
  }
  if (tools === undefined && toolChoice !== 'auto') {
    refuse('toolChoice is given, and no tools', 'Give tools, or leave toolChoice out.');
  }
}
