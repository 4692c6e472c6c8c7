// Log-probabilities are the target's own, whoever drafts and whatever samplers do, and are told of every token once.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, RequestOptions, TokenLogprobs } from '../../lib/index.js';
import { BEGINNINGS, random, tinyEngine } from './tiny-engine.js';

let engine: Engine;
let trees: Engine;
beforeAll(async () => {
  engine = await tinyEngine('target', 'draft');
  trees = await tinyEngine('target', 'draft', { branches: 4 });
});
afterAll(() => Promise.all([engine.close(), trees.close()]));

const prompt = BEGINNINGS[0]!;

async function logprobsOf(options: RequestOptions, of = engine): Promise<TokenLogprobs[]> {
  const { logprobs, tokens } = await of.generate({ prompt, maxTokens: 60, logprobs: 5, ...options });
  expect(logprobs!.map(({ token }) => token)).toEqual(tokens);
  return logprobs!;
}

describe('logprobs', () => {
  it('are the same at every depth, with every drafter and with trees', async () => {
    const plain = await logprobsOf({ controller: 'off' });
    const next = random(5);
    for (const drafter of ['model', 'ngram', 'hybrid'])
      expect(await logprobsOf({ controller: () => Math.floor(next() * 20), drafter })).toEqual(plain);
    expect(await logprobsOf({ depth: 3, tree: 9 }, trees)).toEqual(plain);
    const sampled = { temperature: 1.2, seed: 3, topK: 20, repeatPenalty: 1.2 };
    expect(await logprobsOf({ ...sampled, depth: 6 })).toEqual(await logprobsOf({ ...sampled, depth: 0 }));
  });

  it('are those of a softmax over the whole vocabulary', async () => {
    // As many as may be, of a vocabulary that has more: what is told of is at most all of it.
    for (const { token, logprob, top } of await logprobsOf({ logprobs: 20, temperature: 1, seed: 1 })) {
      expect(top).toHaveLength(20);
      const sum = top.reduce((total, other) => total + Math.exp(other.logprob), 0);
      expect(sum).toBeLessThanOrEqual(1 + 1e-4);
      for (let i = 1; i < top.length; i++) expect(top[i]!.logprob).toBeLessThanOrEqual(top[i - 1]!.logprob);
      const own = top.find((other) => other.token === token);
      if (own) expect(own.logprob).toBe(logprob);
      else expect(logprob).toBeLessThanOrEqual(top[19]!.logprob);
    }
    // The draft that is the target says probabilities of its own, by other code.
    await using self = await tinyEngine('target', 'draftPerfect');
    const seen: number[] = [];
    const generation = self.generate({ prompt, maxTokens: 40, depth: 4, drafter: 'model', logprobs: 0 });
    for await (const part of generation.events())
      if (part.type === 'step')
        seen.push(...part.step.probabilities.subarray(0, part.step.accepted), Number.NaN);
    const { logprobs } = await generation;
    // A step's own token has no draft probability, and the prompt's report no token at all.
    let compared = 0;
    for (const [i, { logprob }] of logprobs!.entries()) {
      const p = seen[i + 1]!;
      if (!Number.isFinite(p)) continue;
      expect(Math.exp(logprob)).toBeCloseTo(p, 4);
      compared++;
    }
    expect(compared).toBeGreaterThan(20);
  });

  it('are of the distribution before samplers', async () => {
    const plain = await logprobsOf({ maxTokens: 1 });
    for (const options of [
      { temperature: 5, seed: 2 },
      { temperature: 0.5, topK: 1 },
      { grammar: 'root ::= "zq"' },
      { frequencyPenalty: 2, presencePenalty: 2 },
    ]) {
      const [first] = await logprobsOf({ maxTokens: 1, ...options });
      expect(first!.top).toEqual(plain[0]!.top);
    }
    // The grammar's token is not the likeliest one, and has the probability that it has.
    const [forced] = await logprobsOf({ maxTokens: 1, grammar: 'root ::= "zq"' });
    expect(forced!.logprob).toBeLessThan(plain[0]!.logprob);
  });

  it('come with text and bytes, in the stream before the text, and all in the result', async () => {
    const generation = engine.generate({ prompt, maxTokens: 50, logprobs: 2, controller: () => 3 });
    const streamed: TokenLogprobs[] = [];
    for await (const part of generation.events())
      if (part.type === 'logprobs') streamed.push(...part.logprobs);
    const { logprobs, text, tokens } = await generation;
    expect(streamed).toEqual(logprobs);
    const bytes = Buffer.concat(logprobs!.map((token) => token.bytes));
    expect(bytes.toString('utf8')).toBe(text);
    for (const [i, { text: own, top }] of logprobs!.entries()) {
      expect(own).toBe(Buffer.from(logprobs![i]!.bytes).toString('utf8'));
      expect(top).toHaveLength(2);
      expect(top[0]!.token).toBe(tokens[i]);
      expect(top[0]!.text).toBe(own);
    }
  });

  it('tell of the end of a text by its name, and of nothing where they are not asked for', async () => {
    await using ends = await tinyEngine('targetWithEog');
    let found = false;
    for (const text of BEGINNINGS) {
      const { logprobs, finishReason } = await ends.generate({ prompt: text, maxTokens: 200, logprobs: 0 });
      if (finishReason !== 'stop') continue;
      found = true;
      expect(logprobs!.at(-1)!.text.length).toBeGreaterThan(0);
      expect(logprobs!.at(-1)!.top).toEqual([]);
    }
    expect(found).toBe(true);
    expect(await engine.generate({ prompt, maxTokens: 3 })).not.toHaveProperty('logprobs');
    for (const logprobs of [-1, 21, 0.5, '3'])
      await expect(engine.generate({ prompt, logprobs } as RequestOptions)).rejects.toThrow(/logprobs/);
  });
});
