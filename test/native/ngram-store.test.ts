// The store of finished requests' text: later requests draft from it, no text depends on it, and it lasts in its file.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { AdaptiveSpecError, type Engine, type EngineOptions, type RequestOptions } from '../../lib/index.js';
import { createServer } from '../../lib/serve/index.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-store-'));
afterAll(() => rmSync(folder, { recursive: true }));

const open = (options: EngineOptions = {}) => tinyEngine('target', undefined, options);
const REQUEST = { prompt: BEGINNINGS[0]!, maxTokens: 100, depth: 8, drafter: 'ngram' } as const;
const run = (engine: Engine, options: RequestOptions = {}) => engine.generate({ ...REQUEST, ...options });
const plainOf = (engine: Engine, options: RequestOptions = {}) =>
  run(engine, { ...options, depth: 0, share: false });

describe('a later request', () => {
  it('drafts what an earlier one said, where both share it', async () => {
    await using engine = await open({ ngramStore: true });
    const first = await run(engine);
    const second = await run(engine);
    expect(second.tokens).toEqual(first.tokens);
    // All but the first tokens, before which there is nothing to match.
    expect(second.stats.steps).toBeLessThan(20);
    expect(first.stats.steps).toBeGreaterThan(2 * second.stats.steps);
    const apart = await run(engine, { share: false });
    expect(apart.tokens).toEqual(first.tokens);
    expect(apart.stats.steps).toBe(first.stats.steps);
  });

  it('gets nothing from one that keeps its text to itself, nor where no store was asked for', async () => {
    for (const [options, share] of [
      [{ ngramStore: true }, false],
      [{ ngramStore: false }, true],
      [{}, true],
    ] as const) {
      await using engine = await open(options);
      const first = await run(engine, { share });
      const second = await run(engine);
      expect(second.stats.steps).toBe(first.stats.steps);
    }
  });

  it('gets what an aborted one had said by then', async () => {
    await using engine = await open({ ngramStore: true });
    const generation = run(engine, { onAbort: 'return' });
    let tokens = 0;
    for await (const part of generation.events()) {
      if (part.type !== 'step') continue;
      tokens += part.step.tokens.length;
      if (tokens > 40) generation.abort();
    }
    const alone = await run(engine, { share: false });
    const second = await run(engine);
    expect(second.stats.steps).toBeLessThan(alone.stats.steps);
  });
});

describe('a request over HTTP', () => {
  it('shares its text as `share` says, in place of which stands the default', async () => {
    await using engine = await open({ ngramStore: true });
    await using server = createServer(engine, { port: 0, defaults: { drafter: 'ngram' } });
    const address = await server.listen();
    const steps = async (share?: boolean) => {
      const answer = await fetch(`${address}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          ...{ prompt: REQUEST.prompt, max_tokens: REQUEST.maxTokens },
          adaptive_spec: { depth: REQUEST.depth, ...(share === undefined ? {} : { share }) },
        }),
      });
      const { predicted_n, draft_n_accepted = 0 } = (await answer.json()).timings;
      return predicted_n - draft_n_accepted;
    };
    const alone = await steps(false);
    expect(await steps()).toBe(alone);
    const shared = await steps();
    expect(shared).toBeLessThan(alone / 2);
    expect(await steps(false)).toBe(alone);
  });
});

describe('the text', () => {
  it.each([0, 0.9])('is plain decoding’s with a full store, at temperature %d', async (temperature) => {
    await using engine = await open({ ngramStore: { maxTokens: 1024 }, parallel: 2 });
    for (let round = 0; round < 3; round++) {
      for (const [i, prompt] of BEGINNINGS.entries()) {
        const options = { prompt, temperature, seed: 7 };
        const plain = await plainOf(engine, options);
        for (const depth of [1, 5, 24]) {
          // What the store holds changes with every one of them.
          await run(engine, { prompt, temperature: 1.2, seed: 100 * round + i, maxTokens: 60 });
          const result = await run(engine, { ...options, depth });
          expect(result.tokens).toEqual(plain.tokens);
        }
      }
    }
  });

  it('and the steps don’t depend on requests of other engines', async () => {
    await using one = await open({ ngramStore: true });
    const first = await run(one);
    await using other = await open({ ngramStore: true });
    expect((await run(other)).stats.steps).toBe(first.stats.steps);
  });
});

describe('the file', () => {
  const path = join(folder, 'store');
  const keep = async (options: EngineOptions = {}, request: RequestOptions = {}) => {
    await using engine = await open({ ngramStore: { path }, ...options });
    return await run(engine, request);
  };

  it('brings one engine’s text to the next', async () => {
    const first = await keep();
    expect(existsSync(path)).toBe(true);
    const second = await keep();
    expect(second.tokens).toEqual(first.tokens);
    expect(second.stats.steps).toBeLessThan(first.stats.steps / 2);
    expect(readdirSync(folder)).toEqual(['store']);
  });

  it('is left alone where nothing new was said', async () => {
    const before = readFileSync(path);
    rmSync(path);
    await (await open({ ngramStore: { path } })).close();
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, before);
    await keep({}, { share: false, prompt: BEGINNINGS[1]! });
    expect(readFileSync(path)).toEqual(before);
  });

  it('that is damaged, or of other tokens, ends the load with STORE_INVALID and stays as it was', async () => {
    const good = readFileSync(path);
    const bad = Buffer.from(good);
    bad[bad.length - 20]! ^= 1;
    writeFileSync(path, bad);
    const load = (target: 'target' | 'targetPadded') =>
      tinyEngine(target, undefined, { ngramStore: { path } }).then(
        (engine) => engine.close(),
        (error) => error,
      );
    const damaged = await load('target');
    expect(damaged).toBeInstanceOf(AdaptiveSpecError);
    expect(damaged.code).toBe('STORE_INVALID');
    expect(damaged.message).toContain(path);
    expect(damaged.hint).not.toBe('');
    expect(readFileSync(path)).toEqual(bad);
    writeFileSync(path, good);
    expect(((await load('targetPadded')) as AdaptiveSpecError).code).toBe('STORE_INVALID');
    expect(readFileSync(path)).toEqual(good);
  });

  it('that could not be written is STORE_FAILED before anything is loaded', async () => {
    for (const where of [join(folder, 'missing', 'store'), folder]) {
      const error = await open({ ngramStore: { path: where } }).catch((error) => error);
      expect(error.code).toBe('STORE_FAILED');
    }
  });

  it('that can’t be written any more at the end is a warning', async () => {
    const inside = join(folder, 'inside');
    mkdirSync(inside);
    const warnings: string[] = [];
    const engine = await open({
      ngramStore: { path: join(inside, 'store') },
      onWarning: ({ code }) => warnings.push(code),
    });
    await run(engine);
    rmSync(inside, { recursive: true });
    await engine.close();
    expect(warnings).toEqual(['STORE_FAILED']);
  });
});

it.each([
  { ngramStore: 1 },
  { ngramStore: { path: '' } },
  { ngramStore: { path: 'a\0b' } },
  { ngramStore: { maxTokens: 1023 } },
  { ngramStore: { maxTokens: 2 ** 22 + 1 } },
  { ngramStore: { size: 1024 } },
] as EngineOptions[])('%j is refused', async (options) => {
  await expect(open(options)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

it('a request’s share is true or false', async () => {
  await using engine = await open({ ngramStore: true });
  await expect(run(engine, { share: 'yes' } as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});
