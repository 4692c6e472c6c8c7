// A cost model between and beyond its table's points.
import { describe, expect, it } from 'vitest';
import { CostModel, type RowCost } from '../../lib/control/costs.js';

const model = (...target: [rows: number, contextLength: number, ms: number][]) =>
  new CostModel({
    target: target.map(([rows, contextLength, ms]): RowCost => ({ rows, contextLength, ms })),
    draft: { msPerToken: 1, threads: 1 },
    overheadMs: 0,
    rebuildMs: 0,
    callbackMs: 0,
  });

describe('a cost model', () => {
  it('has straight lines between points, and is level before the first', () => {
    const costs = model([9, 0, 30], [3, 0, 12], [5, 0, 14]);
    expect([...costs.curve(9, 0)]).toEqual([12, 12, 12, 13, 14, 18, 22, 26, 30]);
    expect(costs.verifyMs(0, 0)).toBe(12);
  });

  it('goes on beyond the last point as over the upper half, not as over a riser at its end', () => {
    const costs = model([1, 0, 10], [16, 0, 25], [32, 0, 41], [33, 0, 61]);
    expect(costs.verifyMs(34, 0)).toBeCloseTo(61 + 36 / 17, 9);
    expect(model([1, 0, 10], [32, 0, 12], [33, 0, 9]).verifyMs(60, 0)).toBe(9);
    expect(model([4, 0, 7]).verifyMs(60, 0)).toBe(7);
  });

  it('adds the slope over the context, which risers between the points of a long one leave alone', () => {
    const points: [number, number, number][] = [
      ...[1, 8, 9, 16].map((n): [number, number, number] => [n, 0, n > 8 ? 20 : 10]),
      [1, 1000, 15],
      [16, 1000, 25],
    ];
    const costs = model(...points);
    for (const rows of [1, 5, 8, 9, 12, 16, 40])
      expect(costs.verifyMs(rows, 500) - costs.verifyMs(rows, 0)).toBeCloseTo(2.5, 9);
  });

  it('never becomes cheaper with the context', () => {
    expect(model([1, 0, 10], [1, 1000, 8]).verifyMs(1, 2000)).toBe(10);
    expect(model([1, 100, 10], [1, 1000, 19]).verifyMs(1, 0)).toBe(10);
  });
});
