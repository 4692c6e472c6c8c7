// Cost tables on disk: found for the same facts only, never half written, and only worth it from a quiet machine.
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readCachedCosts, writeCachedCosts } from '../../lib/calibration/cache.js';
import { type CacheFacts, cacheKey, machineFacts } from '../../lib/calibration/cache-key.js';
import type { Calibration } from '../../lib/calibration/calibration.js';
import { EngineCosts, type EngineCostsOptions } from '../../lib/calibration/engine-costs.js';
import { fileStamp, modelFingerprint } from '../../lib/calibration/fingerprint.js';
import type { CpuTimes } from '../../lib/calibration/load-meter.js';
import { CostModel, type CostTable } from '../../lib/control/costs.js';
import { stepReport } from './step-report.js';

const facts: CacheFacts = {
  model: 'a',
  draft: 'b',
  quantization: 'Q4_1',
  threads: 2,
  draftThreads: 1,
  cpu: 'a CPU',
  cpuFlags: 'f',
  cpus: 2,
  addon: 'c',
  kernels: 'avx2',
  numa: 'none',
  flashAttention: 'auto',
  kvCacheType: 'f16',
  mmap: true,
};
const table: CostTable = {
  target: [
    { rows: 1, contextLength: 0, ms: 20 },
    { rows: 5, contextLength: 0, ms: 25 },
    { rows: 9, contextLength: 0, ms: 30 },
  ],
  draft: { msPerToken: 2, threads: 1 },
  overheadMs: 0.5,
  rebuildMs: 1,
  callbackMs: 0.1,
};
const cached = { table, source: 'calibrate' as const, measuredAt: '2026-01-02T03:04:05.678Z' };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-costs-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('the cache', () => {
  it('gives back what was written, and leaves nothing else behind', () => {
    expect(readCachedCosts(facts, folder)).toBeUndefined();
    expect(writeCachedCosts(facts, cached, join(folder, 'new/folder'))).toBe(true);
    expect(readCachedCosts(facts, join(folder, 'new/folder'))).toEqual(cached);
    expect(readdirSync(join(folder, 'new/folder'))).toEqual([`${cacheKey(facts)}.json`]);
  });

  it.each(Object.entries(facts))('has another key for another %s', (name, value) => {
    const other = {
      ...facts,
      [name]: typeof value === 'number' ? value + 1 : typeof value === 'boolean' ? !value : `${value}x`,
    };
    expect(cacheKey(other)).not.toBe(cacheKey(facts));
    writeCachedCosts(facts, cached, folder);
    expect(readCachedCosts(other, folder)).toBeUndefined();
  });

  it('has one key for the facts in any order', () => {
    const reversed = Object.fromEntries(Object.entries(facts).reverse()) as unknown as CacheFacts;
    expect(cacheKey(reversed)).toBe(cacheKey(facts));
  });

  it('takes a damaged file, another version and impossible numbers for none, and writes over them', () => {
    writeCachedCosts(facts, cached, folder);
    const path = join(folder, `${cacheKey(facts)}.json`);
    const text = readFileSync(path, 'utf8');
    const damaged: [string, (file: Record<string, unknown> & { table: CostTable }) => unknown][] = [
      ['version', (file) => ({ ...file, version: 0 })],
      ['key', (file) => ({ ...file, key: 'x' })],
      ['date', (file) => ({ ...file, measuredAt: 'yesterday' })],
      ['no table', ({ table: _, ...file }) => file],
      ['no point', (file) => ({ ...file, table: { ...file.table, target: [] } })],
      ['negative time', (file) => ({ ...file, table: { ...file.table, overheadMs: -1 } })],
      [
        'half a row',
        (file) => ({ ...file, table: { ...file.table, target: [{ rows: 1.5, contextLength: 0, ms: 1 }] } }),
      ],
      [
        'no time',
        (file) => ({ ...file, table: { ...file.table, target: [{ rows: 1, contextLength: 0, ms: 0 }] } }),
      ],
      ['null for infinity', (file) => ({ ...file, table: { ...file.table, rebuildMs: null } })],
    ];
    for (const content of [
      '',
      'x',
      '[]',
      'null',
      text.slice(0, text.length / 2),
      ...damaged.map(([, change]) => JSON.stringify(change(JSON.parse(text)))),
    ]) {
      writeFileSync(path, content);
      expect(readCachedCosts(facts, folder), content).toBeUndefined();
    }
    writeCachedCosts(facts, cached, folder);
    expect(readCachedCosts(facts, folder)).toEqual(cached);
  });

  it('that cannot be written is no error', () => {
    writeFileSync(join(folder, 'file'), '');
    expect(writeCachedCosts(facts, cached, join(folder, 'file'))).toBe(false);
  });
});

describe('fingerprints', () => {
  it('tell files apart by size, metadata, beginning and end', () => {
    const path = join(folder, 'model');
    const bytes = Buffer.alloc(3 * 2 ** 20, 7);
    const of = (change: (bytes: Buffer) => void, id = 'x') => {
      const copy = Buffer.from(bytes);
      change(copy);
      writeFileSync(path, copy);
      return modelFingerprint({ path, bytes: copy.length, id });
    };
    const same = of(() => {});
    expect(of(() => {})).toBe(same);
    expect(same).toMatch(/^[0-9a-f]{32}$/);
    expect(of((copy) => copy.fill(1, 10, 11))).not.toBe(same);
    expect(of((copy) => copy.fill(1, copy.length - 1))).not.toBe(same);
    expect(of(() => {}, 'y')).not.toBe(same);
    writeFileSync(path, bytes.subarray(1));
    expect(modelFingerprint({ path, bytes: bytes.length - 1, id: 'x' })).not.toBe(same);
  });

  it('of an addon change with its size and time, and the machine has a name', () => {
    const path = join(folder, 'addon');
    writeFileSync(path, 'abc');
    const built = fileStamp(path);
    expect(fileStamp(path)).toBe(built);
    writeFileSync(path, 'abcd');
    expect(fileStamp(path)).not.toBe(built);
    writeFileSync(path, 'abc');
    utimesSync(path, 1e9, 1e9);
    expect(fileStamp(path)).not.toBe(built);
    expect(machineFacts().cpu).not.toBe('');
    expect(machineFacts()).toEqual(machineFacts());
  });
});

describe("an engine's costs", () => {
  /** A clock, and a share of a core that others take. */
  let others = 0;
  let now = 0;
  beforeEach(() => {
    others = 0;
    now = 0;
  });
  const cpuTimes = (): CpuTimes => ({ atMs: now, cpus: 2, busyMs: busy, ownMs: 0 });
  let busy = 0;

  const costsOf = (options: Partial<EngineCostsOptions> = {}) =>
    new EngineCosts({ facts, drafts: true, threads: 2, draftThreads: 1, cpuTimes, folder, ...options });

  /** Runs a request of so many steps at `factor` times the table's cost. */
  function run(
    costs: EngineCosts,
    steps: number,
    factor = 1,
    depths = [0, 0, 4, 4, 8, 8],
    heldUp: (step: number) => boolean = () => false,
  ): void {
    const model = new CostModel(table);
    costs.busy(true);
    for (let step = 1; step <= steps; step++) {
      const drafted = depths[step % depths.length]!;
      const stall = drafted > 0 && heldUp(step) ? 3 : 1;
      const verifyMs = stall * factor * model.verifyMs(drafted + 1, 50);
      costs.observe(
        stepReport({
          step,
          drafted,
          drafter: 'model',
          rows: drafted + 1,
          verifyMs,
          draftMs: factor * 2 * drafted,
          otherMs: 0.6,
          contextLength: 50,
        }),
        true,
      );
      now += verifyMs;
      busy += others * verifyMs;
    }
    costs.busy(false);
  }

  const offBy = (costs: CostTable, other: CostTable, rows: number) =>
    Math.abs(new CostModel(costs).verifyMs(rows, 50) / new CostModel(other).verifyMs(rows, 50) - 1);

  const calibration = (loaded: boolean): Calibration => ({
    ...table,
    target: table.target.map((point) => ({ ...point, low: point.ms, high: point.ms })),
    samplingMs: 0.1,
    vocabularySize: 100,
    staircase: [],
    missing: [],
    loaded,
    loadOfOthers: 0,
    spread: 0,
    measuredAt: cached.measuredAt,
    milliseconds: 1,
    warnings: [],
  });

  it('begin with the cached table, or with nothing', () => {
    expect(costsOf().table).toBeUndefined();
    writeCachedCosts(facts, cached, folder);
    expect(costsOf().table!.target).toEqual(table.target);
    expect(costsOf().cached).toEqual(cached);
    expect(costsOf({ facts: undefined }).table).toBeUndefined();
  });

  it("are another engine's, where that learnt them from its steps, until this one's own tell enough", () => {
    // That one holds several rows much too dear.
    const target = table.target.map((point) => ({ ...point, ms: point.ms * (point.rows > 1 ? 1.6 : 1) }));
    writeCachedCosts(facts, { ...cached, source: 'live', table: { ...table, target } }, folder);
    const costs = costsOf();
    run(costs, 200, 1, [0]);
    expect(costs.table).toEqual({ ...table, target, unconfirmed: true });
    run(costs, 12, 1, [4]);
    run(costs, 12, 1, [8]);
    const own = costs.table!;
    expect(own.unconfirmed).toBeUndefined();
    for (const rows of [1, 5, 9]) expect(offBy(own, table, rows)).toBeLessThan(0.05);
    costs.close();
    expect(offBy(costsOf().table!, table, 5)).toBeLessThan(0.05);
  });

  it('are what was measured on purpose, corrected by steps', () => {
    writeCachedCosts(facts, cached, folder);
    expect(costsOf().table!.unconfirmed).toBeUndefined();
  });

  it('stay the same table over steps that others share, and no longer', () => {
    writeCachedCosts(facts, cached, folder);
    const costs = costsOf();
    const before = costs.table;
    costs.observe(stepReport({ step: 1, rows: 1, load: { running: 2, waiting: 0 } }), true);
    expect(costs.table).toBe(before);
    costs.observe(stepReport({ step: 2, rows: 1, load: { running: 1, waiting: 0 } }), true);
    expect(costs.table).not.toBe(before);
  });

  it('are learned from steps, and kept at the end for the next engine', () => {
    const costs = costsOf();
    run(costs, 300);
    expect(costs.table!.draft.msPerToken).toBeCloseTo(2, 6);
    expect(readCachedCosts(facts, folder)).toBeUndefined();
    costs.close();
    const kept = readCachedCosts(facts, folder)!;
    expect(kept.source).toBe('live');
    expect(kept.table).toMatchObject({ draft: costs.table!.draft, overheadMs: costs.table!.overheadMs });
    for (const rows of [1, 5, 9]) {
      const ratio =
        new CostModel(kept.table).verifyMs(rows, 50) / new CostModel(costs.table!).verifyMs(rows, 50);
      expect(Math.abs(ratio - 1)).toBeLessThan(0.02);
    }
    expect(new CostModel(costsOf().table!).verifyMs(9, 50)).toBeCloseTo(30, 0);
  });

  it.each<[string, (costs: EngineCosts) => void]>([
    ['after few steps', (costs) => run(costs, 50)],
    ['after steps with one number of rows', (costs) => run(costs, 300, 1, [4])],
    [
      'on a busy machine',
      (costs) => {
        others = 0.5;
        run(costs, 300);
      },
    ],
    [
      'after a calibration on a busy machine',
      (costs) => {
        costs.calibrated(calibration(true));
        run(costs, 300);
      },
    ],
  ])('are not kept %s', (_, use) => {
    const costs = costsOf();
    use(costs);
    costs.close();
    expect(readCachedCosts(facts, folder)).toBeUndefined();
  });

  it('are kept anew by each engine where they were learnt, and left as they are where they were measured', () => {
    for (const factor of [1, 1.5]) {
      const costs = costsOf();
      run(costs, 300, factor);
      costs.close();
      const kept = readCachedCosts(facts, folder)!;
      expect(kept.source).toBe('live');
      expect(new CostModel(kept.table).verifyMs(1, 0) / 20).toBeCloseTo(factor, 1);
    }
    writeCachedCosts(facts, cached, folder);
    const slower = costsOf();
    run(slower, 300, 1.5);
    expect(new CostModel(slower.table!).verifyMs(1, 0) / 20).toBeCloseTo(1.5, 1);
    slower.close();
    expect(readCachedCosts(facts, folder)).toEqual(cached);
  });

  it('keep what passes usually take: those that were held up must not add up over engines', () => {
    const ratios = [1.5, 1, 1.5, 1, 1.5, 1].map((factor) => {
      const costs = costsOf();
      run(costs, 600, factor, [0, 0, 0, 0, 4, 4, 8, 8], (step) => step % 5 === 0);
      const now = new CostModel(costs.table!);
      costs.close();
      const kept = new CostModel(readCachedCosts(facts, folder)!.table);
      expect(Math.abs(kept.verifyMs(1, 50) / (20 * factor) - 1)).toBeLessThan(0.1);
      const [mean, usual] = [now, kept].map((model) => model.verifyMs(5, 50) / model.verifyMs(1, 50));
      // The mean that plans reckon with has them in it.
      expect(mean).toBeGreaterThan(1.05 * usual!);
      return usual!;
    });
    for (const ratio of ratios) expect(Math.abs(ratio / ratios[0]! - 1)).toBeLessThan(0.05);
  });

  it('are those of a calibration from then on, which is kept at once unless the machine was busy', () => {
    const costs = costsOf();
    costs.calibrated(calibration(true));
    expect(costs.table!.target).toEqual(table.target);
    expect(readCachedCosts(facts, folder)).toBeUndefined();
    for (const short of [
      { target: calibration(false).target.slice(0, 2) },
      { missing: ['draft' as const] },
    ]) {
      costs.calibrated({ ...calibration(false), ...short });
      expect(readCachedCosts(facts, folder)).toBeUndefined();
    }
    costs.calibrated(calibration(false));
    expect(readCachedCosts(facts, folder)).toEqual(cached);
    expect(costs.cached).toMatchObject({ source: 'calibrate', measuredAt: cached.measuredAt });
  });
});
