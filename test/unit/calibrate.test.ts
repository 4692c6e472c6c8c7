// Calibration over a made-up engine with a clock of its own: its order, its budget, and what a busy machine does to it.
import { describe, expect, it } from 'vitest';
import {
  type CalibrateSettings,
  type CalibrationSubject,
  calibrate,
} from '../../lib/calibration/calibrate.js';
import type { CpuTimes } from '../../lib/calibration/load-meter.js';
import { CostModel } from '../../lib/control/costs.js';
import { random } from '../native/tiny-engine.js';

/** v(n, c) of the made-up engine: risers after 8 and 16 rows. */
const verify = (rows: number, contextLength: number) =>
  20 + 0.05 * rows + (rows > 8 ? 3 : 0) + (rows > 16 ? 4 : 0) + 0.01 * contextLength;

interface Machine extends Partial<CalibrationSubject> {
  /** Everything takes so many times as long, drawn anew for each pass. */
  slowness?: () => number;
  /** CPU time that others take per millisecond. */
  others?: number;
  /** How many times slower the whole engine is. */
  factor?: number;
  /** A pass of so many rows in a step against one in a loop of passes. */
  inSteps?: (rows: number) => number;
  /** What a step's first draft token costs more. */
  startMs?: number;
}

function machine({
  slowness = () => 1,
  others = 0,
  factor = 1,
  inSteps = () => 1,
  startMs = 0,
  ...fields
}: Machine = {}) {
  let now = 1000;
  let before = 0;
  const asked: string[] = [];
  const spend = (ms: number) => {
    now += ms;
    return ms;
  };
  const subject: CalibrationSubject = {
    maxRows: 33,
    contextSize: 4096,
    threads: 2,
    drafts: true,
    draftThreads: 1,
    vocabularySize: 1000,
    async target(rows, contextLength, repeats) {
      asked.push(`${[...new Set(rows)].join()}@${contextLength}`);
      spend(factor * contextLength * 0.5);
      return Array.from({ length: repeats }, () =>
        rows.map((n) => {
          const rebuild = n === before ? 0 : 1.5;
          before = n;
          return spend(factor * slowness() * (verify(n, contextLength) + rebuild));
        }),
      ).flat();
    },
    async draft(tokens, repeats) {
      asked.push('draft');
      return Array.from({ length: repeats }, () => spend(factor * slowness() * 2 * tokens) / tokens);
    },
    async sampling(repeats) {
      asked.push('sampling');
      return Array.from({ length: repeats }, () => spend(0.1));
    },
    async steps(count, isAsked) {
      asked.push(isAsked ? 'asked steps' : 'steps');
      return Array.from({ length: count }, () => {
        spend(factor * verify(1, 0));
        return spend(slowness() * (isAsked ? 0.45 : 0.4));
      });
    },
    async draftingSteps(count, depth) {
      asked.push(`drafting ${depth}`);
      return Array.from({ length: count }, (_, i) => ({
        rows: depth + 1,
        contextLength: i * (depth + 1),
        verifyMs: spend(factor * slowness() * inSteps(depth + 1) * verify(depth + 1, i * (depth + 1))),
        draftMs: depth === 0 ? 0 : spend(factor * slowness() * (2 * depth + startMs)),
        modelTokens: depth,
      }));
    },
    ...fields,
  };
  const cpuTimes = (): CpuTimes => ({ atMs: now, cpus: 2, busyMs: now * (2 + others), ownMs: now * 2 });
  const run = (settings: Partial<CalibrateSettings> = {}) =>
    calibrate(subject, { budgetMs: 10_000, now: () => now, cpuTimes, ...settings });
  return { run, asked, spend };
}

const rowsOf = (asked: string[]) =>
  asked.filter((what) => what.endsWith('@0')).map((what) => Number.parseInt(what, 10));

describe('a calibration', () => {
  it('gives back the curve, its risers and slope, and what else a step costs', async () => {
    const costs = await machine().run();
    const model = new CostModel(costs);
    for (const rows of [1, 2, 5, 8, 9, 16, 17, 33])
      for (const contextLength of [0, 500, 2000])
        expect(model.verifyMs(rows, contextLength)).toBeCloseTo(verify(rows, contextLength), 6);
    expect(costs).toMatchObject({
      draft: { msPerToken: 2, threads: 1 },
      staircase: [8, 16],
      missing: [],
      loaded: false,
      warnings: [],
      vocabularySize: 1000,
    });
    expect(costs.overheadMs).toBeCloseTo(0.4, 6);
    expect(costs.callbackMs).toBeCloseTo(0.05, 6);
    expect(costs.samplingMs).toBeCloseTo(0.1, 6);
    expect(costs.rebuildMs).toBeCloseTo(1.5, 6);
    expect(Date.parse(costs.measuredAt)).not.toBeNaN();
  });

  it('takes a pass to cost what it does in a step, and the first draft token to cost more', async () => {
    const costs = await machine({ inSteps: (rows) => (rows === 1 ? 1.16 : 1.02), startMs: 3 }).run();
    const model = new CostModel(costs);
    expect(model.verifyMs(1, 0)).toBeCloseTo(1.16 * verify(1, 0), 6);
    for (const rows of [2, 5, 9, 17, 33])
      expect(model.verifyMs(rows, 0)).toBeCloseTo(1.02 * verify(rows, 0), 6);
    expect(model.verifyMs(9, 500)).toBeCloseTo(1.02 * verify(9, 500), 6);
    expect(costs.draft).toMatchObject({ threads: 1 });
    expect(costs.draft.msPerToken).toBeCloseTo(2, 6);
    expect(costs.draft.startMs).toBeCloseTo(3, 6);
    // A change of shape is told from passes alone, whatever steps say.
    expect(costs.rebuildMs).toBeCloseTo(1.5, 6);
  });

  it('says so where there is no time for whole steps, and takes the passes as they are then', async () => {
    const { run, asked } = machine({ inSteps: () => 1.5 });
    const costs = await run({ budgetMs: 700 });
    expect(costs.missing).toContain('steps');
    expect(asked.filter((what) => what.startsWith('drafting'))).toEqual([]);
    expect(new CostModel(costs).verifyMs(5, 0)).toBeCloseTo(verify(5, 0), 6);
  });

  it('runs only plain steps where no model drafts', async () => {
    const { run, asked } = machine({ drafts: false, inSteps: () => 1.1 });
    const costs = await run();
    expect(asked.filter((what) => what.startsWith('drafting'))).toEqual(['drafting 0']);
    expect(costs.missing).not.toContain('steps');
    expect(costs.draft).toEqual({ msPerToken: 0, threads: 1 });
    expect(new CostModel(costs).verifyMs(1, 0)).toBeCloseTo(1.1 * verify(1, 0), 6);
    expect(new CostModel(costs).verifyMs(9, 0)).toBeCloseTo(verify(9, 0), 6);
  });

  it('measures the most telling rows first, then the others, then the slope', async () => {
    const { run, asked } = machine();
    const costs = await run();
    const rows = rowsOf(asked);
    expect(rows.slice(0, 10)).toEqual([1, 2, 5, 9, 17, 1, 2, 5, 9, 17]);
    const order = [...new Set(rows)];
    expect(order).toEqual([1, 2, 5, 9, 17, 3, 4, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 24, 25, 32, 33]);
    expect(asked.at(-1)).toBe('1,9,33@1024');
    expect(asked.indexOf('draft')).toBeLessThan(asked.indexOf('3@0'));
    expect(costs.target.filter(({ contextLength }) => contextLength === 1024)).toHaveLength(3);
  });

  it.each([
    [1, 10_000],
    [1, 3000],
    [4, 10_000],
    [15, 10_000],
  ])('keeps to its budget: an engine %d times slower, %d ms', async (factor, budgetMs) => {
    const { run } = machine({ factor });
    const costs = await run({ budgetMs });
    // One more pair of passes, with the change of shape, is what it may be late by.
    expect(costs.milliseconds).toBeLessThan(budgetMs + 2 * factor * (verify(33, 0) + 1.5));
    // Where there is no time for the slope, the steps' own few tokens of context count as theirs.
    for (const rows of [1, 2, 5, 9, 17])
      expect(new CostModel(costs).verifyMs(rows, 0) / (factor * verify(rows, 0))).toBeCloseTo(1, 2);
  });

  it('leaves out what there is no time for, and says so', async () => {
    const costs = await machine({ factor: 100 }).run();
    expect(costs.target[0]).toMatchObject({ rows: 1, ms: 100 * verify(1, 0) });
    expect(costs.missing).toEqual(expect.arrayContaining(['rows', 'context', 'overhead', 'callback']));
    const short = await machine().run({ budgetMs: 0 });
    expect(short.target).toHaveLength(1);
  });

  it('asks for no more than the engine was made for', async () => {
    const small = machine({ maxRows: 9, contextSize: 300, drafts: false });
    const costs = await small.run();
    expect(Math.max(...costs.target.map(({ rows }) => rows))).toBe(9);
    expect(small.asked).not.toContain('draft');
    expect(costs.draft.msPerToken).toBe(0);
    const contexts = new Set(costs.target.map(({ contextLength }) => contextLength));
    expect([...contexts]).toEqual([0, 256]);
  });

  it('measures what is asked for, as often as that', async () => {
    const { run, asked } = machine();
    const costs = await run({ rows: [1, 12], contextLength: 100, repeats: 4, budgetMs: 1 });
    expect(asked.filter((what) => what.endsWith('@100'))).toEqual([
      ...['1@100', '12@100', '1@100', '12@100', '1@100', '12@100', '1@100', '12@100'],
    ]);
    expect(costs.target.map(({ rows, contextLength }) => [rows, contextLength])).toEqual([
      [1, 100],
      [12, 100],
    ]);
  });

  it('tells how far it is, never backwards, and ends with 1', async () => {
    const told: number[] = [];
    await machine().run({ onProgress: (done) => told.push(done) });
    expect(told.length).toBeGreaterThan(20);
    expect([...told].sort((a, b) => a - b)).toEqual(told);
    expect(told.at(-1)).toBe(1);
    expect(told.filter((done) => done === 1)).toHaveLength(1);
  });

  it("rejects with the signal's reason, between two passes", async () => {
    const stop = new AbortController();
    const { run, asked } = machine();
    const reason = new Error('enough');
    const running = run({
      signal: stop.signal,
      onProgress: () => asked.length === 7 && stop.abort(reason),
    });
    await expect(running).rejects.toBe(reason);
    expect(asked).toHaveLength(7);
  });
});

describe('a busy machine', () => {
  it('is warned of where others take the cores, and where equal passes differ', async () => {
    const next = random(3);
    for (const [busy, message] of [
      [machine({ others: 0.5 }), /others used 0\.5 cores/],
      [machine({ slowness: () => (next() < 0.4 ? 2 + next() : 1) }), /differed by \d+ %/],
    ] as const) {
      const costs = await busy.run();
      expect(costs.loaded).toBe(true);
      expect(costs.warnings).toEqual([{ code: 'MACHINE_BUSY', message: expect.stringMatching(message) }]);
    }
  });

  it('is no wrong curve: the lower samples are near the quiet one', async () => {
    const next = random(5);
    const costs = await machine({ slowness: () => (next() < 0.5 ? 1 + 4 * next() : 1) }).run();
    expect(costs.loaded).toBe(true);
    const model = new CostModel(costs);
    for (const rows of [1, 2, 5, 9, 12, 17, 33])
      expect(Math.abs(model.verifyMs(rows, 0) / verify(rows, 0) - 1), `${rows} rows`).toBeLessThan(0.15);
    for (let rows = 2; rows <= 33; rows++)
      expect(model.verifyMs(rows, 0)).toBeGreaterThanOrEqual(model.verifyMs(rows - 1, 0));
  });

  it('is none where cores are spare, or where one does a little in the background', async () => {
    expect((await machine({ others: 0.1 }).run()).loaded).toBe(false);
    expect((await machine({ others: 0.6, threads: 1 }).run()).loaded).toBe(false);
  });

  it('is not claimed where the load is not known', async () => {
    const costs = await machine().run({ cpuTimes: () => undefined });
    expect(costs).toMatchObject({ loaded: false, loadOfOthers: undefined });
  });
});
