// The AI SDK's model beyond the contract: warnings, its own options, messages of every kind, errors in mid-stream.
import type { LanguageModelV3CallOptions, LanguageModelV3StreamPart } from '@ai-sdk/provider';
import { generateText, jsonSchema, stepCountIs, tool } from 'ai';
import { describe, expect, it } from 'vitest';
import { adaptiveSpec } from '../../lib/ai-sdk/index.js';
import { AdaptiveSpecError, type Engine, type RequestOptions } from '../../lib/index.js';
import { createTestEngine, type TestEngineOptions } from '../../lib/testing/index.js';

const prompt: LanguageModelV3CallOptions['prompt'] = [
  { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
];
const inputSchema = { type: 'object', properties: { city: { type: 'string' } } } as const;
const weather = { type: 'function', name: 'get_weather', inputSchema } as const;

/** A test engine that keeps the requests that it gets. */
async function heard(
  options: TestEngineOptions = {},
): Promise<{ engine: Engine; requests: RequestOptions[] }> {
  const requests: RequestOptions[] = [];
  const { replies = [] } = options;
  const engine = await createTestEngine({
    reply: (request, index) => {
      requests.push(request);
      return replies[index] ?? 'Hello there, how are you?';
    },
  });
  return { engine, requests };
}

async function partsOf(stream: ReadableStream<LanguageModelV3StreamPart>) {
  const parts: LanguageModelV3StreamPart[] = [];
  for await (const part of stream as unknown as AsyncIterable<LanguageModelV3StreamPart>) parts.push(part);
  return parts;
}

describe('settings', () => {
  it("of the model hold where a call says nothing, and the call's own come first", async () => {
    const { engine, requests } = await heard();
    const model = adaptiveSpec({
      engine,
      temperature: 0.5,
      seed: 1,
      maxTokens: 9,
      depth: 2,
      modelId: 'mine',
    });
    expect(model).toMatchObject({ provider: 'adaptive-spec', modelId: 'mine', specificationVersion: 'v3' });
    await model.doGenerate({ prompt });
    await model.doGenerate({
      prompt,
      temperature: 0.9,
      topK: 5,
      topP: 0.8,
      presencePenalty: 0.1,
      frequencyPenalty: 0.2,
      providerOptions: { adaptiveSpec: { depth: 4, minP: 0.05 }, other: { depth: 7 } },
    });
    expect(requests[0]).toMatchObject({ temperature: 0.5, seed: 1, maxTokens: 9, depth: 2 });
    const own = { temperature: 0.9, topK: 5, topP: 0.8, presencePenalty: 0.1, frequencyPenalty: 0.2 };
    expect(requests[1]).toMatchObject({ ...own, seed: 1, maxTokens: 9, depth: 4, minP: 0.05 });
  });

  it("that are of tools don't get in the way of calls without any", async () => {
    const { engine, requests } = await heard();
    const model = adaptiveSpec({ engine, parallelToolCalls: true });
    await model.doGenerate({ prompt });
    await model.doGenerate({ prompt, tools: [weather] });
    expect(requests.map(({ parallelToolCalls }) => parallelToolCalls)).toEqual([false, true]);
  });

  it('that are none are refused, with the nearest that is', async () => {
    const { engine } = await heard();
    const call = adaptiveSpec({ engine }).doGenerate({
      prompt,
      providerOptions: { adaptiveSpec: { controler: 'off' } },
    });
    await expect(call).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      hint: "Did you mean 'controller'?",
    });
    expect(() => adaptiveSpec({ engine: {} as Engine })).toThrow('The engine is none');
    const none = adaptiveSpec({ model: '/nowhere/model.gguf' });
    expect(none.modelId).toBe('model.gguf');
  });
});

describe('messages', () => {
  it('of every kind reach the engine as text, calls and results', async () => {
    const { engine, requests } = await heard();
    const results = [
      { type: 'text', value: 'a' },
      { type: 'json', value: { b: 1 } },
      { type: 'error-text', value: 'c' },
      { type: 'error-json', value: ['d'] },
      { type: 'execution-denied', reason: 'not today' },
      { type: 'execution-denied' },
      {
        type: 'content',
        value: [
          { type: 'text', text: 'e' },
          { type: 'text', text: 'f' },
        ],
      },
    ] as const;
    const { warnings } = await adaptiveSpec({ engine }).doGenerate({
      prompt: [
        { role: 'system', content: 'Be brief.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'One ' },
            { type: 'text', text: 'two' },
          ],
        },
        {
          role: 'assistant',
          content: [
            { type: 'reasoning', text: 'Hm.' },
            { type: 'text', text: 'Let me look.' },
            { type: 'tool-call', toolCallId: 'x', toolName: 'get_weather', input: { city: 'Paris' } },
          ],
        },
        {
          role: 'tool',
          content: results.map((output) => ({
            type: 'tool-result' as const,
            toolCallId: 'x',
            toolName: 'get_weather',
            output: output as never,
          })),
        },
      ],
    });
    const [system, user, assistant, ...tools] = requests[0]!.messages!;
    expect(system).toEqual({ role: 'system', content: 'Be brief.' });
    expect(user).toEqual({ role: 'user', content: 'One two' });
    expect(assistant).toEqual({
      role: 'assistant',
      content: 'Let me look.',
      toolCalls: [{ id: 'x', name: 'get_weather', arguments: '{"city":"Paris"}' }],
    });
    expect(tools.map(({ content }) => content)).toEqual([
      ...['a', '{"b":1}', 'c', '["d"]', 'not today', 'The call of this tool was denied.', 'e\nf'],
    ]);
    expect(tools[0]).toMatchObject({ role: 'tool', toolCallId: 'x', name: 'get_weather' });
    expect(warnings).toMatchObject([{ type: 'other', message: expect.stringContaining('reasoning') }]);
  });

  it('that are no text are refused', async () => {
    const { engine } = await heard();
    const image = { type: 'file', mediaType: 'image/png', data: new Uint8Array(4) } as const;
    const call = adaptiveSpec({ engine }).doGenerate({ prompt: [{ role: 'user', content: [image] }] });
    await expect(call).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

describe('warnings', () => {
  it("are given for a provider's tools, and for a format beside tools", async () => {
    const { engine, requests } = await heard();
    const search = { type: 'provider', id: 'x.search', name: 'search', args: {} } as const;
    const responseFormat = { type: 'json', schema: inputSchema } as const;
    const model = adaptiveSpec({ engine });
    const { warnings } = await model.doGenerate({ prompt, tools: [search, weather], responseFormat });
    expect(warnings).toMatchObject([
      { type: 'unsupported', feature: 'tool x.search' },
      { type: 'unsupported', feature: 'responseFormat' },
    ]);
    expect(requests[0]!.tools!.map((tool) => tool.function.name)).toEqual(['get_weather']);
    expect(requests[0]!.responseFormat).toBeUndefined();
    const { stream } = await model.doStream({ prompt, tools: [search] });
    expect((await partsOf(stream))[0]).toMatchObject({
      type: 'stream-start',
      warnings: [{ type: 'unsupported' }],
    });
  });

  it('are none for a format where no tool can be called', async () => {
    const { engine, requests } = await heard({ replies: [{ json: {} }, { json: {} }] });
    const model = adaptiveSpec({ engine });
    const none = { tools: [weather], toolChoice: { type: 'none' } } as const;
    const { warnings } = await model.doGenerate({ prompt, ...none, responseFormat: { type: 'json' } });
    expect(warnings).toEqual([]);
    expect(requests[0]!.responseFormat).toEqual({ type: 'json_object' });
  });
});

describe('a stream', () => {
  it('tells of an error in its middle, and ends', async () => {
    const error = new AdaptiveSpecError('BAD_LOGITS', 'A row is NaN', 'Use another model.');
    const { engine } = await heard({ replies: [{ text: 'So far so', error }] });
    const { stream } = await adaptiveSpec({ engine }).doStream({ prompt });
    const parts = await partsOf(stream);
    expect(parts.at(-2)).toMatchObject({ type: 'error', error: { code: 'BAD_LOGITS' } });
    expect(parts.at(-1)).toMatchObject({ type: 'finish', finishReason: { unified: 'error' } });
    expect(parts.some((part) => part.type === 'text-delta')).toBe(true);
  });

  it('has calls in it as they are written, and one that a limit has cut as no call', async () => {
    const toolCalls = [{ name: 'get_weather', arguments: '{"city": "a long name of a city"}' }];
    const engine = await createTestEngine({ reply: () => ({ text: 'Let me look.', toolCalls }) });
    const model = adaptiveSpec({ engine });
    const ask = { prompt, tools: [weather] };
    const parts = await partsOf((await model.doStream(ask)).stream);
    const types = parts.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1]);
    expect(types).toEqual([
      ...['stream-start', 'response-metadata', 'text-start', 'text-delta', 'text-end'],
      ...['tool-input-start', 'tool-input-delta', 'tool-input-end', 'tool-call', 'finish'],
    ]);
    const inputOf = (all: typeof parts) =>
      all.map((part) => (part.type === 'tool-input-delta' ? part.delta : '')).join('');
    expect(inputOf(parts)).toBe(toolCalls[0]!.arguments);
    const [call] = parts.filter((part) => part.type === 'tool-call');
    expect(call).toMatchObject({ toolName: 'get_weather', input: toolCalls[0]!.arguments });
    const ids = parts.flatMap((part) =>
      part.type.startsWith('tool-input') && 'id' in part ? [part.id] : [],
    );
    expect(new Set([...ids, call!.toolCallId]).size).toBe(1);

    const cut = await partsOf((await model.doStream({ ...ask, maxOutputTokens: 8 })).stream);
    expect(cut.map(({ type }) => type)).not.toContain('tool-call');
    expect(toolCalls[0]!.arguments.startsWith(inputOf(cut))).toBe(true);
    expect(inputOf(cut)).not.toBe('');
    const whole = await model.doGenerate({ ...ask, maxOutputTokens: 8 });
    expect(whole.content).toEqual([{ type: 'text', text: 'Let me look.' }]);
  });

  it('has the steps in it where raw chunks are wanted', async () => {
    const { engine } = await heard();
    const model = adaptiveSpec({ engine });
    const { stream } = await model.doStream({ prompt, includeRawChunks: true });
    const raw = (await partsOf(stream)).flatMap((part) => (part.type === 'raw' ? [part.rawValue] : []));
    expect(raw[0]).toMatchObject({ step: 0 });
    expect(raw.at(-1)).toMatchObject({ drafted: expect.any(Number), accepted: expect.any(Number) });
    const plain = await partsOf((await model.doStream({ prompt })).stream);
    expect(plain.some((part) => part.type === 'raw')).toBe(false);
  });

  it('that is cancelled ends its generation', async () => {
    const engine = await createTestEngine({ reply: () => 'word '.repeat(200), stepMs: 60_000 });
    const { stream } = await adaptiveSpec({ engine, controller: 'off' }).doStream({ prompt });
    await stream.cancel();
    await expect.poll(() => engine.pending).toBe(0);
  });
});

describe('an agent', () => {
  it('calls tools until it has its answer, under ids that differ', async () => {
    const call = (city: string) => ({ toolCalls: [{ name: 'get_weather', arguments: { city } }] });
    const { engine, requests } = await heard({ replies: [call('Paris'), call('Rome'), 'Both are sunny.'] });
    const asked: string[] = [];
    const { text, steps } = await generateText({
      model: adaptiveSpec({ engine }),
      prompt: 'Compare Paris and Rome.',
      tools: {
        get_weather: tool({
          inputSchema: jsonSchema<{ city: string }>(inputSchema),
          execute: async ({ city }) => {
            asked.push(city);
            return { sky: 'sunny' };
          },
        }),
      },
      stopWhen: stepCountIs(5),
    });
    expect(text).toBe('Both are sunny.');
    expect(asked).toEqual(['Paris', 'Rome']);
    expect(steps.map(({ finishReason }) => finishReason)).toEqual(['tool-calls', 'tool-calls', 'stop']);
    const ids = requests[2]!.messages!.flatMap(({ toolCalls }) => toolCalls?.map(({ id }) => id) ?? []);
    expect(new Set(ids).size).toBe(2);
    expect(requests[2]!.messages!.at(-1)).toMatchObject({ role: 'tool', content: '{"sky":"sunny"}' });
  });
});
