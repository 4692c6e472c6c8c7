// The AI SDK, on our adapter in this process and on its provider for servers of OpenAI's kind.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import type { JSONObject, LanguageModelV3 } from '@ai-sdk/provider';
import type { ModelMessage, ToolSet } from 'ai';
import * as six from 'ai';
import * as seven from 'ai7';
import { adaptiveSpec } from '../../lib/ai-sdk/index.js';
import type { Engine, GenerationResult, Message, Tool, ToolChoice } from '../../lib/index.js';
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

type Ai = typeof six;
type Metadata = Awaited<ReturnType<Ai['generateText']>>['providerMetadata'];

/** Where a model has ways of its own. */
interface Model {
  model: LanguageModelV3;
  providerOptions(ask: Ask): { adaptiveSpec: JSONObject };
  told(metadata: Metadata): Told;
  codeOf: Sdk['codeOf'];
  namesResults: boolean;
}

export const aiSdk6 = (engine: Engine): Sdk => aiSdk(six, ownModel(engine));

/** The types of the two versions differ; what is called is named alike in both. */
export const aiSdk7 = (engine: Engine): Sdk => aiSdk(seven as unknown as Ai, ownModel(engine));

export const aiSdkClient = (address: Address): Sdk => aiSdk(six, servedModel(address));

function ownModel(engine: Engine): Model {
  return {
    model: adaptiveSpec({ engine }),
    providerOptions: ({ controller, depth }) => ({
      adaptiveSpec: {
        ...(typeof controller === 'string' ? { controller } : {}),
        ...(depth === undefined ? {} : { depth }),
      },
    }),
    told: (metadata) => toldBy(metadata!.adaptiveSpec as unknown as Pick<GenerationResult, 'seed' | 'stats'>),
    codeOf: codeOfOwn,
    namesResults: true,
  };
}

function servedModel({ baseURL, apiKey, model }: Address): Model {
  const provider = createOpenAICompatible({
    name: 'adaptiveSpec',
    baseURL,
    apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
    // What a reply has beside OpenAI's fields is left out without one.
    metadataExtractor: {
      extractMetadata: async ({ parsedBody }) => metadataOf(parsedBody),
      createStreamExtractor() {
        let last: unknown;
        return {
          processChunk: (chunk) => {
            last = chunk;
          },
          buildMetadata: () => metadataOf(last),
        };
      },
    },
  });
  return {
    model: provider(model),
    providerOptions: (ask) => ({ adaptiveSpec: ownFields(ask) as JSONObject }),
    told: (metadata) => metadata!.adaptiveSpec as Told,
    codeOf: (error) =>
      six.APICallError.isInstance(error)
        ? codeOfReply(error.statusCode, (error.data as { error?: { code?: unknown } })?.error?.code)
        : undefined,
    namesResults: false,
  };
}

function metadataOf(body: unknown) {
  return { adaptiveSpec: { ...toldByServer(body as object) } };
}

function aiSdk(ai: Ai, { model, providerOptions, told, codeOf, namesResults }: Model): Sdk {
  const settings = (ask: Ask) => {
    const { messages, maxTokens, temperature, seed, signal, stop, tools, toolChoice } = ask;
    return {
      model,
      // A refusal that comes again is the answer here.
      maxRetries: 0,
      allowSystemInMessages: true,
      messages: messages.map(aiMessage),
      ...(maxTokens === undefined ? {} : { maxOutputTokens: maxTokens }),
      ...(temperature === undefined ? {} : { temperature }),
      ...(seed === undefined ? {} : { seed }),
      ...(signal === undefined ? {} : { abortSignal: signal }),
      ...(stop === undefined ? {} : { stopSequences: stop }),
      ...(tools === undefined ? {} : { tools: aiTools(ai, tools) }),
      ...(toolChoice === undefined ? {} : { toolChoice: aiChoice(toolChoice) }),
      providerOptions: providerOptions(ask),
    };
  };
  type Result = Awaited<ReturnType<Ai['generateText']>>;
  const answer = ({
    text,
    finishReason,
    toolCalls,
    usage,
    providerMetadata,
  }: Pick<Result, 'text' | 'finishReason' | 'toolCalls' | 'usage' | 'providerMetadata'>): Answer => ({
    text,
    finishReason: finishReason.replace('-', '_'),
    calls: toolCalls.map(({ toolCallId: id, toolName: name, input: args }) => ({ id, name, args })),
    promptTokens: usage.inputTokens!,
    completionTokens: usage.outputTokens!,
    told: told(providerMetadata),
  });
  return {
    text: async (ask) => answer(await ai.generateText(settings(ask))),
    async stream(ask, onText) {
      const result = ai.streamText({ ...settings(ask), onError: () => {} });
      for await (const part of result.fullStream) {
        if (part.type === 'text-delta') onText(part.text);
        else if (part.type === 'error') throw part.error;
        else if (part.type === 'abort') throw ask.signal!.reason;
      }
      const [text, finishReason, toolCalls, usage, providerMetadata] = await Promise.all([
        result.text,
        result.finishReason,
        result.toolCalls,
        result.usage,
        result.providerMetadata,
      ]);
      return answer({ text, finishReason, toolCalls, usage, providerMetadata });
    },
    async json(ask, schema) {
      const output = ai.Output.object({ schema: ai.jsonSchema<unknown>(schema) });
      return (await ai.generateText({ ...settings(ask), output })).output;
    },
    codeOf,
    isAbort: isNamedAbort,
    namesResults,
  };
}

function aiMessage({ role, content, toolCalls, toolCallId, name }: Message): ModelMessage {
  if (role === 'tool') {
    const output = { type: 'text', value: content } as const;
    return {
      role: 'tool',
      content: [{ type: 'tool-result', toolCallId: toolCallId!, toolName: name!, output }],
    };
  }
  if (role !== 'assistant' || !toolCalls) return { role: role as 'user', content };
  const calls = toolCalls.map(({ id: toolCallId, name: toolName, arguments: given }) => ({
    type: 'tool-call' as const,
    toolCallId,
    toolName,
    input: JSON.parse(given),
  }));
  return { role: 'assistant', content: [{ type: 'text', text: content }, ...calls] };
}

function aiTools(ai: Ai, tools: Tool[]): ToolSet {
  return Object.fromEntries(
    tools.map(({ function: { name, description, parameters } }) => [
      name,
      ai.tool({
        ...(description === undefined ? {} : { description }),
        inputSchema: ai.jsonSchema(parameters!),
      }),
    ]),
  );
}

function aiChoice(choice: ToolChoice) {
  return typeof choice === 'object' ? { type: 'tool' as const, toolName: choice.name } : choice;
}
