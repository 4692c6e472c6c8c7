// Calibration of real engines: what it measures, that nobody waits for it unasked, and what is kept for the next one.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { RequestInfo, StepReport } from '../../lib/index.js';
import { type CalibrateOptions, type Calibration, type CostTable, createEngine } from '../../lib/index.js';
import { tinyModels } from '../tiny-models.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

/** As if the machine were quiet, or busy, whatever it is. */
const load = vi.hoisted(() => ({ disturbs: false }));
vi.mock('../../lib/calibration/load-meter.js', async (original) => ({
  ...(await original<typeof import('../../lib/calibration/load-meter.js')>()),
  othersLoad: () => ({ cores: 0, disturbs: load.disturbs }),
}));

const prompt = BEGINNINGS[0]!;
const realCache = process.env.ADAPTIVE_SPEC_CACHE;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-calibration-'));
  process.env.ADAPTIVE_SPEC_CACHE = folder;
  load.disturbs = false;
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
afterAll(() => {
  if (realCache === undefined) delete process.env.ADAPTIVE_SPEC_CACHE;
  else process.env.ADAPTIVE_SPEC_CACHE = realCache;
});

/** Tables in the cache. */
function kept(): string[] {
  try {
    return readdirSync(join(folder, 'calibration'));
  } catch {
    return [];
  }
}

/** A controller that keeps what it is told of costs. */
function curious(depth = 4) {
  const told: (CostTable | undefined)[] = [];
  return {
    told,
    controller: {
      name: 'curious',
      begin: (request: RequestInfo) => told.push(request.costs),
      nextPlan: (_: StepReport) => depth,
    },
  };
}

function expectTimes({ target, draft, overheadMs, callbackMs, rebuildMs, samplingMs }: Calibration) {
  for (const { ms, low, high } of target) {
    expect(ms).toBeGreaterThan(0);
    expect(low <= ms && ms <= high).toBe(true);
  }
  for (const ms of [draft.msPerToken, overheadMs, callbackMs, rebuildMs, samplingMs])
    expect(ms).toBeGreaterThanOrEqual(0);
}

describe('calibrate()', () => {
  it('measures every part, leaves texts as they are, and tells nobody of steps of its own', async () => {
    await using engine = await tinyEngine('target', 'draft', { calibrate: 'auto' });
    const before = await engine.generate({ prompt, maxTokens: 40, depth: 4 });
    const heard: unknown[] = [];
    engine.on('step', (report) => heard.push(report));
    engine.on('finish', (result) => heard.push(result));
    const progress: number[] = [];
    const costs = await engine.calibrate({
      budgetMs: 3000,
      onProgress: ({ phase, done }) => progress.push(phase === 'calibrate' ? done : Number.NaN),
    });
    expectTimes(costs);
    expect(costs.target.slice(0, 5).map(({ rows }) => rows)).toEqual(expect.arrayContaining([1, 2]));
    expect(costs.draft.msPerToken).toBeGreaterThan(0);
    expect(costs.draft.threads).toBe(engine.info.draftThreads);
    expect(costs.vocabularySize).toBe(engine.info.vocabularySize);
    expect(costs.missing).not.toContain('draft');
    expect(heard).toEqual([]);
    expect(engine.pending).toBe(0);
    expect(progress.at(-1)).toBe(1);
    const { callbackMs, ...table } = engine.costs!;
    expect({ ...table, callbackMs: costs.callbackMs }).toMatchObject({
      target: costs.target.map(({ rows, contextLength, ms }) => ({ rows, contextLength, ms })),
      draft: costs.draft,
    });
    expect(callbackMs).toBeCloseTo(costs.callbackMs, 9);
    expect((await engine.generate({ prompt, maxTokens: 40, depth: 4 })).tokens).toEqual(before.tokens);
  });

  it('works without a draft model, with one of a small vocabulary, and with the smallest engine', async () => {
    for (const [draft, options] of [
      [undefined, {}],
      ['draftHot', {}],
      ['draft', { contextSize: 16, maxDepth: 1 }],
    ] as const) {
      await using engine = await tinyEngine('target', draft, options);
      const costs = await engine.calibrate({ budgetMs: 500 });
      expectTimes(costs);
      expect(costs.draft.msPerToken > 0).toBe(draft !== undefined);
    }
  });

  it('gives requests that come meanwhile their turn, and the right text', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const plain = await engine.generate({ prompt, maxTokens: 30, controller: 'off' });
    const calibrating = engine.calibrate({ budgetMs: 1500 });
    let done = false;
    calibrating.finally(() => {
      done = true;
    });
    const during = await engine.generate({ prompt, maxTokens: 30, depth: 4 });
    expect(done).toBe(false);
    expect(during.tokens).toEqual(plain.tokens);
    // A request that is aborted before its turn cuts a pass short, which is then measured again.
    for (let i = 0; i < 5; i++) engine.generate({ prompt, maxTokens: 30 }).abort();
    expectTimes(await calibrating);
  });

  it("ends with the signal's reason, or with DISPOSED, and refuses a closed engine", async () => {
    const engine = await tinyEngine('target', 'draft');
    const reason = new Error('enough');
    await expect(engine.calibrate({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const cut = expect(engine.calibrate()).rejects.toMatchObject({ code: 'DISPOSED' });
    await engine.close();
    await cut;
    await expect(engine.calibrate()).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  it.each<[CalibrateOptions, RegExp]>([
    [{ budgetMs: -1 }, /budgetMs is -1/],
    [{ rows: [] }, /rows is an array/],
    [{ rows: [1, 0] }, /rows\.1 is 0/],
    [{ rows: [34] }, /rows is 34/],
    [{ contextLength: 512 }, /contextLength is 512/],
    [{ rows: [13], contextLength: 500 }, /rows is 13/],
    [{ repeats: 1.5 }, /repeats is 1\.5/],
    [{ onProgress: 7 as never }, /onProgress is 7/],
    [{ signal: {} as never }, /signal/],
    [{ budget: 7 } as never, /no option "budget"/],
  ])('refuses %j', async (options, message) => {
    await using engine = await tinyEngine('target', 'draft');
    await expect(engine.calibrate(options)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });
});

describe("the option 'calibrate'", () => {
  it("by default measures nothing: a first call's first token waits for no measurement", async () => {
    const models = await tinyModels();
    const phases = new Set<string>();
    await using engine = await createEngine({
      model: models.target,
      draft: models.draft,
      contextSize: 512,
      onProgress: ({ phase }) => phases.add(phase),
    });
    // Requests and measurements have their ids from one counter, so the first request has the first id.
    const ids: number[] = [];
    engine.on('step', (_, id) => ids.push(id));
    const { told, controller } = curious();
    await engine.generate({ prompt, maxTokens: 120, ignoreEos: true, controller });
    expect([...new Set(ids)]).toEqual([1]);
    expect(phases).not.toContain('calibrate');
    expect(told).toEqual([undefined]);
    // Its steps have taught something for the next one.
    await engine.generate({ prompt, maxTokens: 20, controller });
    expect(told[1]!.target.length).toBeGreaterThan(0);
    expect(told[1]!.draft.msPerToken).toBeGreaterThan(0);
  });

  it("'load' measures at load, with progress, and tells the first request", async () => {
    const done: number[] = [];
    await using engine = await tinyEngine('target', 'draft', {
      calibrate: 'load',
      onProgress: (progress) => {
        if (progress.phase === 'calibrate') done.push(progress.done);
      },
    });
    expect(done.at(-1)).toBe(1);
    const { told, controller } = curious();
    await engine.generate({ prompt, maxTokens: 5, controller });
    expect(told[0]!.target.length).toBeGreaterThan(4);
  });

  it("'off' tells controllers nothing, ever, and keeps nothing", async () => {
    const { told, controller } = curious();
    const engine = await tinyEngine('target', 'draft', { calibrate: 'off' });
    for (let i = 0; i < 4; i++) await engine.generate({ prompt, maxTokens: 100, controller });
    expect(told).toEqual([undefined, undefined, undefined, undefined]);
    expect(engine.costs).toBeUndefined();
    await engine.close();
    expect(kept()).toEqual([]);
  });

  it.each(['always', true, 1])('refuses %j', async (calibrate) => {
    await expect(tinyEngine('target', undefined, { calibrate: calibrate as never })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      hint: "Give one of 'auto', 'load', 'off'.",
    });
  });
});

describe('a table', () => {
  it('of a quiet machine is cached for the next engine with the same models and settings', async () => {
    load.disturbs = false;
    let costs: CostTable['target'];
    {
      await using engine = await tinyEngine('target', 'draft', { calibrate: 'auto', draftThreads: 1 });
      // Measured once each: that tells of no spread, whatever else runs beside these tests.
      await engine.calibrate({ repeats: 1 });
      costs = engine.costs!.target;
    }
    expect(kept()).toHaveLength(1);
    await using same = await tinyEngine('target', 'draft', { calibrate: 'auto', draftThreads: 1 });
    const { told, controller } = curious();
    await same.generate({ prompt, maxTokens: 5, controller });
    expect(told[0]!.target).toEqual(costs);
    expect(same.costsOrigin).toMatchObject({ source: 'calibrate' });
    // 'load' finds it too, and measures nothing.
    const phases: string[] = [];
    await using loaded = await tinyEngine('target', 'draft', {
      calibrate: 'load',
      draftThreads: 1,
      onProgress: ({ phase }) => phases.push(phase),
    });
    expect(phases).not.toContain('calibrate');
    expect(loaded.costs!.target).toEqual(costs);
    for (const options of [{ kvCacheType: 'f32' }, { kernels: 'ggml' }, { threads: 1 }] as const) {
      await using other = await tinyEngine('target', 'draft', {
        calibrate: 'auto',
        draftThreads: 1,
        ...options,
      });
      if (options.kernels || options.kvCacheType || same.info.threads > 1)
        expect(other.costs, JSON.stringify(options)).toBeUndefined();
    }
    await using plain = await tinyEngine('target', undefined, { calibrate: 'auto' });
    expect(plain.costs).toBeUndefined();
  });

  it('of a busy machine is used, with a warning, and not cached', async () => {
    load.disturbs = true;
    const warnings: string[] = [];
    await using engine = await tinyEngine('target', 'draft', { calibrate: 'auto', warnings });
    const { loaded, warnings: own } = await engine.calibrate({ repeats: 1 });
    expect(loaded).toBe(true);
    expect(own).toMatchObject([{ code: 'MACHINE_BUSY' }]);
    expect(warnings).toEqual(own.map(({ message }) => message));
    expect(engine.costs!.target.length).toBeGreaterThan(20);
    expect(kept()).toEqual([]);
  });

  it('of rows or of a context that were asked for in particular is for the caller alone', async () => {
    await using engine = await tinyEngine('target', 'draft', { calibrate: 'auto' });
    for (const options of [{ rows: [1, 2, 9] }, { contextLength: 100 }]) {
      await engine.calibrate({ ...options, repeats: 1 });
      expect(engine.costs).toBeUndefined();
    }
    expect(kept()).toEqual([]);
  });

  it('that steps have taught is cached at close, from a quiet machine alone', async () => {
    for (const [disturbs, files] of [
      [true, 0],
      [false, 1],
    ] as const) {
      load.disturbs = disturbs;
      const engine = await tinyEngine('target', 'draft', { calibrate: 'auto', draftThreads: 1 });
      for (const depth of [0, 3, 7])
        await engine.generate({ prompt, maxTokens: 150, ignoreEos: true, depth });
      expect(kept()).toEqual([]);
      await engine.close();
      expect(kept()).toHaveLength(files);
    }
    await using next = await tinyEngine('target', 'draft', { calibrate: 'auto', draftThreads: 1 });
    expect(next.costsOrigin!.source).toBe('live');
    expect(next.costs!.target.map(({ rows }) => rows)).toEqual(expect.arrayContaining([1, 4, 8]));
  });
});
