// Several engines in one process, and what is left of those that are gone.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Engine, generate, type Progress, unload } from '../../lib/index.js';
import { BEGINNINGS, tinyEngine } from '../native/tiny-engine.js';
import { type TinyModels, tinyModels } from '../tiny-models.js';
import { expectNoLastWords, mustBeCompiled, runFixture } from './child.js';

let models: { model: string; draft: string };
let paths: Pick<TinyModels, 'target' | 'draft'>;

beforeAll(async () => {
  mustBeCompiled();
  const { target, draft } = await tinyModels();
  paths = { target, draft };
  models = { model: target, draft };
});

/** Runs a deed of fixtures/engines.mjs and answers what it printed. */
async function deed(what: string, rounds: number, flags: string[] = [], env: Record<string, string> = {}) {
  const ended = await runFixture('engines.mjs', { ...paths, what, rounds }, flags, env);
  expectNoLastWords(ended.stderr, ended.stderr);
  expect({ code: ended.code, signal: ended.signal }, ended.stderr).toEqual({ code: 0, signal: null });
  return JSON.parse(ended.stdout);
}

describe('engines at work at once', () => {
  it('give each the text that it gives alone', async () => {
    // Pools of several engines that spin on the same few cores get hardly anything done.
    const threads = { threads: 1 };
    const engines = await Promise.all([
      tinyEngine('target', 'draft', threads),
      tinyEngine('target', 'draftBad', { ...threads, parallel: 2 }),
      tinyEngine('target', undefined, threads),
      tinyEngine('swa', 'swaDraft', threads),
    ]);
    const request = (i: number) => ({ prompt: BEGINNINGS[i % 3]!, maxTokens: 120, ignoreEos: true });
    const textOf = async (engine: Engine, i: number) =>
      (await engine.generate({ ...request(i), controller: ({ step }) => step % 5 })).text;
    const alone: string[] = [];
    for (const [i, engine] of engines.entries()) alone.push(await textOf(engine, i));
    const together = () => Promise.all(engines.map(textOf));
    expect(await together()).toEqual(alone);
    // One is closed while the others run: they don't notice.
    const others = together();
    const closing = engines[0]!.close();
    await expect(others).rejects.toMatchObject({ code: 'DISPOSED' });
    await closing;
    expect(await Promise.all(engines.slice(1).map((engine, i) => textOf(engine, i + 1)))).toEqual(
      alone.slice(1),
    );
    await Promise.all(engines.map((engine) => engine.close()));
  });
});

describe.runIf(existsSync('/proc/self/task'))('one pool of threads', () => {
  it('serves all engines of a process, those of worker threads too, and ends with the last', async () => {
    const ended = await runFixture('pool.mjs', paths);
    expectNoLastWords(ended.stderr, ended.stderr);
    expect({ code: ended.code, signal: ended.signal }, ended.stderr).toEqual({ code: 0, signal: null });
    const { counts, alone, together, cut, first, second } = JSON.parse(ended.stdout);
    // Each engine has its own thread, which computes too; the others are shared.
    const shared = availableParallelism() - 1;
    expect(counts).toEqual({
      one: shared + 1,
      two: shared + 2,
      three: shared + 3,
      withWorker: shared + 4,
      firstClosed: shared + 3,
      workerEnded: shared + 2,
      none: 0,
      after: 0,
    });
    expect(together).toEqual([alone, alone, alone]);
    expect(cut).toBe('DISPOSED');
    expect(first.startsWith(alone)).toBe(true);
    expect(second).toBe(first);
  });
});

describe('a closed engine', () => {
  it('may be closed again, during and after its close', async () => {
    const engine = await tinyEngine('target', 'draft');
    let closed = 0;
    engine.on('close', () => closed++);
    const running = engine.generate({ prompt: BEGINNINGS[0]!, maxTokens: 400, ignoreEos: true });
    await Promise.all([engine.close(), engine.close(), engine[Symbol.asyncDispose]()]);
    await engine.close();
    await expect(running).rejects.toMatchObject({ code: 'DISPOSED' });
    expect(closed).toBe(1);
    expect(engine.pending).toBe(0);
  });

  it('answers DISPOSED to every use, from the call of close on', async () => {
    const engine = await tinyEngine('target', 'draft');
    const disposed = expect.objectContaining({ code: 'DISPOSED' });
    const use = async () => {
      await expect(engine.generate({ prompt: 'x' })).rejects.toEqual(disposed);
      await expect(engine.generate({ messages: [{ role: 'user', content: 'x' }] })).rejects.toEqual(disposed);
      expect(() => engine.tokenize('x')).toThrow(disposed);
      expect(() => engine.detokenize([5])).toThrow(disposed);
      expect(() => engine.applyChatTemplate([{ role: 'user', content: 'x' }])).toThrow(disposed);
    };
    const closing = engine.close();
    await use();
    await closing;
    await use();
    expect(engine.info.drafters).toContain('model');
  });

  it('takes an abort of a generation that ended with it', async () => {
    const engine = await tinyEngine('target', 'draft');
    const generation = engine.generate({ prompt: BEGINNINGS[0]!, maxTokens: 400, ignoreEos: true });
    await engine.close();
    generation.abort();
    await expect(generation).rejects.toMatchObject({ code: 'DISPOSED' });
  });
});

describe('generate', () => {
  /** Counts the loads that this call sets off. */
  const run = (loads: unknown[], maxTokens = 30) =>
    generate({
      ...models,
      prompt: BEGINNINGS[0]!,
      maxTokens,
      ignoreEos: true,
      onProgress: (progress: Progress) => progress.phase === 'load' && progress.done === 1 && loads.push(1),
    });

  it('loads its engine once for all calls, and anew after unload()', async () => {
    const loads: unknown[] = [];
    const texts = await Promise.all([run(loads), run(loads), run(loads)]);
    const once = loads.length;
    expect(once).toBeGreaterThan(0);
    expect(new Set(texts.map(({ text }) => text)).size).toBe(1);
    await run(loads);
    expect(loads).toHaveLength(once);
    await unload();
    expect((await run(loads)).text).toBe(texts[0]!.text);
    expect(loads).toHaveLength(2 * once);
    await unload();
  });

  it('ends with DISPOSED where unload() comes between, in load or later, and unload() may be called twice', async () => {
    const loads: unknown[] = [];
    // In load: the engine is made, then closed before or after the request has started on it.
    const early = run(loads, 400);
    await new Promise(setImmediate);
    await Promise.all([unload(), unload()]);
    await expect(early).rejects.toMatchObject({ code: 'DISPOSED' });
    const running = run(loads, 400);
    for await (const _ of running) {
      await unload();
      break;
    }
    await expect(running).rejects.toMatchObject({ code: 'DISPOSED' });
    await unload();
    expect((await run(loads)).finishReason).toBe('length');
    await unload();
  });
});

describe('memory', () => {
  const rounds = 200;
  const settled = 40;
  const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;

  /** glibc's allocator with one arena that gives back what is free: else it keeps tens of megabytes, more or less by chance. */
  const givesBack = {
    MALLOC_ARENA_MAX: '1',
    MALLOC_MMAP_THRESHOLD_: '65536',
    MALLOC_TRIM_THRESHOLD_: '65536',
  };

  /**
   * What is lost in every round shows twice: as growth in the usual round, and as a higher level at the end. The allocator's
   * own doings show once at most: some megabytes taken in one round and kept raise the level alone, and memory that it takes
   * and gives back in turn makes the usual round anything, but goes nowhere. The least that was ever lost of an engine was
   * 0.18 MB a round; one lost in every tenth round would be more than the last bound.
   */
  async function expectPlateau(what: string) {
    const { memory }: { memory: number[] } = await deed(what, rounds, ['--expose-gc'], givesBack);
    expect(memory).toHaveLength(rounds);
    const late = memory.slice(settled);
    const third = Math.floor(late.length / 3);
    const level = (median(late.slice(-third)) - median(late.slice(0, third))) / (late.length - third);
    const usual = median(late.slice(1).map((after, i) => after - late[i]!));
    const all = `MB after each round: ${memory.map(Math.round).join(' ')}`;
    expect(Math.min(usual, level), all).toBeLessThan(0.08);
    expect(Math.max(...late), all).toBeLessThan(late[0]! * 1.25);
  }

  it(`is given back by ${rounds} engines that are closed`, () => expectPlateau('lives'));
  it(`is given back by ${rounds} worker threads that are terminated with an engine at work`, () =>
    expectPlateau('terminated'));
});

it('60 engines dropped undisposed, with the collector run after each, do no harm', async () => {
  const { memory, text } = await deed('dropped', 60, ['--expose-gc']);
  expect(memory).toHaveLength(60);
  expect(text).not.toBe('');
});

it('four worker threads and the main thread use, share, close and unload engines at once', async () => {
  const { threads } = await deed('threads', 6);
  expect(threads).toHaveLength(5);
  const texts = new Set(threads.flatMap((thread: { texts: string[] }) => thread.texts));
  // One text for the life of an engine, and the same one from the engine that is shared.
  expect([...texts]).toHaveLength(1);
  for (const { codes } of threads) expect(codes).toEqual(['DISPOSED']);
});
