// Cost tables that replay brings or makes: the experiment's machine, and several sequences in one batch.

import { describe, expect, it } from 'vitest';
import { CostModel, type CostTable } from '../../lib/control/costs.js';
import { costModelAtLoad, costsAtLoad, extendedCurve } from '../../lib/control/costs-at-load.js';
import { fixedDepth } from '../../lib/control/fixed-depth.js';
import { HOST96_MEASURED, host96, host96Table, PLAIN_MS } from '../../lib/replay/costs-host96.js';
import { replay } from '../../lib/replay/replay.js';
import { replayable, staircase } from './synthetic-trace.js';

const v = (table: CostTable, rows: number) => new CostModel(table).verifyMs(rows, 0);

describe('host96', () => {
  it('gives back the table of the experiment within 3 %', () => {
    const table = host96Table();
    expect(table.map(({ k, acceptance }) => [k, acceptance])).toEqual([
      [4, 0.8125],
      [8, 0.5],
      [16, 0.35],
    ]);
    table.forEach(({ tokensPerSecond }, i) => {
      expect(Math.abs(tokensPerSecond / HOST96_MEASURED[i]!.tokensPerSecond - 1)).toBeLessThan(0.03);
    });
  });

  it('decodes plainly at 2.86 tokens per second, also in a replay', () => {
    const { tokens, ms } = replay(replayable(), fixedDepth(0), new CostModel(host96));
    expect((tokens / ms) * 1000).toBeCloseTo(2.86, 9);
  });

  it('has the measured shape: flat to 16 rows, one riser, flat to 32', () => {
    for (const rows of [5, 9, 13, 16]) expect(v(host96, rows) / PLAIN_MS).toBeCloseTo(1.05, 9);
    for (const rows of [17, 21, 25, 32]) expect(v(host96, rows) / PLAIN_MS).toBeCloseTo(1.29, 9);
    expect(v(host96, 3) / PLAIN_MS).toBeCloseTo(1.025, 9);
    expect(host96.draft.msPerToken / PLAIN_MS).toBeCloseTo(0.034, 9);
  });

  it('reads 512 rows at 66 tokens per second and never gets cheaper with more rows', () => {
    const curve = extendedCurve(host96, 512);
    expect((512 / curve[511]!) * 1000).toBeCloseTo(66, 9);
    for (let rows = 2; rows <= 512; rows++) {
      expect(curve[rows - 1]).toBeGreaterThanOrEqual(curve[rows - 2]!);
      // Risers only where a block of 16 rows is full.
      if (rows > 5 && rows % 16 !== 1) expect(curve[rows - 1]).toBeCloseTo(curve[rows - 2]!, 9);
    }
  });
});

describe('extendedCurve', () => {
  it('repeats the last 16 rows with their rise', () => {
    const curve = extendedCurve(staircase, 80);
    const measured = new CostModel(staircase);
    for (let rows = 1; rows <= 33; rows++) expect(curve[rows - 1]).toBe(measured.verifyMs(rows, 0));
    const rise = curve[32]! - curve[16]!;
    for (let rows = 34; rows <= 80; rows++) {
      expect(curve[rows - 1]).toBeCloseTo(curve[rows - 17]! + rise, 9);
    }
  });

  it('goes on along a line where the table has fewer rows, and in proportion where it has one', () => {
    const target = [
      { rows: 1, contextLength: 0, ms: 10 },
      { rows: 9, contextLength: 0, ms: 26 },
    ];
    expect(extendedCurve({ ...staircase, target }, 20)[19]).toBeCloseTo(10 + 19 * 2, 9);
    expect(extendedCurve({ ...staircase, target: target.slice(0, 1) }, 3)[2]).toBe(30);
  });
});

describe('costsAtLoad', () => {
  it('leaves one sequence alone', () => {
    expect(costsAtLoad(staircase, 1)).toBe(staircase);
  });

  it('is worked out once for each table and load', () => {
    const model = costModelAtLoad(host96, 4);
    expect(costModelAtLoad(host96, 4)).toBe(model);
    expect(costModelAtLoad(host96, 8)).not.toBe(model);
    expect(model.curve(65, 300)).toEqual(new CostModel(costsAtLoad(host96, 4)).curve(65, 300));
  });

  it('verifies the rows of all in one batch, and drafts for all at once', () => {
    const four = costsAtLoad(host96, 4);
    const curve = extendedCurve(host96, 260);
    for (const rows of [1, 4, 5, 9, 33, 65]) expect(v(four, rows)).toBeCloseTo(curve[4 * rows - 1]!, 9);
    // v(4) / v(1) = 1.0375 by the line from 1 to 5 rows.
    expect(four.draft.msPerToken / host96.draft.msPerToken).toBeCloseTo(1.0375, 9);
  });

  it("adds every sequence's own attention, overhead and callback, and one rebuild", () => {
    const four = costsAtLoad(staircase, 4);
    const slope = (table: CostTable, rows: number) => {
      const model = new CostModel(table);
      return model.verifyMs(rows, 400) - model.verifyMs(rows, 0);
    };
    for (const rows of [1, 3, 17]) expect(slope(four, rows)).toBeCloseTo(4 * slope(staircase, rows), 9);
    expect(four).toMatchObject({ overheadMs: 0.4, callbackMs: 0.2, rebuildMs: 0.3 });
  });

  it('makes deep drafts dearer the more sequences there are', () => {
    const generation = replayable({ acceptance: 0.8, length: 200 });
    const gain = [1, 4, 16].map((sequences) => {
      const model = new CostModel(costsAtLoad(host96, sequences));
      return replay(generation, fixedDepth(0), model).ms / replay(generation, fixedDepth(8), model).ms;
    });
    expect(gain[0]).toBeGreaterThan(gain[1]!);
    expect(gain[1]).toBeGreaterThan(gain[2]!);
  });
});
