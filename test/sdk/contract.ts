// What every SDK must do, by our adapters in this process and by its own client over HTTP: the same checks through each of
// them, against what the engine itself does.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, Message, RequestOptions, Tool } from '../../lib/index.js';
import { createServer, type Server } from '../../lib/serve/index.js';
import { aiSdk6, aiSdk7, aiSdkClient } from './ai-sdk.js';
import { langChain, langChainClient } from './lang-chain.js';
import { openAiClient } from './openai.js';
import type { Address, Ask, Sdk } from './words.js';

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

/** Checks adapters and clients on an engine that writes more than 64 tokens unless it is stopped. */
export function sdkContract(engine: () => Engine): void {
  describe.each([
    ['AI SDK 6', aiSdk6],
    ['AI SDK 7', aiSdk7],
    ['LangChain', langChain],
  ])('%s', (_, connect) => {
    checks(engine, () => connect(engine()), 'all');
  });

  describe('over HTTP', () => {
    let server: Server;
    let address: Address;
    beforeAll(async () => {
      // Prompts are read whole, as the engine's own are: else what the draft model is asked could differ in its last bits,
      // and with that how much of it is accepted.
      server = createServer(engine(), { port: 0, apiKey: 'sk-a-key', cachePrompt: false });
      address = { baseURL: `${await server.listen()}/v1`, apiKey: 'sk-a-key', model: 'any' };
    });
    afterAll(() => server.close());

    describe.each([
      ["OpenAI's client", openAiClient],
      ['AI SDK 6', aiSdkClient],
      ['LangChain', langChainClient],
    ])('%s', (_, connect) => {
      checks(engine, () => connect(address), 'drafts');

      it('throws where the key is wrong', async () => {
        const stranger = connect({ ...address, apiKey: 'sk-another' });
        const error = await failure(stranger.text({ messages: QUESTION, maxTokens: 4 }));
        const { status, statusCode } = error as { status?: number; statusCode?: number };
        expect(status ?? statusCode).toBe(401);
      });
    });
  });
}

/** What a promise rejects with. */
async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('Nothing was thrown');
}

/**
 * `tells` is what is seen of the statistics beside a text: adapters have them whole. A reply of the server has neither the
 * seed, nor the controller's name, nor the steps that drafted nothing; what it has in `timings` a client shows in a whole
 * answer, and LangChain's not in a stream.
 */
function checks(engine: () => Engine, sdk: () => Sdk, tells: 'all' | 'drafts'): void {
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
    const drafts = { draftTokens, acceptedTokens };
    expect(answer.told).toMatchObject(tells === 'all' ? { ...drafts, steps, controller: 'fixed' } : drafts);
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
    });
    if (tells === 'all') expect(answer.told.controller).toBe('tiers');
  });

  it('hands on stop strings, temperature and seed', async () => {
    const sampled: Ask = { messages: QUESTION, maxTokens: 12, temperature: 0.9, seed: 42 };
    const { text } = await own(sampled);
    const answer = await sdk().text(sampled);
    expect(answer.text).toBe(text);
    if (tells === 'all') expect(answer.told.seed).toBe(42);
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
      const seen = sdk().namesResults ? ANSWERED : ANSWERED.map(({ name: _, ...message }) => message);
      const expected = await own({ ...ask, messages: seen });
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

  it('rejects as after an abort, before and in the middle, and frees the engine', async () => {
    const before = sdk().text({ messages: QUESTION, signal: AbortSignal.abort() });
    expect(sdk().isAbort(await failure(before))).toBe(true);
    const abort = new AbortController();
    const ask: Ask = { messages: QUESTION, maxTokens: 64, signal: abort.signal, controller: 'off' };
    let pieces = 0;
    const middle = sdk().stream(ask, () => {
      pieces++;
      abort.abort();
    });
    expect(sdk().isAbort(await failure(middle))).toBe(true);
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
      expect(sdk().codeOf(await failure(sdk().text(ask as Ask)))).toBe(code);
      expect(sdk().codeOf(await failure(sdk().stream(ask as Ask, () => {})))).toBe(code);
    }
  });
}
