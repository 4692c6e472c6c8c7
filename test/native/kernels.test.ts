// Models none of whose weights our kernels take (these are F32): they load, and the text is what it is without us.
import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../lib/index.js';
import { type TinyModelName, tinyModels } from '../tiny-models.js';
import { TieJudge } from './ties.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

const OURS = process.arch === 'x64' ? (['auto', 'avx2'] as const) : (['auto'] as const);
/** Our attention rounds in other places than llama.cpp's. */
const NOISE = 1e-3;

/** Greedy texts of each beginning; drafts must not change them. */
async function texts(target: TinyModelName, draft: TinyModelName | undefined, options: EngineOptions) {
  await using engine = await tinyEngine(target, draft, { ...options, warnings: [] });
  if (options.kernels !== 'auto') expect(engine.info.kernels).toBe(options.kernels);
  const all: number[][] = [];
  for (const prompt of BEGINNINGS) {
    const { tokens } = await engine.generate({ prompt, maxTokens: 120, controller: 'off' });
    expect(tokens).toHaveLength(120);
    if (draft) {
      const drafted = await engine.generate({ prompt, maxTokens: 120, depth: 5 });
      expect(drafted.stats.draftTokens).toBeGreaterThan(0);
      expect(drafted.tokens, `${target}, ${options.kernels}`).toEqual(tokens);
    }
    all.push(tokens);
  }
  return all;
}

describe('a model that has nothing for our kernels', () => {
  it.each([
    ['target', 'draft'],
    ['swa', 'swaDraft'],
    ['hybrid', undefined],
    ['recurrent', undefined],
  ] as const)('is computed by llama.cpp alone where our attention is off: %s', async (target, draft) => {
    const expected = await texts(target, draft, { kernels: 'ggml', flashAttention: 'off' });
    for (const kernels of OURS)
      expect(await texts(target, draft, { kernels, flashAttention: 'off' }), kernels).toEqual(expected);
  });

  it.each([
    ['target', 'draft'],
    ['swa', 'swaDraft'],
  ] as const)('has the same text, but for ties, with our attention: %s', async (target, draft) => {
    const expected = await texts(target, draft, { kernels: 'ggml' });
    const judge = await TieJudge.of((await tinyModels())[target], NOISE);
    await using engine = await tinyEngine(target);
    for (const kernels of OURS)
      for (const [i, tokens] of (await texts(target, draft, { kernels })).entries())
        await judge.expectSame(tokens, expected[i]!, engine.tokenize(BEGINNINGS[i]!), kernels);
    await judge.close();
  });
});
