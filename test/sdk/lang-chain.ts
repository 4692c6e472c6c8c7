// LangChain, on our adapter in this process and on its chat model for OpenAI's API.
import type { BaseChatModel } from '@langchain/core/language_models/chat_models';
import {
  AIMessage,
  type AIMessageChunk,
  type BaseMessage,
  HumanMessage,
  SystemMessage,
  ToolMessage,
} from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import type { Engine, GenerationResult, Message } from '../../lib/index.js';
import { ChatAdaptiveSpec } from '../../lib/langchain/index.js';
import {
  type Address,
  type Answer,
  type Ask,
  codeOfOwn,
  codeOfReply,
  isNamedAbort,
  ownFields,
  type Sdk,
  type Told,
  toldBy,
  toldByServer,
} from './words.js';

/** Where a model has ways of its own. */
interface Model {
  /** The model for a request, and what its call is told. */
  ready(ask: Ask): { model: BaseChatModel; options: object };
  told(message: AIMessageChunk): Told;
  codeOf(error: unknown): string | undefined;
}

export const langChain = (engine: Engine): Sdk => sdk(ownModel(engine));

export const langChainClient = (address: Address): Sdk => sdk(servedModel(address));

function ownModel(engine: Engine): Model {
  const model = new ChatAdaptiveSpec({ engine });
  return {
    ready: ({ messages: _, tools: __, toolChoice: ___, ...options }) => ({ model, options }),
    told: ({ response_metadata }) => toldBy(response_metadata as Pick<GenerationResult, 'seed' | 'stats'>),
    codeOf: codeOfOwn,
  };
}

function servedModel({ baseURL, apiKey, model }: Address): Model {
  return {
    ready(ask) {
      const { maxTokens, temperature, seed, stop, signal } = ask;
      const chat = new ChatOpenAI({
        model,
        apiKey,
        configuration: { baseURL },
        maxRetries: 0,
        modelKwargs: ownFields(ask),
        // Else what a reply has beside OpenAI's fields is left out.
        __includeRawResponse: true,
        ...(maxTokens === undefined ? {} : { maxTokens }),
        ...(temperature === undefined ? {} : { temperature }),
      });
      return { model: chat as unknown as BaseChatModel, options: { seed, stop, signal } };
    },
    told({ additional_kwargs: { __raw_response: reply } }) {
      return toldByServer(reply as object);
    },
    codeOf(error) {
      const { status, code } = error as { status?: number; code?: unknown };
      return codeOfReply(status, code);
    },
  };
}

function sdk({ ready, told, codeOf }: Model): Sdk {
  const bound = (ask: Ask) => {
    const { model, options } = ready(ask);
    const { tools, toolChoice } = ask;
    const choice = typeof toolChoice === 'object' ? toolChoice.name : toolChoice;
    const bound = tools
      ? model.bindTools!(tools, choice === undefined ? {} : { tool_choice: choice })
      : model;
    return { bound, options, input: ask.messages.map(langChainMessage) };
  };
  const answer = (message: AIMessageChunk): Answer => ({
    text: message.text,
    finishReason: message.response_metadata.finish_reason as string,
    calls: message.tool_calls!.map(({ id, name, args }) => ({ id: id!, name, args })),
    promptTokens: message.usage_metadata!.input_tokens,
    completionTokens: message.usage_metadata!.output_tokens,
    told: told(message),
  });
  return {
    async text(ask) {
      const { bound: model, input, options } = bound(ask);
      return answer((await model.invoke(input, options)) as AIMessageChunk);
    },
    async stream(ask, onText) {
      const { bound: model, input, options } = bound(ask);
      let whole: AIMessageChunk | undefined;
      for await (const chunk of await model.stream(input, options)) {
        if (chunk.text !== '') onText(chunk.text);
        whole = whole ? whole.concat(chunk) : chunk;
      }
      return answer(whole!);
    },
    async json(ask, schema) {
      const { model, options } = ready(ask);
      const input = ask.messages.map(langChainMessage);
      return model
        .withStructuredOutput<Record<string, unknown>>(schema, { method: 'jsonSchema' })
        .invoke(input, options as never);
    },
    codeOf,
    isAbort: isNamedAbort,
    namesResults: true,
  };
}

function langChainMessage({ role, content, toolCalls = [], toolCallId, name }: Message): BaseMessage {
  if (role === 'system') return new SystemMessage(content);
  if (role === 'user') return new HumanMessage(content);
  if (role === 'tool') return new ToolMessage({ content, tool_call_id: toolCallId!, name: name! });
  const tool_calls = toolCalls.map(({ id, name, arguments: given }) => ({
    id,
    name,
    args: JSON.parse(given),
  }));
  return new AIMessage({ content, tool_calls });
}
