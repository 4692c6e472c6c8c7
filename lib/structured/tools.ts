// Tools: what a caller offers, what an answer calls, and how both look in a conversation.

import { AdaptiveSpecError } from '../errors.js';
import type { Message } from '../options.js';
import { type JsonSchema, schemaText } from './schema-text.js';

/** A function that the model may call. */
export interface Tool {
  type: 'function';
  function: {
    /** Letters, digits, `_`, `.` and `-`; up to 64. */
    name: string;
    description?: string;
    /** Schema of its arguments, an object. Default: none. */
    parameters?: JsonSchema;
  };
}

/** 'auto' leaves it to the model, 'none' offers nothing, 'required' wants a call, and a name a call of that tool. */
export type ToolChoice = 'auto' | 'none' | 'required' | { name: string };

/** A call of a tool. */
export interface ToolCall {
  id: string;
  name: string;
  /** JSON. */
  arguments: string;
  /** The arguments as a value; missing where they are no JSON. */
  parsed?: unknown;
}

/** Tools to offer under a choice. Throws INVALID_ARGUMENT, and SCHEMA_INVALID for parameters. */
export function offeredTools(tools: readonly Tool[], choice: ToolChoice): Tool[] {
  if (choice === 'none') return [];
  const offered =
    typeof choice === 'object' ? tools.filter((tool) => tool.function.name === choice.name) : tools;
  if (typeof choice === 'object' && offered.length === 0) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `toolChoice names no tool: ${JSON.stringify(choice.name.slice(0, 80))}`,
      `Name one of: ${tools.map((tool) => tool.function.name).join(', ')}.`,
    );
  }
  // A plain copy, whose schemas are known to be no danger to native code.
  return offered.map(({ function: { name, description, parameters } }) => ({
    type: 'function',
    function: {
      name,
      ...(description === undefined ? {} : { description }),
      parameters: JSON.parse(
        schemaText(parameters ?? { type: 'object', properties: {} }, `The parameters of tool '${name}'`),
      ),
    },
  }));
}

/** Messages as OpenAI's chat completions have them, in JSON. */
export function messagesText(messages: readonly Message[]): string {
  return JSON.stringify(
    messages.map(({ role, content, toolCalls, toolCallId, name }) => ({
      role,
      content,
      ...(toolCalls && toolCalls.length > 0
        ? {
            tool_calls: toolCalls.map((call) => ({
              id: call.id,
              type: 'function',
              function: { name: call.name, arguments: call.arguments },
            })),
          }
        : {}),
      ...(toolCallId === undefined ? {} : { tool_call_id: toolCallId }),
      ...(name === undefined ? {} : { name }),
    })),
  );
}

/** Whether the arguments are there to their end, and not cut by a limit. */
export function isComplete(call: ToolCall): boolean {
  return call.arguments === '' || call.parsed !== undefined;
}

/** The model's id of a call, or one of ours where it gives none. */
export function idOfCall(id: string, index: number): string {
  return id === '' ? `call_${index}` : id;
}

/** A call with its arguments read. */
export function toolCall(call: { id: string; name: string; arguments: string }, index: number): ToolCall {
  const made: ToolCall = { id: idOfCall(call.id, index), name: call.name, arguments: call.arguments };
  try {
    made.parsed = JSON.parse(call.arguments);
  } catch {
    // The text tells.
  }
  return made;
}
