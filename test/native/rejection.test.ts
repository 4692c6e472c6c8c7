// Rejection sampling through the whole engine: what repeats, what it leaves as it was, and what must not stop it. That
// its texts have the target's distribution is shown in native/test.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Controller, Engine, RequestOptions } from '../../lib/index.js';
import type { TinyModelName } from '../tiny-models.js';
import { BEGINNINGS, random, tinyEngine } from './tiny-engine.js';

const PAIRS: [TinyModelName, TinyModelName][] = [
  ['target', 'draft'],
  ['target', 'draftHot'],
  ['targetPadded', 'draftPadded'],
  ['swa', 'swaDraft'],
];

const REJECTION = { maxTokens: 120, temperature: 1, acceptance: 'rejection' } as const;

describe.each(PAIRS)('%s with %s', (target, draft) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await tinyEngine(target, draft);
  });
  afterAll(() => engine.close());

  const tokensOf = async (options: RequestOptions) => (await engine.generate(options)).tokens;

  it('gives one text for one seed and the same depth, whatever ran before', async () => {
    for (const [i, prompt] of BEGINNINGS.entries()) {
      const request = { ...REJECTION, prompt, seed: i, depth: 5 };
      const first = await tokensOf(request);
      await tokensOf({ ...request, seed: 99, depth: 3 });
      expect(await tokensOf(request)).toEqual(first);
      expect(await tokensOf({ ...request, seed: 99 })).not.toEqual(first);
    }
  });

  it("gives one text for one seed and the same plans, also where they come from a controller's calls", async () => {
    const controller = (): Controller => {
      const next = random(5);
      return () => ({
        depth: Math.floor(next() * 9),
        stop: { minProbability: next() / 2, keep: next() < 0.5 },
      });
    };
    const request = { ...REJECTION, prompt: BEGINNINGS[1]!, seed: 3 };
    const runs = [];
    for (let i = 0; i < 3; i++) runs.push(await engine.generate({ ...request, controller: controller() }));
    // On a busy machine a plan may be late, and another depth is another text.
    const punctual = runs.filter(({ stats }) => stats.controller.latePlans === 0);
    for (const { tokens } of punctual) expect(tokens).toEqual(punctual[0]!.tokens);
  });

  it('is the text of a comparison where nothing is drawn: no draft, and n-grams', async () => {
    for (const [i, prompt] of BEGINNINGS.entries()) {
      const request = { maxTokens: 120, temperature: 0.8, prompt, seed: i } as const;
      const compared = await tokensOf({ ...request, controller: 'off' });
      expect(await tokensOf({ ...request, acceptance: 'rejection', controller: 'off' })).toEqual(compared);
      const byNgrams = { ...request, acceptance: 'rejection', depth: 6, drafter: 'ngram' } as const;
      expect(await tokensOf(byNgrams)).toEqual(compared);
    }
  });

  it('is greedy text at temperature 0', async () => {
    const request = { maxTokens: 120, prompt: BEGINNINGS[0]! };
    const greedy = await tokensOf({ ...request, controller: 'off' });
    for (const drafter of ['model', 'hybrid'])
      expect(await tokensOf({ ...request, acceptance: 'rejection', depth: 6, drafter })).toEqual(greedy);
  });

  it('accepts more than a comparison', async () => {
    const accepted = { compare: 0, rejection: 0 };
    for (let seed = 0; seed < 20; seed++)
      for (const acceptance of ['compare', 'rejection'] as const) {
        const request = { prompt: BEGINNINGS[seed % 5]!, seed, depth: 4, acceptance } as const;
        const { stats } = await engine.generate({ ...request, maxTokens: 100, temperature: 1 });
        accepted[acceptance] += stats.acceptanceRate;
      }
    expect(accepted.rejection).toBeGreaterThan(accepted.compare);
  });
});

describe('a draft with the target itself', () => {
  it('is accepted throughout where both distributions are cut alike', async () => {
    await using engine = await tinyEngine('target', 'draftPerfect');
    for (const options of [{ topK: 20 }, { topK: 50, topP: 0.9 }, { minP: 0.05 }]) {
      const request = { prompt: BEGINNINGS[0]!, seed: 1, depth: 8, ...options } as const;
      const { stats } = await engine.generate({ ...REJECTION, ...request, maxTokens: 181 });
      expect(stats.acceptanceRate).toBe(1);
      expect(stats.steps).toBe(Math.ceil(181 / 9));
    }
    // Its draft knows no penalties, so that some of it is rejected.
    const penalties = { repeatPenalty: 1.3, presencePenalty: 0.5 };
    const { stats, tokens } = await engine.generate({
      ...REJECTION,
      ...penalties,
      ...{ prompt: BEGINNINGS[0]!, seed: 1, depth: 8 },
    });
    expect(tokens).toHaveLength(120);
    expect(stats.acceptanceRate).toBeGreaterThan(0);
    expect(stats.acceptanceRate).toBeLessThan(1);
  });

  it('ends in the middle of an accepted draft where a stop string is', async () => {
    await using engine = await tinyEngine('target', 'draftPerfect');
    const request = { ...REJECTION, prompt: BEGINNINGS[0]!, seed: 6, depth: 9, topK: 40 } as const;
    const whole = await engine.generate(request);
    expect(whole.stats.acceptanceRate).toBe(1);
    let within = 0;
    for (let start = 8; start < 60; start += 7) {
      const stop = whole.text.slice(start, start + 2);
      if (stop.includes('\uFFFD') || /[\ud800-\udfff]/.test(stop)) continue;
      const cut = await engine.generate({ ...request, stop });
      expect(cut.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
      expect(cut.tokens).toEqual(whole.tokens.slice(0, cut.tokens.length));
      expect(cut.stopString).toBe(stop);
      if (cut.tokens.length % 10 !== 0) within++;
    }
    expect(within).toBeGreaterThan(0);
  });
});

describe('plans', () => {
  it('with trim verify all of a drawn draft, since what was drawn must not decide what is verified', async () => {
    await using engine = await tinyEngine('target', 'draft');
    // The next token is worth drafting while it is hoped for, and not worth verifying by what acceptance makes of it.
    const value = { tokensPerMs: 1, draftMs: 0, verifyMs: [1, 1.9], ahead: 1 };
    const trimmed = { depth: 6, trim: true, stop: { value, acceptance: { ...ALL_ALIKE, bias: 0.5 } } };
    for (const acceptance of ['compare', 'rejection'] as const) {
      let drafted = 0;
      let verified = 0;
      await engine.generate({
        ...{ prompt: BEGINNINGS[0]!, maxTokens: 60, temperature: 1, seed: 1, acceptance },
        controller: (report) => {
          drafted += report.drafted;
          verified += report.verified;
          return trimmed;
        },
      });
      expect(drafted).toBeGreaterThan(10);
      if (acceptance === 'compare') expect(verified).toBeLessThan(drafted);
      else expect(verified).toBe(drafted);
    }
  });

  it('that come late change no text of a comparison', async () => {
    await using engine = await tinyEngine('target', 'draft', { planDeadlineMs: 0 });
    const request = { prompt: BEGINNINGS[2]!, maxTokens: 150, temperature: 1, seed: 2 };
    const { tokens } = await engine.generate({ ...request, controller: 'off' });
    const next = random(3);
    const late = await engine.generate({
      ...request,
      // Now and then so long that steps go on without it, however quick the machine is.
      controller: ({ step }) => {
        const until = performance.now() + (step % 8 === 0 ? 20 : 0);
        while (performance.now() < until);
        return Math.floor(next() * 9);
      },
    });
    expect(late.stats.controller.latePlans).toBeGreaterThan(0);
    expect(late.tokens).toEqual(tokens);
  });
});

describe('what ends a text', () => {
  it('is masked in target and draft with ignoreEos', async () => {
    await using engine = await tinyEngine('targetWithEog', 'draftWithEog');
    const ends = new Set<number>();
    const said: number[] = [];
    for (let seed = 0; seed < 10; seed++) {
      const request = { ...REJECTION, prompt: BEGINNINGS[seed % 5]!, seed, depth: 4, temperature: 2 };
      const on = await engine.generate({ ...request, ignoreEos: true });
      expect(on.tokens).toHaveLength(120);
      said.push(...on.tokens);
      const { finishReason, tokens } = await engine.generate(request);
      if (finishReason === 'stop') ends.add(tokens.at(-1)!);
    }
    expect(ends.size).toBeGreaterThan(0);
    expect(said.filter((token) => ends.has(token))).toEqual([]);
  });

  it('is a row of NaN, in the target; in the draft it ends drafting', async () => {
    const request = { ...REJECTION, prompt: 'a ~', maxTokens: 40, seed: 1, depth: 4 };
    await using bad = await tinyEngine('targetNan', 'draft');
    await expect(bad.generate(request)).rejects.toMatchObject({ code: 'BAD_LOGITS' });
    const good = { ...request, prompt: BEGINNINGS[0]! };
    const after = await bad.generate(good);
    expect((await bad.generate(good)).tokens).toEqual(after.tokens);
    await using badDraft = await tinyEngine('target', 'draftNan');
    const { tokens, stats } = await badDraft.generate(request);
    expect(stats.draftTokens).toBe(0);
    expect(tokens).toEqual((await badDraft.generate({ ...request, depth: 0 })).tokens);
  });
});

/** An acceptance that is the same for every token, by its bias. */
const ALL_ALIKE = { bias: 0, logit: 0, margin: 0, entropy: 0, place: 0 };
