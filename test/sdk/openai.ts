// OpenAI's own client, on a server.
import OpenAI from 'openai';
import type { Message } from '../../lib/index.js';
import {
  type Address,
  type Answer,
  type Ask,
  codeOfReply,
  ownFields,
  type Sdk,
  toldByServer,
} from './words.js';

export function openAiClient({ baseURL, apiKey, model }: Address): Sdk {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
  const body = (ask: Ask) => {
    const { messages, maxTokens, temperature, seed, stop, tools, toolChoice } = ask;
    return {
      model,
      messages: messages.map(openAiMessage),
      ...(maxTokens === undefined ? {} : { max_completion_tokens: maxTokens }),
      ...(temperature === undefined ? {} : { temperature }),
      ...(seed === undefined ? {} : { seed }),
      ...(stop === undefined ? {} : { stop }),
      ...(tools === undefined ? {} : { tools: tools as OpenAI.Chat.ChatCompletionTool[] }),
      ...(toolChoice === undefined
        ? {}
        : {
            tool_choice:
              typeof toolChoice === 'object'
                ? { type: 'function' as const, function: { name: toolChoice.name } }
                : toolChoice,
          }),
      // What is no part of OpenAI's interface goes through as it is.
      ...ownFields(ask),
    };
  };
  const options = ({ signal }: Ask) => (signal ? { signal } : {});
  const answer = (reply: OpenAI.Chat.ChatCompletion): Answer => {
    const { message, finish_reason: finishReason } = reply.choices[0]!;
    const calls = (message.tool_calls ?? []).map((call) => {
      if (call.type !== 'function') throw new Error(`The call is a ${call.type}`);
      return { id: call.id, name: call.function.name, args: JSON.parse(call.function.arguments) };
    });
    return {
      text: message.content ?? '',
      finishReason,
      calls,
      promptTokens: reply.usage!.prompt_tokens,
      completionTokens: reply.usage!.completion_tokens,
      told: toldByServer(reply as object),
    };
  };
  return {
    text: async (ask) => answer(await client.chat.completions.create(body(ask), options(ask))),
    async stream(ask, onText) {
      const asked = { ...body(ask), stream_options: { include_usage: true } };
      const runner = client.chat.completions.stream(asked, options(ask));
      for await (const { choices } of runner) {
        const text = choices[0]?.delta.content;
        if (text) onText(text);
      }
      return answer(await runner.finalChatCompletion());
    },
    async json(ask, schema) {
      const response_format = { type: 'json_schema', json_schema: { name: 'answer', schema } } as const;
      const reply = await client.chat.completions.create({ ...body(ask), response_format }, options(ask));
      return JSON.parse(reply.choices[0]!.message.content!);
    },
    codeOf: (error) => (error instanceof OpenAI.APIError ? codeOfReply(error.status, error.code) : undefined),
    isAbort: (error) => error instanceof OpenAI.APIUserAbortError,
    namesResults: false,
  };
}

function openAiMessage({ role, content, toolCalls, toolCallId }: Message) {
  const message = {
    role,
    content,
    ...(toolCallId === undefined ? {} : { tool_call_id: toolCallId }),
    ...(toolCalls === undefined
      ? {}
      : {
          tool_calls: toolCalls.map(({ id, name, arguments: given }) => ({
            id,
            type: 'function',
            function: { name, arguments: given },
          })),
        }),
  };
  return message as OpenAI.Chat.ChatCompletionMessageParam;
}
