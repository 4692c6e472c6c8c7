// Requests that name a cache go on from what others of that cache have read, and no text may tell that they did; the server
// does so for each API key, and says how much was read before.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, EngineOptions, RequestOptions } from '../../lib/index.js';
import { createServer, type Server, type ServerOptions } from '../../lib/serve/index.js';
import { type TinyModelName, tinyModels } from '../tiny-models.js';
import { reportTies, TieJudge } from './ties.js';
import { BEGINNINGS, random, tinyEngine } from './tiny-engine.js';

/** Conversations that go on, go back and begin anew, each in one of two caches. */
class Conversations {
  readonly #next: () => number;
  readonly #texts: number[][];
  readonly #engine: Engine;

  constructor(engine: Engine, seed: number, count: number) {
    this.#engine = engine;
    this.#next = random(seed);
    this.#texts = Array.from({ length: count }, () => []);
  }

  below(n: number): number {
    return Math.floor(this.#next() * n);
  }

  /** The next request of a conversation. */
  request(which: number): RequestOptions & { prompt: number[] } {
    let text = this.#texts[which]!;
    if (this.#next() < 0.2) text = text.slice(0, this.below(text.length + 1));
    const beginning = BEGINNINGS[which % 2]!;
    text = [
      ...(text.length > 0 ? text : this.#engine.tokenize(beginning.repeat(6))),
      ...this.#engine.tokenize(BEGINNINGS[this.below(BEGINNINGS.length)]!, { addSpecial: false }),
    ];
    if (text.length > 380) text = text.slice(0, 60 + this.below(200));
    const drafters = ['model', 'ngram', 'hybrid'];
    const own = random(this.below(1e6));
    return {
      prompt: text,
      cache: which % 2 === 0 ? 'even' : 'odd',
      maxTokens: 1 + this.below(50),
      ignoreEos: this.#next() < 0.5,
      controller: () => ({ depth: Math.floor(12 * own()), drafter: drafters[Math.floor(3 * own())]! }),
    };
  }

  said(which: number, prompt: number[], tokens: readonly number[]): void {
    this.#texts[which] = [...prompt, ...tokens];
  }
}

function plainly({ cache: _cache, ...request }: RequestOptions): RequestOptions {
  return { ...request, controller: 'off' };
}

const PAIRS: [TinyModelName, TinyModelName, EngineOptions][] = [
  ['target', 'draft', {}],
  ['swa', 'swaDraft', {}],
];

describe.each(PAIRS)('a cache on %s with %s, %j', (target, draft, options) => {
  it('changes no token, greedy or by a seed, after requests that were broken off too', async () => {
    await using engine = await tinyEngine(target, draft, options);
    await using fresh = await tinyEngine(target, undefined, options);
    let reused = 0;
    for (let seed = 1; seed <= 4; seed++) {
      const talks = new Conversations(engine, seed, 4);
      // Two turns of one conversation in a row, so that there is something to go on from.
      for (let turn = 0; turn < 12; turn++) {
        const which = (turn >> 1) % 4;
        const request = talks.request(which);
        if (talks.below(3) === 0) Object.assign(request, { temperature: 0.8, topK: 30, seed: turn });
        const plain = await fresh.generate(plainly(request));
        if (talks.below(4) === 0) {
          const broken = engine.generate({ ...request, ignoreEos: true, maxTokens: 100 });
          for await (const part of broken.events()) if (part.type === 'step' && part.step.step === 2) break;
          await broken.catch(() => {});
        }
        const result = await engine.generate(request);
        expect(result.tokens, `seed ${seed}, turn ${turn}`).toEqual(plain.tokens);
        expect(result.usage).toEqual(plain.usage);
        reused += result.stats.reusedPromptTokens;
        talks.said(which, request.prompt, result.tokens);
      }
    }
    expect(reused).toBeGreaterThan(1000);
  });
});

it('a cache changes no token but at a tie where many requests run at once', async () => {
  await using engine = await tinyEngine('target', 'draft', { parallel: 4 });
  await using fresh = await tinyEngine('target');
  const judge = await TieJudge.of((await tinyModels()).target, 1e-4);
  const talks = new Conversations(engine, 11, 5);
  const told: { request: RequestOptions & { prompt: number[] }; tokens: number[]; where: string }[] = [];
  let reused = 0;
  const converse = async (which: number) => {
    for (let turn = 0; turn < 10; turn++) {
      const request = talks.request(which);
      const { tokens, stats } = await engine.generate(request);
      reused += stats.reusedPromptTokens;
      told.push({ request, tokens, where: `conversation ${which}, turn ${turn}` });
      talks.said(which, request.prompt, tokens);
    }
  };
  const breakOff = async (which: number) => {
    for (let turn = 0; turn < 10; turn++) {
      const broken = engine.generate({ ...talks.request(which), ignoreEos: true, maxTokens: 100 });
      for await (const part of broken.events()) if (part.type === 'step' && part.step.step === 2) break;
      await broken.catch(() => {});
    }
  };
  await Promise.all([0, 1, 2, 3].map(converse).concat(breakOff(4)));
  let compared = 0;
  for (const { request, tokens, where } of told) {
    const plain = await fresh.generate(plainly(request));
    compared += await judge.expectSame(tokens, plain.tokens, Int32Array.from(request.prompt), where);
  }
  expect(reused).toBeGreaterThan(0);
  reportTies(compared);
  await judge.close();
});

it('a cache is without effect on a model whose state goes no way back', async () => {
  await using engine = await tinyEngine('recurrent');
  for (let i = 0; i < 2; i++) {
    const { stats } = await engine.generate({ prompt: BEGINNINGS[0]!, maxTokens: 8, cache: 'a' });
    expect(stats.reusedPromptTokens).toBe(0);
  }
});

it('a session refuses a cache beside its own', async () => {
  await using engine = await tinyEngine('target');
  const generation = engine.session().generate({ prompt: 'a', cache: 'a' });
  await expect(Promise.resolve(generation)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

it('a prompt that has been read is told of before the first step, as its result tells later', async () => {
  await using engine = await tinyEngine('target', 'draft');
  const heard: unknown[] = [];
  engine.on('prompt', (prompt, id) => heard.push([id, prompt]));
  engine.on('step', ({ step }, id) => step === 1 && heard.push([id, 'step']));
  const expected: unknown[] = [];
  // Steps that are told of in a few numbers, and such that ask.
  for (const controller of ['off', 'auto', () => 3]) {
    const generation = engine.generate({ prompt: BEGINNINGS[0]!, maxTokens: 8, cache: 'a', controller });
    const { usage, stats } = await generation;
    const { promptTokens } = usage;
    const { reusedPromptTokens, promptMs } = stats;
    expect(reusedPromptTokens).toBe(controller === 'off' ? 0 : promptTokens - 1);
    expected.push([generation.id, { promptTokens, reusedPromptTokens, promptMs }], [generation.id, 'step']);
  }
  expect(heard).toEqual(expected);
});

describe('the server', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await tinyEngine('target', 'draft', { parallel: 2 });
  });
  afterAll(() => engine.close());

  async function serving(
    options: ServerOptions,
    run: (ask: (body: object, key?: string, path?: string) => Promise<Answer>) => Promise<void>,
  ): Promise<void> {
    const server: Server = createServer(engine, { port: 0, ...options });
    const address = await server.listen();
    try {
      await run(async (body, key, path = '/v1/completions') => {
        const headers = {
          'content-type': 'application/json',
          ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        };
        const response = await fetch(address + path, { method: 'POST', headers, body: JSON.stringify(body) });
        expect(response.status).toBe(200);
        return (await response.json()) as Answer;
      });
    } finally {
      await server.close();
    }
  }

  interface Answer {
    choices: { text: string }[];
    usage: {
      prompt_tokens: number;
      prompt_tokens_details?: { cached_tokens: number };
      input_tokens_details?: { cached_tokens: number };
    };
    timings: { cache_n: number; prompt_n: number };
  }

  it('goes on from the text so far, says how much that is, and reads all of it where it is told to', async () => {
    await serving({}, async (ask) => {
      const prompt = 'the world is a '.repeat(8);
      const first = await ask({ prompt, max_tokens: 20 });
      const total = first.usage.prompt_tokens;
      expect(first.usage.prompt_tokens_details).toEqual({ cached_tokens: 0 });
      expect(first.timings).toMatchObject({ cache_n: 0, prompt_n: total });
      const again = await ask({ prompt, max_tokens: 20 });
      expect(again.choices).toEqual(first.choices);
      // The last token of a prompt is always read.
      expect(again.usage.prompt_tokens_details).toEqual({ cached_tokens: total - 1 });
      expect(again.timings).toMatchObject({ cache_n: total - 1, prompt_n: 1 });
      const whole = await ask({ prompt, max_tokens: 20, cache_prompt: false });
      expect(whole.choices).toEqual(first.choices);
      expect(whole.usage.prompt_tokens_details).toEqual({ cached_tokens: 0 });
    });
  });

  it('does so in conversations', async () => {
    await serving({}, async (ask) => {
      const messages = [{ role: 'user', content: 'hello world '.repeat(6) }];
      const path = '/v1/responses';
      const body = { max_output_tokens: 10, input: messages };
      await ask(body, undefined, path);
      const { usage } = await ask(body, undefined, path);
      expect(usage.input_tokens_details!.cached_tokens).toBeGreaterThan(20);
    });
  });

  it('tells a key nothing of what another one has asked', async () => {
    await serving({ apiKey: ['a', 'b'] }, async (ask) => {
      const prompt = ' = 10.10; if x y '.repeat(8);
      const cached = async (key: string) =>
        (await ask({ prompt, max_tokens: 4 }, key)).usage.prompt_tokens_details!.cached_tokens;
      expect(await cached('a')).toBe(0);
      expect(await cached('b')).toBe(0);
      expect(await cached('a')).toBeGreaterThan(20);
    });
  });

  it('reads every prompt whole with cachePrompt: false', async () => {
    await serving({ cachePrompt: false }, async (ask) => {
      const prompt = 'END of the world '.repeat(8);
      for (let i = 0; i < 2; i++) {
        const { usage } = await ask({ prompt, max_tokens: 4 });
        expect(usage.prompt_tokens_details).toEqual({ cached_tokens: 0 });
      }
    });
  });
});
