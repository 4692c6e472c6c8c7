// What `import … from 'adaptive-spec/langchain'` gives: a chat model for LangChain.

import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager';
import type {
  BaseLanguageModelInput,
  StructuredOutputMethodOptions,
} from '@langchain/core/language_models/base';
import {
  BaseChatModel,
  type BaseChatModelCallOptions,
  type BaseChatModelParams,
  type BindToolsInput,
} from '@langchain/core/language_models/chat_models';
import { AIMessageChunk, type BaseMessage } from '@langchain/core/messages';
import { ChatGenerationChunk, type ChatResult } from '@langchain/core/outputs';
import type { Runnable } from '@langchain/core/runnables';
import type { RequestOptions } from '../options.js';
import type { GenerationResult } from '../result.js';
import {
  type AdapterSettings,
  REQUEST_SETTINGS,
  type RequestSettings,
  type Runner,
  runnerOf,
} from '../sdk/runner.js';
import { CallIds, callId } from '../structured/call-id.js';
import type { ResponseFormat } from '../structured/structure.js';
import { isComplete, type Tool } from '../structured/tools.js';
import { messagesOf } from './messages.js';
import { type OutputSchema, structuredOutput, type Values } from './structured-output.js';
import { choiceOf, toolsOf } from './tools.js';

/** An engine or its options, how to generate, and LangChain's own. */
export type ChatAdaptiveSpecFields = AdapterSettings & BaseChatModelParams;

/** What a call, `withConfig` or `bindTools` may say. */
export interface ChatAdaptiveSpecCallOptions extends BaseChatModelCallOptions, Omit<RequestSettings, 'stop'> {
  /** As the engine takes them; `bindTools` makes them of LangChain's. */
  tools?: readonly Tool[];
  responseFormat?: ResponseFormat;
}

/** LangChain's part of the constructor's fields. */
const BASE_FIELDS = [
  'verbose',
  'callbacks',
  'tags',
  'metadata',
  'callbackManager',
  'cache',
  'maxConcurrency',
  'maxRetries',
  'onFailedAttempt',
  'disableStreaming',
  'outputVersion',
];

/**
 * A chat model on an engine: `invoke`, `stream`, `bindTools`, `withStructuredOutput`. Calls take controller, depth,
 * temperature and the other options of a request; `response_metadata` has the statistics of speculation. The constructor
 * throws INVALID_ARGUMENT.
 */
export class ChatAdaptiveSpec extends BaseChatModel<ChatAdaptiveSpecCallOptions, AIMessageChunk> {
  readonly model: string;
  readonly #runner: Runner;

  static override lc_name() {
    return 'ChatAdaptiveSpec';
  }

  constructor(fields: ChatAdaptiveSpecFields = {}) {
    const isBase = ([name]: [string, unknown]) => BASE_FIELDS.includes(name);
    const entries = Object.entries(fields);
    super(Object.fromEntries(entries.filter(isBase)));
    this.#runner = runnerOf(Object.fromEntries(entries.filter((entry) => !isBase(entry))));
    this.model = this.#runner.modelId;
  }

  override _llmType() {
    return 'adaptive-spec';
  }

  override bindTools(
    tools: BindToolsInput[],
    options: Partial<ChatAdaptiveSpecCallOptions> = {},
  ): Runnable<BaseLanguageModelInput, AIMessageChunk, ChatAdaptiveSpecCallOptions> {
    return this.withConfig({ tools: toolsOf(tools), ...options });
  }

  /** Answers that keep to a schema. `method`: 'jsonSchema' (default), 'functionCalling', or 'jsonMode', any JSON object. */
  override withStructuredOutput<Output extends Values = Values>(
    schema: OutputSchema<Output>,
    config?: StructuredOutputMethodOptions<false>,
  ): Runnable<BaseLanguageModelInput, Output>;
  override withStructuredOutput<Output extends Values = Values>(
    schema: OutputSchema<Output>,
    config?: StructuredOutputMethodOptions<true>,
  ): Runnable<BaseLanguageModelInput, { raw: BaseMessage; parsed: Output }>;
  override withStructuredOutput(schema: OutputSchema, config?: StructuredOutputMethodOptions<boolean>) {
    return structuredOutput(this, schema, config) as Runnable<BaseLanguageModelInput, Values>;
  }

  override async _generate(messages: BaseMessage[], options: this['ParsedCallOptions']): Promise<ChatResult> {
    const result = await this.#runner.run(requestOf(messages, options));
    const text = result.content ?? result.text;
    const { toolCalls = [] } = result;
    const tool_calls = toolCalls.filter(isComplete).map(({ id, name, parsed }) => ({
      ...{ type: 'tool_call' as const, id: callId(id), name },
      args: (parsed ?? {}) as Record<string, unknown>,
    }));
    const message = new AIMessageChunk({ content: text, tool_calls, ...this.#endOf(result) });
    // A call that a limit has cut must not be made. A chunk's constructor takes none of these.
    const cut = toolCalls.filter((call) => !isComplete(call));
    message.invalid_tool_calls = cut.map(({ id, name, arguments: args }) => ({
      ...{ type: 'invalid_tool_call', id: callId(id), name, args },
      error: 'The arguments are cut.',
    }));
    const { promptTokens, completionTokens, totalTokens } = result.usage;
    return {
      generations: [{ text, message, generationInfo: { finish_reason: result.finishReason } }],
      llmOutput: { tokenUsage: { promptTokens, completionTokens, totalTokens } },
    };
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const request = requestOf(messages, options);
    // With tools the text has the calls in it, as the model writes them, and `content` is what it says.
    const said = request.tools !== undefined && request.toolChoice !== 'none' ? 'content' : 'text';
    const ids = new CallIds();
    for await (const part of this.#runner.run(request).events()) {
      let chunk: ChatGenerationChunk;
      if (part.type === said) {
        chunk = new ChatGenerationChunk({ text: part.text, message: new AIMessageChunk(part.text) });
      } else if (part.type === 'call' || part.type === 'arguments') {
        const { index } = part;
        const more =
          part.type === 'call'
            ? { id: ids.of(index, part.id), name: part.name, args: '' }
            : { args: part.text };
        const tool_call_chunks = [{ type: 'tool_call_chunk' as const, index, ...more }];
        const message = new AIMessageChunk({ content: '', tool_call_chunks });
        chunk = new ChatGenerationChunk({ text: '', message });
      } else if (part.type === 'finish') {
        const { result } = part;
        const message = new AIMessageChunk({ content: '', ...this.#endOf(result) });
        const generationInfo = { finish_reason: result.finishReason };
        chunk = new ChatGenerationChunk({ text: '', message, generationInfo });
      } else continue;
      yield chunk;
      await runManager?.handleLLMNewToken(chunk.text, undefined, undefined, undefined, undefined, { chunk });
    }
  }

  /** What is known at a message's end. */
  #endOf({ usage, finishReason, seed, stats, stopString }: GenerationResult) {
    return {
      usage_metadata: {
        input_tokens: usage.promptTokens,
        output_tokens: usage.completionTokens,
        total_tokens: usage.totalTokens,
        input_token_details: { cache_read: stats.reusedPromptTokens },
      },
      response_metadata: {
        model_name: this.model,
        finish_reason: finishReason,
        seed,
        ...(stopString === undefined ? {} : { stop_string: stopString }),
        stats,
      },
    };
  }
}

function requestOf(messages: BaseMessage[], options: ChatAdaptiveSpec['ParsedCallOptions']): RequestOptions {
  const { tools, tool_choice, responseFormat, signal } = options;
  const settings = Object.fromEntries(REQUEST_SETTINGS.map((name) => [name, options[name]]));
  return {
    ...settings,
    messages: messagesOf(messages),
    ...(tools === undefined || tools.length === 0
      ? {}
      : { tools, ...(tool_choice === undefined ? {} : { toolChoice: choiceOf(tool_choice) }) }),
    ...(responseFormat === undefined ? {} : { responseFormat }),
    ...(signal === undefined ? {} : { signal }),
  };
}
