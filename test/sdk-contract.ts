// What every SDK's adapter must do: the same checks through each of them, against what the engine itself does.
import type { LanguageModelV3 } from '@ai-sdk/provider';
import {
  AIMessage,
  type AIMessageChunk,
  type BaseMessage,
  HumanMessage,
  SystemMessage,
  ToolMessage,
} from '@langchain/core/messages';
import { generateText, jsonSchema, type ModelMessage, Output, streamText, type ToolSet, tool } from 'ai';
import { describe, expect, it } from 'vitest';
import { adaptiveSpec } from '../lib/ai-sdk/index.js';
import type {
  Engine,
  GenerationResult,
  JsonSchema,
  Message,
  RequestOptions,
  Tool,
  ToolChoice,
} from '../lib/index.js';
import { ChatAdaptiveSpec } from '../lib/langchain/index.js';

/** A request in words that every SDK has. */
type Ask = Pick<RequestOptions, 'maxTokens' | 'temperature' | 'seed' | 'signal' | 'controller' | 'depth'> & {
  messages: Message[];
  stop?: string[];
  tools?: Tool[];
  toolChoice?: ToolChoice;
};

interface Answer {
  text: string;
  finishReason: string;
  calls: { id: string; name: string; args: unknown }[];
  promptTokens: number;
  completionTokens: number;
  /** Statistics, with the seed. */
  told: { seed: number; stats: GenerationResult['stats'] };
}

/** An SDK, in use. Errors are thrown as its user gets them. */
interface Sdk {
  text(ask: Ask): Promise<Answer>;
  /** Calls `onText` for every piece. */
  stream(ask: Ask, onText: (text: string) => void): Promise<Answer>;
  json(ask: Ask, schema: JsonSchema): Promise<unknown>;
}

export function aiSdk(engine: Engine): Sdk {
  const model: LanguageModelV3 = adaptiveSpec({ engine });
  const settings = ({
    messages,
    maxTokens,
    temperature,
    seed,
    signal,
    stop,
    tools,
    toolChoice,
    controller,
    depth,
  }: Ask) => ({
    model,
    allowSystemInMessages: true,
    messages: messages.map(aiMessage),
    ...(maxTokens === undefined ? {} : { maxOutputTokens: maxTokens }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(seed === undefined ? {} : { seed }),
    ...(signal === undefined ? {} : { abortSignal: signal }),
    ...(stop === undefined ? {} : { stopSequences: stop }),
    ...(tools === undefined ? {} : { tools: aiTools(tools) }),
    ...(toolChoice === undefined ? {} : { toolChoice: aiChoice(toolChoice) }),
    providerOptions: {
      adaptiveSpec: {
        ...(typeof controller === 'string' ? { controller } : {}),
        ...(depth === undefined ? {} : { depth }),
      },
    },
  });
  type Result = Awaited<ReturnType<typeof generateText>>;
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
    told: providerMetadata!.adaptiveSpec as unknown as Answer['told'],
  });
  return {
    text: async (ask) => answer(await generateText(settings(ask))),
    async stream(ask, onText) {
      const result = streamText({ ...settings(ask), onError: () => {} });
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
      const output = Output.object({ schema: jsonSchema<unknown>(schema) });
      return (await generateText({ ...settings(ask), output })).output;
    },
  };
}

function aiMessage({ role, content, toolCalls, toolCallId, name }: Message): ModelMessage {
  if (role === 'tool') {
    const output = { type: 'text', value: content } as const;
    return { role, content: [{ type: 'tool-result', toolCallId: toolCallId!, toolName: name!, output }] };
  }
  if (role !== 'assistant' || !toolCalls) return { role: role as 'user', content };
  const calls = toolCalls.map(({ id: toolCallId, name: toolName, arguments: given }) => ({
    type: 'tool-call' as const,
    toolCallId,
    toolName,
    input: JSON.parse(given),
  }));
  return { role, content: [{ type: 'text', text: content }, ...calls] };
}

function aiTools(tools: Tool[]): ToolSet {
  return Object.fromEntries(
    tools.map(({ function: { name, description, parameters } }) => [
      name,
      tool({ ...(description === undefined ? {} : { description }), inputSchema: jsonSchema(parameters!) }),
    ]),
  );
}

function aiChoice(choice: ToolChoice) {
  return typeof choice === 'object' ? { type: 'tool' as const, toolName: choice.name } : choice;
}

export function langChain(engine: Engine): Sdk {
  const model = new ChatAdaptiveSpec({ engine });
  const ready = ({ messages, tools, toolChoice, ...options }: Ask) => {
    const choice = typeof toolChoice === 'object' ? toolChoice.name : toolChoice;
    const bound = tools ? model.bindTools(tools, choice === undefined ? {} : { tool_choice: choice }) : model;
    return { bound, input: messages.map(langChainMessage), options };
  };
  const answer = (message: AIMessageChunk): Answer => {
    const { finish_reason, ...told } = message.response_metadata;
    return {
      text: message.text,
      finishReason: finish_reason,
      calls: message.tool_calls!.map(({ id, name, args }) => ({ id: id!, name, args })),
      promptTokens: message.usage_metadata!.input_tokens,
      completionTokens: message.usage_metadata!.output_tokens,
      told: told as Answer['told'],
    };
  };
  return {
    async text(ask) {
      const { bound, input, options } = ready(ask);
      return answer(await bound.invoke(input, options));
    },
    async stream(ask, onText) {
      const { bound, input, options } = ready(ask);
      let whole: AIMessageChunk | undefined;
      for await (const chunk of await bound.stream(input, options)) {
        if (chunk.text !== '') onText(chunk.text);
        whole = whole ? whole.concat(chunk) : chunk;
      }
      return answer(whole!);
    },
    async json(ask, schema) {
      const { input, options } = ready(ask);
      return model.withStructuredOutput(schema).invoke(input, options as never);
    },
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

const QUESTION: Message[] = [
  { role: 'system', content: 'You are brief.' },
  { role: 'user', content: 'What is the weather in Paris, in celsius?' },
];
const SCHEMA = {
  type: 'object',
  properties: { city: { type: 'string', maxLength: 20 }, unit: { enum: ['celsius', 'fahrenheit'] } },
  required: ['city', 'unit'],
};
const TOOLS: Tool[] = [
  {
    type: 'function',
    function: { name: 'get_weather', description: "Tells a city's weather.", parameters: SCHEMA },
  },
];
const ANSWERED: Message[] = [
  ...QUESTION,
  {
    role: 'assistant',
    content: 'Let me look.',
    toolCalls: [{ id: 'call_a', name: 'get_weather', arguments: '{"city":"Paris","unit":"celsius"}' }],
  },
  { role: 'tool', content: 'sunny, 21 degrees', toolCallId: 'call_a', name: 'get_weather' },
];

/** Checks the adapters on an engine that writes more than 64 tokens unless it is stopped. */
export function sdkContract(engine: () => Engine): void {
  describe.each([
    ['AI SDK', aiSdk],
    ['LangChain', langChain],
  ])('%s', (_, connect) => {
    const sdk = () => connect(engine());
    const own = (ask: Ask) => engine().generate(ask as RequestOptions);

    it("gives the engine's text, usage and statistics", async () => {
      const ask: Ask = { messages: QUESTION, maxTokens: 12, depth: 3 };
      const expected = await own(ask);
      const answer = await sdk().text(ask);
      expect(answer).toMatchObject({
        text: expected.text,
        finishReason: 'length',
        calls: [],
        promptTokens: expected.usage.promptTokens,
        completionTokens: 12,
      });
      const { steps, draftTokens, acceptedTokens } = expected.stats;
      expect(answer.told.stats).toMatchObject({ steps, draftTokens, acceptedTokens });
      expect(answer.told.stats.controller.name).toBe('fixed');
    });

    it('streams the same text in pieces, with the same end', async () => {
      // One that is asked at every step: without, several steps' text may come at once.
      const ask: Ask = { messages: QUESTION, maxTokens: 12, controller: 'tiers' };
      const pieces: string[] = [];
      const answer = await sdk().stream(ask, (text) => pieces.push(text));
      const expected = await own(ask);
      expect(pieces.join('')).toBe(expected.text);
      expect(pieces.length).toBeGreaterThan(1);
      expect(answer).toMatchObject({
        text: expected.text,
        finishReason: 'length',
        promptTokens: expected.usage.promptTokens,
        completionTokens: 12,
        told: { stats: { controller: { name: 'tiers' } } },
      });
    });

    it('hands on stop strings, temperature and seed', async () => {
      const sampled: Ask = { messages: QUESTION, maxTokens: 12, temperature: 0.9, seed: 42 };
      const { text } = await own(sampled);
      const answer = await sdk().text(sampled);
      expect(answer.text).toBe(text);
      expect(answer.told.seed).toBe(42);
      const stop = [text.slice(8, 12)];
      const stopped = await sdk().text({ ...sampled, stop });
      expect(stopped).toMatchObject({ text: text.slice(0, text.indexOf(stop[0]!)), finishReason: 'stop' });
    });

    it('calls a tool, whole and streamed', async () => {
      const ask: Ask = { messages: QUESTION, tools: TOOLS, toolChoice: 'required', maxTokens: 120 };
      const expected = await own(ask);
      const { name, parsed: args } = expected.toolCalls![0]!;
      const pieces: string[] = [];
      const answers = [await sdk().text(ask), await sdk().stream(ask, (text) => pieces.push(text))];
      for (const answer of answers) {
        expect(answer).toMatchObject({ finishReason: 'tool_calls', calls: [{ name, args }] });
        expect(answer.text).toBe(expected.content);
      }
      expect(pieces.join('')).toBe(expected.content);
      // Ids are for a whole conversation, in which an engine's would be the same each time.
      expect(answers[0]!.calls[0]!.id).not.toBe(answers[1]!.calls[0]!.id);
      const named = await sdk().text({ ...ask, toolChoice: { name: 'get_weather' } });
      expect(named.calls).toMatchObject([{ name, args }]);
    });

    it("puts calls and their results into the prompt as the engine's messages do", async () => {
      for (const more of [{}, { tools: TOOLS, toolChoice: 'none' as const }]) {
        const ask: Ask = { messages: ANSWERED, maxTokens: 16, ...more };
        const expected = await own(ask);
        const answer = await sdk().text(ask);
        expect(answer.promptTokens).toBe(expected.usage.promptTokens);
        expect(answer.text).toBe(expected.content ?? expected.text);
      }
    });

    it('gives a value that keeps to a schema', async () => {
      const ask: Ask = { messages: QUESTION, maxTokens: 120 };
      const responseFormat = { type: 'json_schema', schema: SCHEMA } as const;
      const { json } = await engine().generate({ ...(ask as RequestOptions), responseFormat });
      expect(await sdk().json(ask, SCHEMA)).toEqual(json);
    });

    it('rejects with the reason of an abort, before and in the middle, and frees the engine', async () => {
      const before = sdk().text({ messages: QUESTION, signal: AbortSignal.abort() });
      await expect(before).rejects.toMatchObject({ name: 'AbortError' });
      const abort = new AbortController();
      const ask: Ask = { messages: QUESTION, maxTokens: 64, signal: abort.signal, controller: 'off' };
      let pieces = 0;
      const middle = sdk().stream(ask, () => {
        pieces++;
        abort.abort();
      });
      await expect(middle).rejects.toMatchObject({ name: 'AbortError' });
      expect(pieces).toBeGreaterThan(0);
      await expect.poll(() => engine().pending).toBe(0);
      expect((await sdk().text({ messages: QUESTION, maxTokens: 4 })).completionTokens).toBe(4);
    });

    it("throws the engine's typed errors", async () => {
      const long = [{ role: 'user', content: 'word '.repeat(engine().info.contextSize + 1) }];
      for (const [ask, code] of [
        [{ messages: long }, 'CONTEXT_OVERFLOW'],
        [{ messages: QUESTION, controller: 'nobody' }, 'INVALID_ARGUMENT'],
        [{ messages: QUESTION, temperature: -1 }, 'INVALID_ARGUMENT'],
      ] as const) {
        await expect(sdk().text(ask as Ask)).rejects.toMatchObject({ name: 'AdaptiveSpecError', code });
        const streamed = sdk().stream(ask as Ask, () => {});
        await expect(streamed).rejects.toMatchObject({ name: 'AdaptiveSpecError', code });
      }
    });
  });
}
