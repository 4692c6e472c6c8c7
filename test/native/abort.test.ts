// Aborts: soon, with caches right afterwards, and the engine usable at once.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, GenerationPart } from '../../lib/index.js';
import { BEGINNINGS, random, tinyEngine } from './tiny-engine.js';

let engine: Engine;
let plain: number[];
const prompt = BEGINNINGS[0]!;

beforeAll(async () => {
  engine = await tinyEngine('target', 'draft', { contextSize: 2048 });
  plain = (await engine.generate({ prompt, maxTokens: 60, controller: 'off' })).tokens;
});
afterAll(() => engine.close());

/** The engine still gives the right text, drafted and plain. */
async function expectHealthy() {
  expect((await engine.generate({ prompt, maxTokens: 60, depth: 5 })).tokens).toEqual(plain);
  expect((await engine.generate({ prompt, maxTokens: 60, depth: 0 })).tokens).toEqual(plain);
  expect(engine.pending).toBe(0);
}

describe('an AbortSignal', () => {
  it('rejects with its reason, and the engine is usable at once', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const generation = engine.generate({ prompt, maxTokens: 2000, depth: 4, signal: controller.signal });
    for await (const _ of generation.events()) {
      controller.abort(reason);
      break;
    }
    await expect(generation).rejects.toBe(reason);
    await expectHealthy();
  });

  it('resolves with what there is where onAbort is return', async () => {
    const controller = new AbortController();
    const generation = engine.generate({
      prompt,
      maxTokens: 2000,
      depth: 4,
      signal: controller.signal,
      onAbort: 'return',
    });
    let steps = 0;
    for await (const part of generation.events()) {
      if (part.type === 'step' && ++steps === 5) controller.abort();
    }
    const result = await generation;
    expect(result.finishReason).toBe('aborted');
    expect(result.tokens.slice(0, 60)).toEqual(plain.slice(0, result.tokens.length));
    expect(result.tokens.length).toBeGreaterThan(0);
    await expectHealthy();
  });

  it('that was aborted before costs nothing', async () => {
    const before = engine.pending;
    await expect(engine.generate({ prompt, signal: AbortSignal.abort('no') })).rejects.toBe('no');
    expect(engine.pending).toBe(before);
  });

  it('that is aborted after the end changes nothing', async () => {
    const controller = new AbortController();
    const result = await engine.generate({ prompt, maxTokens: 5, signal: controller.signal });
    controller.abort();
    expect(result.finishReason).toBe('length');
    await expectHealthy();
  });

  it('at any moment leaves caches right: 60 times, in prompt, draft and verification', async () => {
    const next = random(3);
    const long = Array(1200).fill(engine.tokenize('x')[0]);
    for (let i = 0; i < 60; i++) {
      const controller = new AbortController();
      const generation = engine.generate({
        prompt: i % 2 ? long : prompt,
        maxTokens: 800,
        controller: i % 3 ? () => Math.floor(next() * 20) : 'off',
        signal: controller.signal,
      });
      setTimeout(() => controller.abort(), next() * 30);
      await generation.catch(() => {});
      const check = await engine.generate({ prompt, maxTokens: 30, depth: i % 7 });
      expect(check.tokens).toEqual(plain.slice(0, 30));
    }
  });

  it('in the middle of a long prompt comes within 20 ms and what is left of a batch', async () => {
    await using slow = await tinyEngine('target', 'draft', { contextSize: 2048, batchSize: 64 });
    const long = Array(2000).fill(slow.tokenize('x')[0]);
    const whole = (await slow.generate({ prompt: long, maxTokens: 1 })).stats.promptMs;
    const controller = new AbortController();
    const generation = slow.generate({ prompt: long, maxTokens: 1, signal: controller.signal });
    await new Promise((resolve) => setTimeout(resolve, Math.min(5, whole / 4)));
    const started = performance.now();
    controller.abort();
    await expect(generation).rejects.toThrow();
    // Far below the whole prompt's time on a slow machine; never more than the promise on a fast one.
    expect(performance.now() - started).toBeLessThan(20 + whole / 4);
  });

  it('waits for no other request, and takes none with it', async () => {
    await using many = await tinyEngine('target', 'draft', { parallel: 2 });
    const controller = new AbortController();
    const ended = many.generate({ prompt, maxTokens: 400, depth: 4, signal: controller.signal });
    const goesOn = many.generate({ prompt, maxTokens: 60, depth: 4 });
    const waits = many.generate({ prompt, maxTokens: 60, depth: 3 });
    setTimeout(() => controller.abort(), 3);
    await expect(ended).rejects.toThrow();
    expect((await goesOn).tokens).toEqual(plain);
    expect((await waits).tokens).toEqual(plain);
  });
});

describe('a loop that is left', () => {
  it('ends its generation', async () => {
    const generation = engine.generate({ prompt, maxTokens: 2000 });
    for await (const _ of generation) break;
    const result = await generation;
    expect(result.finishReason).toBe('aborted');
    expect(result.tokens.length).toBeLessThan(2000);
    await expectHealthy();
  });

  it('by a throw ends it too', async () => {
    const generation = engine.generate({ prompt, maxTokens: 2000 });
    const loop = async () => {
      for await (const _ of generation) throw new Error('mine');
    };
    await expect(loop()).rejects.toThrow('mine');
    expect((await generation).finishReason).toBe('aborted');
    await expectHealthy();
  });

  it('may come before the engine has heard of the request', async () => {
    const generation = engine.generate({ prompt, maxTokens: 2000 });
    generation.abort();
    expect((await generation).finishReason).toBe('aborted');
    await expectHealthy();
  });
});

describe('events', () => {
  it('come in order: the prompt, then text and steps, then the finish', async () => {
    const parts: GenerationPart[] = [];
    for await (const part of engine.generate({ prompt, maxTokens: 40, depth: 4 }).events()) parts.push(part);
    expect(parts[0]).toMatchObject({ type: 'step', step: { step: 0, drafted: 0 } });
    const steps = parts.flatMap((part) => (part.type === 'step' ? [part.step] : []));
    expect(steps.map(({ step }) => step)).toEqual(steps.map((_, i) => i));
    const last = parts.at(-1)!;
    expect(last.type).toBe('finish');
    if (last.type !== 'finish') return;
    expect(steps.flatMap(({ tokens }) => [...tokens])).toEqual(last.result.tokens);
    expect(steps.slice(1)).toHaveLength(last.result.stats.steps);
    expect(parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('')).toBe(
      last.result.text,
    );
  });
});
