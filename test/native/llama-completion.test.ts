// What llama-server's own requests ask of an engine, on tiny models: biases, templates, pieces, probabilities by token.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, RequestOptions } from '../../lib/index.js';
import { createServer, type Server } from '../../lib/serve/index.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

const TURNS = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }};{% endfor %}";
const TEMPLATE = `${TURNS}{% if add_generation_prompt %}<assistant>{% endif %}`;

let engine: Engine;
let server: Server;
let address: string;

beforeAll(async () => {
  // One request at a time: side by side they share a cache, and log-probabilities differ in their last bits.
  engine = await tinyEngine('target', 'draft', { chatTemplate: TEMPLATE });
  server = createServer(engine, { port: 0 });
  address = await server.listen();
});
afterAll(async () => {
  await server.close();
  await engine.close();
});

const post = (path: string, body: object) =>
  fetch(address + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
const events = async (response: Response) =>
  (await response.text())
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => JSON.parse(event.slice(6)));

describe('logitBias', () => {
  const CONTROLLERS: Partial<RequestOptions>[] = [
    { controller: 'off' },
    { depth: 4 },
    { depth: 8, drafter: 'ngram' },
    { controller: 'heuristic' },
  ];

  it.each([0, 0.8])(
    'rules tokens out, in one text whatever is drafted, at temperature %d',
    async (temperature) => {
      for (const prompt of BEGINNINGS) {
        const base = { prompt, maxTokens: 40, temperature, seed: 5, ignoreEos: true };
        const free = await engine.generate({ ...base, controller: 'off' });
        const banned = [...new Set(free.tokens)].slice(0, 5);
        const logitBias = banned.map((token) => [token, Number.NEGATIVE_INFINITY] as const);
        const texts: number[][] = [];
        for (const choice of CONTROLLERS) {
          const { tokens } = await engine.generate({ ...base, ...choice, logitBias });
          texts.push(tokens);
        }
        expect(texts[0]!.filter((token) => banned.includes(token))).toEqual([]);
        for (const tokens of texts) expect(tokens).toEqual(texts[0]);
      }
    },
  );

  it('adds up, and leaves log-probabilities as they are', async () => {
    const base = { prompt: BEGINNINGS[0]!, maxTokens: 8, ignoreEos: true, logprobs: 3, controller: 'off' };
    const free = await engine.generate(base);
    const wanted = 65;
    const biased = await engine.generate({
      ...base,
      logitBias: [
        [wanted, 500],
        [wanted, 500],
      ],
    });
    expect(new Set(biased.tokens)).toEqual(new Set([wanted]));
    expect(biased.logprobs![0]!.top).toEqual(free.logprobs![0]!.top);
    const undone = await engine.generate({
      ...base,
      logitBias: [
        [wanted, 900],
        [wanted, -900],
      ],
    });
    expect(undone.tokens).toEqual(free.tokens);
  });

  it.each([
    [[[1e7, 1]], 'no id of this model'],
    [[[-1, 1]], 'logitBias.0.0'],
    [[[1, Number.NaN]], 'logitBias.0.1'],
    [[[1, Number.POSITIVE_INFINITY]], 'logitBias.0.1'],
    [[[1]], 'logitBias.0'],
    [Array(4097).fill([1, 1]), 'logitBias'],
  ])('refuses %j', async (logitBias, told) => {
    const options = { prompt: 'a', logitBias } as unknown as RequestOptions;
    await expect(engine.generate(options)).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(told) }),
    );
  });
});

describe('a chat template that is given', () => {
  const user = { role: 'user', content: 'Hi' };
  const begun = { role: 'assistant', content: 'Well' };

  it('puts messages into words, and ends as is asked', () => {
    expect(engine.info.hasChatTemplate).toBe(true);
    expect(engine.applyChatTemplate([user])).toBe('<user>Hi;<assistant>');
    expect(engine.applyChatTemplate([user], { addGenerationPrompt: false })).toBe('<user>Hi;');
    expect(engine.applyChatTemplate([user, begun], { continueFinalMessage: true })).toBe(
      '<user>Hi;<assistant>Well',
    );
  });

  it('is what requests are read by', async () => {
    const messages = [user, begun];
    const generate = (options: RequestOptions) =>
      engine.generate({ ...options, maxTokens: 12, ignoreEos: true, controller: 'off' });
    const continued = await generate({ messages, continueFinalMessage: true });
    expect(continued.tokens).toEqual((await generate({ prompt: '<user>Hi;<assistant>Well' })).tokens);
    const tokens = engine.countPromptTokens({ messages, continueFinalMessage: true });
    expect(tokens).toBe(continued.usage.promptTokens);
  });

  it('is told where the model is not to think', async () => {
    const chatTemplate = `${TEMPLATE}{% if not enable_thinking %}<think></think>{% endif %}`;
    await using other = await tinyEngine('target', undefined, { chatTemplate });
    const base = { maxTokens: 12, ignoreEos: true, controller: 'off' };
    expect(other.applyChatTemplate([user])).toBe('<user>Hi;<assistant>');
    for (const [enableThinking, prompt] of [
      [true, '<user>Hi;<assistant>'],
      [false, '<user>Hi;<assistant><think></think>'],
    ] as const) {
      expect(other.applyChatTemplate([user], { enableThinking })).toBe(prompt);
      const chat = await other.generate({ ...base, messages: [user], enableThinking });
      expect(chat.tokens).toEqual((await other.generate({ ...base, prompt })).tokens);
    }
  });

  it.each([
    [{ messages: [user], continueFinalMessage: true }],
    [{ prompt: 'a', continueFinalMessage: true }],
    [{ messages: [user, { ...begun, toolCalls: [] }], continueFinalMessage: true }],
  ])('has no answer to go on with in %j', async (options) => {
    await expect(engine.generate(options)).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it.each(['{% for %}', '{{ unclosed'])('is refused where it is no Jinja: %j', async (chatTemplate) => {
    await expect(tinyEngine('target', undefined, { chatTemplate })).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

it('pieces are the bytes of the text', async () => {
  const text = 'the 媽 and 🤗 END';
  const tokens = engine.tokenize(text, { addSpecial: false });
  expect(Buffer.concat(engine.pieces(tokens)).toString('utf8').trim()).toBe(text);
  expect(() => engine.pieces([1e7])).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
});

describe('/completion', () => {
  it.each(BEGINNINGS)('says the same whole and streamed, at any temperature: %j', async (prompt) => {
    for (const temperature of [0, 0.8]) {
      const body = { prompt, n_predict: 40, temperature, seed: 3, stop: ['END'], return_tokens: true };
      const whole = await (await post('/completion', body)).json();
      const direct = await engine.generate({ prompt, maxTokens: 40, temperature, seed: 3, stop: ['END'] });
      expect([whole.content, whole.tokens]).toEqual([direct.text, direct.tokens]);
      const streamed = await events(await post('/completion', { ...body, stream: true }));
      expect(streamed.map(({ content }) => content).join('')).toBe(whole.content);
      const {
        timings: _,
        metrics: __,
        content: ___,
        tokens: ____,
        generation_settings,
        ...end
      } = streamed.at(-1);
      expect(whole).toMatchObject({ ...end, generation_settings: { ...generation_settings, stream: false } });
    }
  });

  it('tells probabilities by token, one in each event', async () => {
    const body = { prompt: BEGINNINGS[2], n_predict: 20, n_probs: 4, ignore_eos: true };
    const whole = await (await post('/completion', body)).json();
    const direct = await engine.generate({
      prompt: BEGINNINGS[2]!,
      maxTokens: 20,
      ignoreEos: true,
      logprobs: 4,
    });
    expect(whole.completion_probabilities.map(({ id }: { id: number }) => id)).toEqual(direct.tokens);
    expect(whole.completion_probabilities[0]).toMatchObject({
      token: direct.logprobs![0]!.text,
      logprob: direct.logprobs![0]!.logprob,
      top_logprobs: direct.logprobs![0]!.top.map(({ token, logprob }) => ({ id: token, logprob })),
    });
    const streamed = await events(await post('/completion', { ...body, stream: true }));
    const told = streamed.flatMap(({ completion_probabilities }) => completion_probabilities ?? []);
    expect(told).toEqual(whole.completion_probabilities);
    for (const { content, tokens, completion_probabilities: one } of streamed.slice(0, -1)) {
      if (one.length === 1) expect([one[0].id, one[0].token]).toEqual([tokens[0], content]);
    }
  });
});
