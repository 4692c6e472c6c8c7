// The text must be the target's own, whatever drafts, and however deep: token for token, but for sequences that share
// a cache, whose sums have another order than alone.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  AdaptiveSpecController,
  type Controller,
  type DryOptions,
  type Engine,
  fixedDepth,
  off,
  type RequestOptions,
} from '../../lib/index.js';
import { type TinyModelName, tinyModels } from '../tiny-models.js';
import { reportTies, TieJudge } from './ties.js';
import { BEGINNINGS, random, tinyEngine } from './tiny-engine.js';

const PAIRS: [TinyModelName, TinyModelName][] = [
  ['target', 'draft'],
  ['target', 'draftPerfect'],
  ['target', 'draftBad'],
  ['target', 'draftPadded'],
  ['target', 'draftHot'],
  ['targetPadded', 'draft'],
  ['targetWithEog', 'draftWithEog'],
  ['swa', 'swaDraft'],
];

const ALL_DRAFTERS = 'model ngram hybrid ngram-simple ngram-map-k ngram-map-k4v ngram-mod ngram-cache'.split(
  ' ',
);

/** Controllers by name; each call makes a new one. */
const CONTROLLERS: Record<string, () => Controller> = {
  'fixed 1': () => fixedDepth(1),
  'fixed 3': () => fixedDepth(3),
  'fixed 24': () => fixedDepth(24),
  adaptive: () => new AdaptiveSpecController(),
  'adaptive from 0': () => new AdaptiveSpecController({ kMin: 0, kCurrent: 2, adjustmentInterval: 8 }),
  'always 8': () => () => 8,
  'early stop': () => () => ({ depth: 16, stop: { minProbability: 0.4 } }),
  'random 0 to 24': () => {
    const next = random(7);
    return () => Math.floor(next() * 25);
  },
  'random with stops': () => {
    const next = random(8);
    return () => ({ depth: Math.floor(next() * 25), stop: { minProbability: next() } });
  },
  'random drafters': () => {
    const next = random(9);
    const names = ['model', 'ngram', 'hybrid', 'ngram-simple', 'ngram-map-k', 'ngram-mod', 'ngram-cache'];
    return () => ({
      depth: Math.floor(next() * 25),
      drafter: names[Math.floor(next() * names.length)]!,
      stop: { minProbability: next() / 2, keep: next() < 0.5 },
      steps: 1 + Math.floor(next() * 3),
    });
  },
  'in and out': () => (report) => (report.step % 5 === 0 ? 6 : 0),
};

describe.each(PAIRS)('%s with %s', (target, draft) => {
  let engine: Engine;
  const plain: number[][] = [];

  beforeAll(async () => {
    engine = await tinyEngine(target, draft);
    for (const prompt of BEGINNINGS)
      plain.push((await engine.generate({ prompt, maxTokens: 200, controller: off() })).tokens);
  });
  afterAll(() => engine.close());

  it.each(Object.keys(CONTROLLERS))('gives the tokens of plain decoding under %s', async (name) => {
    let drafted = 0;
    for (const [i, prompt] of BEGINNINGS.entries()) {
      const result = await engine.generate({ prompt, maxTokens: 200, controller: CONTROLLERS[name]!() });
      expect(result.tokens, prompt).toEqual(plain[i]);
      drafted += result.stats.draftTokens;
    }
    expect(drafted).toBeGreaterThan(0);
  });

  it.each(['ngram', 'hybrid'])(
    "gives the tokens of plain decoding with the request's drafter %s",
    async (drafter) => {
      let drafted = 0;
      for (const [i, prompt] of BEGINNINGS.entries()) {
        const result = await engine.generate({ prompt, maxTokens: 200, depth: 6, drafter });
        expect(result.tokens, prompt).toEqual(plain[i]);
        drafted += result.stats.draftTokens;
      }
      expect(drafted).toBeGreaterThan(0);
    },
  );

  it('gives one text for one seed, whatever the depth', async () => {
    const request = {
      prompt: BEGINNINGS[1]!,
      maxTokens: 120,
      temperature: 0.9,
      topK: 40,
      topP: 0.95,
      seed: 4,
    };
    const without = await engine.generate({ ...request, controller: 'off' });
    for (const controller of [fixedDepth(5), CONTROLLERS['random 0 to 24']!()]) {
      expect((await engine.generate({ ...request, controller })).tokens).toEqual(without.tokens);
    }
    const other = await engine.generate({ ...request, seed: 5, depth: 5 });
    if (without.tokens.length > 20) expect(other.tokens).not.toEqual(without.tokens);
  });

  it('gives one text under penalties, whatever the depth', async () => {
    const request = {
      prompt: BEGINNINGS[0]!,
      maxTokens: 120,
      repeatPenalty: 1.3,
      frequencyPenalty: 0.2,
      presencePenalty: 0.1,
    };
    const without = await engine.generate({ ...request, controller: 'off' });
    expect((await engine.generate({ ...request, depth: 7 })).tokens).toEqual(without.tokens);
  });

  it('gives one text under DRY, whatever the depth', async () => {
    for (const temperature of [0, 0.5]) {
      const dry = { multiplier: 20, allowedLength: 1, lastN: 150, breakers: ['é', '€\u{1F600}'] };
      const request = { prompt: BEGINNINGS[0]!, maxTokens: 120, temperature, seed: 3, dry };
      const without = await engine.generate({ ...request, controller: 'off' });
      for (const drafter of ['model', 'ngram']) {
        expect((await engine.generate({ ...request, depth: 6, drafter })).tokens).toEqual(without.tokens);
      }
    }
  });
});

describe('one seed gives one text', () => {
  const TEMPERATURES = [0.3, 0.8];
  const SEEDS = [3, 11];
  const DEPTHS = [1, 3, 8];
  /** Nodes; 0 is a chain. */
  const TREES = [0, 12];
  let engine: Engine;
  let requests: RequestOptions[];
  let plain: number[][];

  beforeAll(async () => {
    engine = await tinyEngine('targetNear', 'draft', { branches: 5, contextSize: 1024 });
    // In the model's own words, and a passage of them once more: all drafters know how that goes on.
    const { tokens: words } = await engine.generate({ prompt: BEGINNINGS[0]!, maxTokens: 300 });
    const prompt = [...words, ...words.slice(100, 160)];
    requests = TEMPERATURES.flatMap((temperature) =>
      SEEDS.map((seed) => ({ prompt, maxTokens: 80, temperature, topK: 2, seed })),
    );
    plain = [];
    for (const request of requests)
      plain.push((await engine.generate({ ...request, controller: 'off' })).tokens);
  });
  afterAll(() => engine.close());

  it('and another seed or temperature another one', () => {
    expect(engine.info.drafters).toEqual(ALL_DRAFTERS);
    for (const [i, tokens] of plain.entries())
      for (const other of plain.slice(0, i)) expect(tokens).not.toEqual(other);
  });

  it.each(ALL_DRAFTERS)('by %s, at every depth, in chains and in trees', async (drafter) => {
    const found = { draftTokens: 0, acceptedTokens: 0, branchTokens: 0, acceptedBranchTokens: 0 };
    for (const [i, request] of requests.entries())
      for (const depth of DEPTHS)
        for (const tree of TREES) {
          const { tokens, stats } = await engine.generate({ ...request, drafter, depth, tree });
          expect(tokens, JSON.stringify({ depth, tree, i })).toEqual(plain[i]);
          for (const name of Object.keys(found) as (keyof typeof found)[]) found[name] += stats[name];
        }
    // Right ones and wrong ones of each kind that the drafter has.
    expect(found.acceptedTokens).toBeGreaterThan(0);
    expect(found.draftTokens).toBeGreaterThan(found.acceptedTokens);
    if (drafter !== 'model' && drafter !== 'hybrid') return;
    expect(found.acceptedBranchTokens).toBeGreaterThan(0);
    expect(found.branchTokens).toBeGreaterThan(found.acceptedBranchTokens);
  });
});

describe('DRY', () => {
  it('keeps sequences from coming twice, but across its breakers', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const repeats = async (dry: DryOptions) => {
      const { tokens } = await engine.generate({
        prompt: BEGINNINGS[0]!,
        maxTokens: 200,
        ignoreEos: true,
        dry,
      });
      return tokens.length - 1 - new Set(tokens.slice(1).map((token, i) => `${tokens[i]} ${token}`)).size;
    };
    const strong = { multiplier: 100, allowedLength: 1 };
    expect(await repeats({})).toBeGreaterThan(0);
    expect(await repeats({ ...strong, breakers: [] })).toBe(0);
    expect(await repeats({ ...strong, allowedLength: 2, breakers: [] })).toBeGreaterThan(0);
    // Nearly every token has one of these in it.
    expect(await repeats({ ...strong, breakers: [...'aeiou tnrs'] })).toBeGreaterThan(0);
  });

  it('is checked', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const wrong: unknown[] = [
      { multiplier: -1 },
      { base: 0.5 },
      { allowedLength: 0 },
      { lastN: 0.5 },
      { breakers: [''] },
      { breakers: ['a\0b'] },
      { breakers: ['x'.repeat(41)] },
      { multiplyer: 1 },
      1,
    ];
    for (const dry of wrong) {
      const refused = engine.generate({ prompt: 'a', dry: dry as DryOptions });
      await expect(refused).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(/dry/),
      });
    }
  });
});

describe('a drafter that is always right', () => {
  it('has all its tokens accepted, and one more a step', async () => {
    await using engine = await tinyEngine('target', 'draftPerfect');
    const { stats, tokens } = await engine.generate({ prompt: BEGINNINGS[0]!, maxTokens: 181, depth: 8 });
    expect(stats.acceptanceRate).toBe(1);
    expect(stats.meanAcceptanceLength).toBeCloseTo(9, 0);
    expect(stats.steps).toBe(Math.ceil(181 / 9));
    expect(tokens).toHaveLength(181);
    expect(stats.acceptancePerPosition).toEqual(Array(8).fill(1));
  });
});

describe('requests side by side', () => {
  /** The tiny models' logits spread over some ten; sums of floats in another order differ by a millionth of that. */
  const NOISE = 1e-4;

  it('give the tokens that each gives alone, but for ties, with depths of their own', async () => {
    await using alone = await tinyEngine('target', 'draft');
    await using together = await tinyEngine('target', 'draft', { parallel: 4 });
    const expected: number[][] = [];
    for (const prompt of BEGINNINGS)
      expected.push((await alone.generate({ prompt, maxTokens: 150, controller: 'off' })).tokens);
    const controllers = Object.values(CONTROLLERS);
    const drafters = ['model', 'ngram', 'hybrid'];
    // One more than fit at once, so that one waits.
    const results = await Promise.all(
      BEGINNINGS.map((prompt, i) =>
        together.generate({
          prompt,
          maxTokens: 150,
          controller: controllers[i * 2]!(),
          drafter: drafters[i % 3]!,
        }),
      ),
    );
    const judge = await TieJudge.of((await tinyModels()).target, NOISE);
    let compared = 0;
    for (const [i, { tokens }] of results.entries())
      compared += await judge.expectSame(
        tokens,
        expected[i]!,
        alone.tokenize(BEGINNINGS[i]!),
        'side by side',
      );
    await judge.close();
    reportTies(compared);
    expect(results.some(({ stats }) => stats.queueMs > 0)).toBe(true);
  });
});

describe('a prompt as token ids', () => {
  it('is the prompt as text', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const prompt = BEGINNINGS[0]!;
    const byText = await engine.generate({ prompt, maxTokens: 50 });
    const ids = engine.tokenize(prompt);
    expect((await engine.generate({ prompt: ids, maxTokens: 50 })).tokens).toEqual(byText.tokens);
    expect((await engine.generate({ prompt: [...ids], maxTokens: 50 })).tokens).toEqual(byText.tokens);
  });
});
