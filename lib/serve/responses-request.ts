// `POST /v1/responses`: OpenAI's body, in the engine's words. Nothing is kept between requests.

import * as v from 'valibot';
import type { Message, RequestOptions } from '../options.js';
import type { ToolChoice } from '../structured/tools.js';
import {
  parallelField,
  type ReadingEngine,
  readBody,
  schemaFields,
  schemaFormat,
  sharedFields,
  sharedOptions,
  text,
  tokenLimit,
  toolFields,
  toolOf,
  whole,
} from './fields.js';
import { invalidField, unsupportedField } from './http-error.js';
import type { ServedRequest } from './request.js';

const part = v.looseObject(
  { type: text, text: v.optional(text) },
  "an object such as { type: 'input_text', text: '…' }",
);
const item = v.object(
  {
    type: v.nullish(text),
    role: v.nullish(text),
    content: v.nullish(v.union([text, v.array(part)], 'a string, or an array of parts')),
    call_id: v.nullish(text),
    name: v.nullish(text),
    arguments: v.nullish(text),
    output: v.nullish(text),
  },
  'an object such as { role, content }',
);

const LOGPROBS = 'message.output_text.logprobs';
/** What OpenAI can be asked to tell more of. All but the first is of inputs and tools that are refused here. */
const INCLUDABLE = [
  LOGPROBS,
  'reasoning.encrypted_content',
  'message.input_image.image_url',
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'code_interpreter_call.outputs',
  'computer_call_output.output.image_url',
];

const schema = v.object({
  ...sharedFields,
  input: v.union(
    [text, v.pipe(v.array(item), v.minLength(1, 'at least one item'))],
    'a string, or an array of items',
  ),
  instructions: v.nullish(text),
  max_output_tokens: tokenLimit,
  include: v.nullish(v.array(v.picklist(INCLUDABLE, `one of ${INCLUDABLE.join(', ')}`), 'an array of names')),
  top_logprobs: v.nullish(whole(0, 20)),
  previous_response_id: v.nullish(text),
  conversation: v.optional(v.unknown()),
  background: v.nullish(v.boolean('true or false')),
  // Built-in tools have no name.
  tools: v.nullish(
    v.array(v.object({ ...toolFields, type: text, name: v.nullish(text) }), 'an array of tools'),
  ),
  parallel_tool_calls: parallelField,
  tool_choice: v.nullish(
    v.union(
      [v.picklist(['auto', 'none', 'required']), v.object({ type: v.literal('function'), name: text })],
      "'auto', 'none', 'required' or { type: 'function', name }",
    ),
  ),
  text: v.nullish(
    v.object({
      format: v.nullish(
        v.variant(
          'type',
          [
            v.object({ type: v.literal('text') }),
            v.object({ type: v.literal('json_object') }),
            v.object({ type: v.literal('json_schema'), ...schemaFields }),
          ],
          "an object with type 'text', 'json_object' or 'json_schema'",
        ),
      ),
    }),
  ),
});

type Body = v.InferOutput<typeof schema>;
type Item = Exclude<Body['input'], string>[number];

/** What a response repeats of its request. */
export interface ResponseEcho {
  instructions: string | null;
  max_output_tokens: number | null;
  temperature: number;
  top_p: number;
  top_logprobs: number;
  tools: unknown[];
  tool_choice: unknown;
  parallel_tool_calls: boolean;
  text: unknown;
  metadata: unknown;
}

/** Throws HttpError 400 or 501, with `param`. */
export function responsesRequest(
  body: unknown,
  engine: ReadingEngine,
  maxMessages: number,
): { request: ServedRequest; echo: ResponseEcho } {
  const { input, metadata, tools } = (body ?? {}) as { input?: unknown; metadata?: unknown; tools?: unknown };
  if (Array.isArray(input) && input.length > maxMessages) {
    throw invalidField('input', `There are ${input.length} items. Give up to ${maxMessages}.`);
  }
  const read = readBody(schema, body);
  if (read.previous_response_id != null) {
    throw unsupportedField(
      'previous_response_id',
      'Responses are not kept. Send the whole conversation as input.',
    );
  }
  if (read.conversation != null) throw unsupportedField('conversation', 'conversation is not supported.');
  if (read.background === true) throw unsupportedField('background', 'background is not supported.');
  const options: RequestOptions = {
    ...sharedOptions(read, [read.max_output_tokens], engine),
    messages: messagesOf(read),
    ...toolsOf(read),
  };
  const format = read.text?.format;
  if (format?.type === 'json_object') options.responseFormat = { type: 'json_object' };
  if (format?.type === 'json_schema') options.responseFormat = schemaFormat(format);
  const logprobs = logprobsOf(read, options);
  if (logprobs !== undefined) options.logprobs = logprobs;
  const echo: ResponseEcho = {
    instructions: read.instructions ?? null,
    max_output_tokens: read.max_output_tokens ?? null,
    temperature: read.temperature ?? 0,
    top_p: read.top_p ?? 1,
    top_logprobs: read.top_logprobs ?? 0,
    tools: Array.isArray(tools) ? tools : [],
    tool_choice: read.tool_choice ?? 'auto',
    parallel_tool_calls: read.parallel_tool_calls === true,
    text: { format: format ?? { type: 'text' } },
    metadata: metadata ?? {},
  };
  const request: ServedRequest = {
    kind: 'response',
    options,
    stream: read.stream === true,
    cachePrompt: read.cache_prompt !== false,
    includeUsage: true,
  };
  return { request, echo };
}

/** How many tokens of each place are to be told of; undefined where nothing is. */
function logprobsOf(
  { include, top_logprobs }: Body,
  { tools, toolChoice }: RequestOptions,
): number | undefined {
  const place = include?.indexOf(LOGPROBS) ?? -1;
  if (place < 0) {
    if (top_logprobs) throw invalidField('top_logprobs', `top_logprobs needs include: ["${LOGPROBS}"].`);
    return undefined;
  }
  if (tools === undefined || toolChoice === 'none') return top_logprobs ?? 0;
  throw invalidField(
    `include[${place}]`,
    'Where tools may be called, tokens are not those of the message alone. Ask for log-probabilities without tools, ' +
      'or as a chat completion, which tells of every token.',
  );
}

function messagesOf({ input, instructions }: Body): Message[] {
  const messages: Message[] = instructions == null ? [] : [{ role: 'system', content: instructions }];
  if (typeof input === 'string') return [...messages, { role: 'user', content: input }];
  for (const [i, one] of input.entries()) {
    const message = messageOf(one, `input[${i}]`);
    if (message) messages.push(message);
  }
  if (messages.length === 0) throw invalidField('input', 'input has no message.');
  return messages;
}

function messageOf(item: Item, param: string): Message | undefined {
  const { type = 'message', role, content, call_id, name, arguments: called, output } = item;
  switch (type) {
    case null:
    case 'message':
      if (role == null) throw invalidField(`${param}.role`, `${param}.role is missing.`);
      return {
        role: role === 'developer' ? 'system' : role,
        content: textOf(content, `${param}.content`),
      };
    case 'function_call':
      if (call_id == null || name == null || called == null) {
        throw invalidField(param, `${param} is a function_call without call_id, name or arguments.`);
      }
      return { role: 'assistant', content: '', toolCalls: [{ id: call_id, name, arguments: called }] };
    case 'function_call_output':
      if (call_id == null || output == null) {
        throw invalidField(param, `${param} is a function_call_output without call_id or output.`);
      }
      return { role: 'tool', content: output, toolCallId: call_id };
    case 'reasoning':
      // What another model thought; chat templates have no place for it.
      return undefined;
    default:
      throw unsupportedField(
        `${param}.type`,
        `Items of type ${JSON.stringify(type.slice(0, 40))} are not supported.`,
      );
  }
}

const TEXT_PARTS = new Set(['input_text', 'output_text', 'text']);

function textOf(content: Item['content'], param: string): string {
  if (content == null) throw invalidField(param, `${param} is missing.`);
  if (typeof content === 'string') return content;
  return content
    .map(({ type, text }, i) => {
      if (TEXT_PARTS.has(type) && text !== undefined) return text;
      if (TEXT_PARTS.has(type)) throw invalidField(`${param}[${i}].text`, `${param}[${i}].text is missing.`);
      throw unsupportedField(
        `${param}[${i}].type`,
        `Parts of type ${JSON.stringify(type.slice(0, 40))} are not supported.`,
      );
    })
    .join('\n');
}

function toolsOf({
  tools,
  tool_choice,
  parallel_tool_calls,
}: Body): Pick<RequestOptions, 'tools' | 'toolChoice' | 'parallelToolCalls'> {
  if (tools == null || tools.length === 0) {
    if (tool_choice == null || tool_choice === 'auto' || tool_choice === 'none') return {};
    throw invalidField('tool_choice', 'tool_choice is given, and no tools.');
  }
  const choice: ToolChoice | null | undefined =
    tool_choice !== null && typeof tool_choice === 'object' ? { name: tool_choice.name } : tool_choice;
  const offered = tools.map(({ type, name, ...rest }, i) => {
    const named = JSON.stringify(type.slice(0, 40));
    if (type !== 'function')
      throw unsupportedField(`tools[${i}].type`, `Tools of type ${named} are not supported.`);
    if (name == null) throw invalidField(`tools[${i}].name`, `tools[${i}].name is missing.`);
    return toolOf({ name, ...rest });
  });
  return {
    tools: offered,
    ...(choice == null ? {} : { toolChoice: choice }),
    ...(parallel_tool_calls === true ? { parallelToolCalls: true } : {}),
  };
}
