// `POST /v1/chat/completions`: OpenAI's body, in the engine's words.

import * as v from 'valibot';
import type { Message, RequestOptions } from '../options.js';
import type { ResponseFormat } from '../structured/structure.js';
import type { ToolChoice } from '../structured/tools.js';
import {
  flag,
  parallelField,
  type ReadingEngine,
  readBody,
  refuseProbabilities,
  schemaFields,
  schemaFormat,
  sharedFields,
  sharedOptions,
  streamFields,
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
  "an object such as { type: 'text', text: '…' }",
);
const content = v.nullish(v.union([text, v.array(part)], "a string, or an array of { type: 'text', text }"));

const message = v.object(
  {
    role: text,
    content,
    name: v.nullish(text),
    tool_call_id: v.nullish(text),
    tool_calls: v.nullish(
      v.array(
        v.object({
          id: text,
          function: v.object({ name: text, arguments: text }, 'an object with name and arguments'),
        }),
        'an array of calls',
      ),
    ),
  },
  'an object with role and content',
);

const messages = v.pipe(
  v.array(message, 'an array of { role, content }'),
  v.minLength(1, 'at least one message'),
);

const schema = v.object({
  ...sharedFields,
  ...streamFields,
  messages,
  max_completion_tokens: tokenLimit,
  n_predict: tokenLimit,
  tools: v.nullish(
    v.array(
      v.object({
        type: v.literal('function', "'function'"),
        function: v.object(toolFields, 'an object with name, description and parameters'),
      }),
      'an array of tools',
    ),
  ),
  parallel_tool_calls: parallelField,
  tool_choice: v.nullish(
    v.union(
      [v.picklist(['auto', 'none', 'required']), v.object({ function: v.object({ name: text }) })],
      "'auto', 'none', 'required' or { type: 'function', function: { name } }",
    ),
  ),
  response_format: v.nullish(
    v.variant(
      'type',
      [
        v.object({ type: v.literal('text') }),
        // llama-server takes a schema here too.
        v.object({ type: v.literal('json_object'), schema: v.nullish(schemaFields.schema) }),
        v.object({
          type: v.literal('json_schema'),
          json_schema: v.object(schemaFields, 'an object with name, schema and strict'),
        }),
      ],
      "an object with type 'text', 'json_object' or 'json_schema'",
    ),
  ),
  // llama-server's name for it.
  json_schema: v.nullish(schemaFields.schema),
  logprobs: v.nullish(flag),
  top_logprobs: v.nullish(whole(0, 20)),
  add_generation_prompt: v.nullish(flag),
  continue_final_message: v.nullish(flag),
  chat_template_kwargs: v.nullish(v.object({ enable_thinking: v.nullish(flag) }, 'an object')),
  reasoning_effort: v.nullish(text),
  verbose: v.nullish(flag),
});

type Body = v.InferOutput<typeof schema>;

/** Throws HttpError 400 or 501, with `param`. */
export function chatRequest(body: unknown, engine: ReadingEngine, maxMessages: number): ServedRequest {
  const { read, options } = readChat(body, engine, maxMessages);
  if (read.add_generation_prompt === false && !options.continueFinalMessage) {
    throw unsupportedField('add_generation_prompt', 'Texts that begin no answer are not supported.');
  }
  return {
    kind: 'chat',
    options,
    stream: read.stream === true,
    cachePrompt: read.cache_prompt !== false,
    includeUsage: read.stream_options?.include_usage === true,
    verbose: read.verbose === true,
  };
}

/** What `/apply-template` is asked for: the conversation, and whether it ends where an answer begins. */
export function templateRequest(body: unknown, engine: ReadingEngine, maxMessages: number) {
  const { read, options } = readChat(body, engine, maxMessages);
  return { options, addGenerationPrompt: read.add_generation_prompt !== false };
}

function readChat(
  body: unknown,
  engine: ReadingEngine,
  maxMessages: number,
): { read: Body; options: RequestOptions } {
  // Before each one of a million is looked at.
  mayHold(body, maxMessages);
  const read = readBody(schema, body);
  const { logprobs, top_logprobs, n_probs } = read;
  refuseProbabilities({ n_probs });
  const options: RequestOptions = {
    ...sharedOptions(read, [read.max_completion_tokens, read.max_tokens, read.n_predict], engine),
    messages: read.messages.map((message, i) => messageOf(message, i, '\n')),
    ...toolsOf(read),
  };
  if (continues(read, options)) {
    const last = read.messages.length - 1;
    // Parts of an answer that has begun are paragraphs, as llama-server has them.
    options.messages = [...options.messages!.slice(0, -1), messageOf(read.messages[last]!, last, '\n\n')];
    options.continueFinalMessage = true;
  }
  const thinks = read.reasoning_effort === 'none' ? false : read.chat_template_kwargs?.enable_thinking;
  if (thinks != null) options.enableThinking = thinks;
  if (logprobs === true) options.logprobs = top_logprobs ?? 0;
  else if (top_logprobs) throw invalidField('top_logprobs', 'top_logprobs needs logprobs: true.');
  const format =
    formatOf(read.response_format) ?? (read.json_schema && schemaFormat({ schema: read.json_schema }));
  if (format) options.responseFormat = format;
  return { read, options };
}

/**
 * Whether the text goes on from the last message: where it is the assistant's, as llama-server has it, unless tools are
 * offered, or the request says otherwise.
 */
function continues(read: Body, { tools }: RequestOptions): boolean {
  const { messages, add_generation_prompt, continue_final_message } = read;
  if (continue_final_message === true && add_generation_prompt === true) {
    throw invalidField(
      'continue_final_message',
      'continue_final_message and add_generation_prompt are both true. A prompt ends in one way.',
    );
  }
  const [before, last] = [messages.at(-2), messages.at(-1)!];
  const isAnswer = last.role === 'assistant' && (last.tool_calls ?? []).length === 0;
  if (continue_final_message === true && !(isAnswer && tools === undefined)) {
    throw invalidField(
      'continue_final_message',
      "There is no answer to go on with: the last message is not an assistant's, calls tools, or tools are offered.",
    );
  }
  if (!isAnswer || tools !== undefined || continue_final_message === false) return false;
  if (before?.role !== 'assistant') return true;
  throw invalidField('messages', "The last two messages are both an assistant's. Give one at the end.");
}

function mayHold(body: unknown, maxMessages: number): void {
  const { messages } = (body ?? {}) as { messages?: unknown };
  if (!Array.isArray(messages) || messages.length <= maxMessages) return;
  throw invalidField('messages', `There are ${messages.length} messages. Give up to ${maxMessages}.`);
}

/** The text's parts stand apart by `between`. */
function messageOf(message: Body['messages'][number], index: number, between: string): Message {
  const { role, name, tool_call_id, tool_calls } = message;
  const read: Message = {
    // OpenAI's newer name, which chat templates don't know.
    role: role === 'developer' ? 'system' : role,
    content: textOf(message.content, `messages[${index}].content`, between),
  };
  if (name != null) read.name = name;
  if (tool_call_id != null) read.toolCallId = tool_call_id;
  if (tool_calls != null && tool_calls.length > 0) {
    read.toolCalls = tool_calls.map(({ id, function: called }) => ({ id, ...called }));
  } else if (message.content == null && role !== 'assistant') {
    throw invalidField(`messages[${index}].content`, `messages[${index}].content is missing. Give a string.`);
  }
  return read;
}

/** The text of a content, whose parts usually stand on lines of their own, as llama-server has them. */
function textOf(content: Body['messages'][number]['content'], param: string, between: string): string {
  if (typeof content === 'string' || content == null) return content ?? '';
  return content
    .map((part, i) => {
      if (part.type !== 'text') {
        throw unsupportedField(
          `${param}[${i}].type`,
          `Parts of type ${JSON.stringify(part.type.slice(0, 40))} are not supported.`,
        );
      }
      if (part.text === undefined)
        throw invalidField(`${param}[${i}].text`, `${param}[${i}].text is missing.`);
      return part.text;
    })
    .join(between);
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
    tool_choice !== null && typeof tool_choice === 'object'
      ? { name: tool_choice.function.name }
      : tool_choice;
  return {
    tools: tools.map((tool) => toolOf(tool.function)),
    ...(choice == null ? {} : { toolChoice: choice }),
    ...(parallel_tool_calls === true ? { parallelToolCalls: true } : {}),
  };
}

function formatOf(format: Body['response_format']): ResponseFormat | undefined {
  if (format == null || format.type === 'text') return undefined;
  if (format.type === 'json_schema') return schemaFormat(format.json_schema);
  return format.schema == null ? { type: 'json_object' } : schemaFormat({ schema: format.schema });
}
