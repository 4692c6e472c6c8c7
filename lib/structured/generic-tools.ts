// Tool calls for models whose chat template knows none: the tools in a system message, the answer as JSON.

import type { Message } from '../options.js';
import type { JsonSchema } from './schema-text.js';
import { type Tool, toolCall } from './tools.js';

/** The conversation with the tools in it, in roles that every template has. */
export function genericMessages(
  messages: readonly Message[],
  tools: readonly Tool[],
  required: boolean,
  parallel: boolean,
): Message[] {
  const plain = messages.map(plainMessage);
  const offer =
    `You can call these functions:\n${tools.map((tool) => JSON.stringify(tool.function)).join('\n')}\n` +
    (parallel
      ? 'To call some of them, answer with JSON: {"tool_calls": [{"name": …, "arguments": {…}}]}'
      : 'To call one, answer with JSON: {"tool_call": {"name": …, "arguments": {…}}}') +
    (required ? '.' : '. Otherwise answer with JSON: {"response": "…"}.');
  const [first, ...rest] = plain;
  if (first?.role !== 'system') return [{ role: 'system', content: offer }, ...plain];
  return [{ role: 'system', content: `${first.content}\n\n${offer}` }, ...rest];
}

/** A message without calls or results, which not every template can put. */
export function plainMessage({ role, content, toolCalls, name }: Message): Message {
  if (toolCalls?.[0]) {
    const calls = toolCalls.map((call, i) => {
      const { name, parsed = {} } = toolCall(call, i);
      return { name, arguments: parsed };
    });
    return { role, content: JSON.stringify(calls[1] ? { tool_calls: calls } : { tool_call: calls[0] }) };
  }
  if (role !== 'tool') return { role, content };
  return { role: 'user', content: `Result${name === undefined ? '' : ` of ${name}`}: ${content}` };
}

/** The schema of an answer. */
export function genericSchema(tools: readonly Tool[], required: boolean, parallel: boolean): JsonSchema {
  const definitions: Record<string, unknown> = {};
  const calls = tools.map(({ function: { name, parameters } }, i) => {
    definitions[`tool${i}`] = movedTo(`#/$defs/tool${i}`, parameters);
    return objectOf({ name: { const: name }, arguments: { $ref: `#/$defs/tool${i}` } });
  });
  const one = calls.length === 1 ? calls[0] : { anyOf: calls };
  const call = objectOf(
    parallel ? { tool_calls: { type: 'array', items: one, minItems: 1 } } : { tool_call: one },
  );
  const answer = required ? call : { anyOf: [call, objectOf({ response: { type: 'string' } })] };
  return { ...answer, $defs: definitions };
}

function objectOf(properties: Record<string, unknown>) {
  return { type: 'object', properties, required: Object.keys(properties) };
}

/** A schema for another place in a document: what it refers to has moved with it. */
function movedTo(place: string, schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map((one) => movedTo(place, one));
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [
      name,
      name === '$ref' && typeof value === 'string' && value.startsWith('#/')
        ? place + value.slice(1)
        : movedTo(place, value),
    ]),
  );
}
