// Ends of a text, and characters and stop strings that fall across tokens and drafts.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../lib/index.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

let engine: Engine;
beforeAll(async () => {
  engine = await tinyEngine('target', 'draft');
});
afterAll(() => engine.close());

const DEPTHS = [0, 1, 4, 16];

describe('a stop string', () => {
  it.each(DEPTHS)(
    'ends the text before it, wherever tokens and drafts divide it (depth %i)',
    async (depth) => {
      const prompt = BEGINNINGS[0]!;
      const whole = (await engine.generate({ prompt, maxTokens: 120, controller: 'off' })).text;
      // Stop strings from every place of the text, of every length to 6: many begin or end inside a token.
      for (let start = 3; start < whole.length - 8; start += 11) {
        const stop = whole.slice(start, start + 1 + (start % 6));
        if (stop.includes('\uFFFD') || /[\ud800-\udfff]/.test(stop)) continue;
        const result = await engine.generate({ prompt, maxTokens: 120, stop, depth });
        expect(result.text, JSON.stringify(stop)).toBe(whole.slice(0, whole.indexOf(stop)));
        expect(result.finishReason).toBe('stop');
        expect(result.stopString).toBe(stop);
      }
    },
  );

  it('is the first of several that the text comes to', async () => {
    const prompt = BEGINNINGS[1]!;
    const whole = (await engine.generate({ prompt, maxTokens: 80, controller: 'off' })).text;
    const [late, early] = [whole.slice(40, 43), whole.slice(20, 23)];
    const result = await engine.generate({ prompt, maxTokens: 80, stop: [late, early], depth: 6 });
    expect(whole.indexOf(result.stopString!)).toBe(Math.min(whole.indexOf(late), whole.indexOf(early)));
  });

  it('that never comes holds nothing back at the end', async () => {
    const prompt = BEGINNINGS[1]!;
    const whole = await engine.generate({ prompt, maxTokens: 60 });
    const result = await engine.generate({ prompt, maxTokens: 60, stop: `${whole.text.at(-1)}never` });
    expect(result.text).toBe(whole.text);
    expect(result.finishReason).toBe('length');
  });
});

describe('the streamed text', () => {
  it.each(DEPTHS)('is the result, with no character cut in two (depth %i)', async (depth) => {
    let broken = 0;
    for (const prompt of BEGINNINGS) {
      const generation = engine.generate({ prompt, maxTokens: 200, depth });
      let text = '';
      for await (const piece of generation) {
        expect(piece).not.toBe('');
        text += piece;
        if (piece.startsWith('\uFFFD')) broken++;
      }
      const result = await generation;
      expect(text).toBe(result.text);
      expect(text).toBe(engine.detokenize(result.tokens));
    }
    // The tiny target says lone bytes too, which are no characters: they come as U+FFFD, not as nothing.
    expect(broken).toBeLessThan(200);
  });

  it('has characters of several tokens', async () => {
    let text = '';
    for (const prompt of BEGINNINGS)
      text += (await engine.generate({ prompt, maxTokens: 400, depth: 4 })).text;
    expect(text).toMatch(/[—😀]/u);
  });
});

describe('the length', () => {
  it.each(DEPTHS)('is maxTokens exactly (depth %i)', async (depth) => {
    for (const maxTokens of [1, 2, 3, 7, 50]) {
      const result = await engine.generate({ prompt: 'the', maxTokens, depth });
      expect(result.tokens).toHaveLength(maxTokens);
      expect(result.finishReason).toBe('length');
      expect(result.usage.completionTokens).toBe(maxTokens);
    }
  });

  it.each(DEPTHS)('ends where the context does (depth %i)', async (depth) => {
    await using small = await tinyEngine('target', 'draft', { contextSize: 48 });
    const prompt = BEGINNINGS[0]!;
    const promptTokens = small.tokenize(prompt).length;
    const plain = await engine.generate({ prompt, maxTokens: 100, controller: 'off' });
    const result = await small.generate({ prompt, maxTokens: 100, depth });
    expect(result.finishReason).toBe('length');
    // The last token needs no place in the cache.
    expect(result.tokens).toEqual(plain.tokens.slice(0, 48 - promptTokens + 1));
  });

  it('of a prompt may be the whole context, and no more', async () => {
    await using small = await tinyEngine('target', 'draft', { contextSize: 32 });
    const ids = Array(32).fill(small.tokenize('x')[0]);
    expect((await small.generate({ prompt: ids, maxTokens: 9, depth: 4 })).tokens).toHaveLength(1);
    await expect(small.generate({ prompt: [...ids, ids[0]], maxTokens: 9 })).rejects.toMatchObject({
      code: 'CONTEXT_OVERFLOW',
    });
  });
});

describe('end of generation', () => {
  it('inside a draft ends the text there', async () => {
    await using ending = await tinyEngine('targetWithEog', 'draftWithEog');
    let ended = 0;
    for (const prompt of BEGINNINGS) {
      const plain = await ending.generate({ prompt, maxTokens: 400, controller: 'off' });
      for (const depth of DEPTHS) {
        const result = await ending.generate({ prompt, maxTokens: 400, depth });
        expect(result.tokens).toEqual(plain.tokens);
        expect(result.text).toBe(plain.text);
        expect(result.finishReason).toBe(plain.finishReason);
      }
      if (plain.finishReason === 'stop') ended++;
    }
    expect(ended).toBeGreaterThan(0);
  });

  it('is passed over with ignoreEos, in target and draft alike', async () => {
    await using ending = await tinyEngine('targetWithEog', 'draftWithEog');
    for (const prompt of BEGINNINGS) {
      const plain = await ending.generate({ prompt, maxTokens: 300, ignoreEos: true, controller: 'off' });
      expect(plain.tokens).toHaveLength(300);
      const result = await ending.generate({ prompt, maxTokens: 300, ignoreEos: true, depth: 6 });
      expect(result.tokens).toEqual(plain.tokens);
    }
  });
});
