// Finds the numbers of rows after which a further row is dear: where v(n) has a riser.

import type { RowCost } from '../control/costs.js';

type Point = RowCost & { low?: number; high?: number };

/** A riser is so many times the curve's usual rise per row, */
const TIMES_TREND = 3;
/** and this share of v(n) or more: smaller ones are noise, or not worth a plan's while. */
const LEAST_SHARE = 0.04;

/**
 * Rows n, ascending, with v(n + 1) - v(n) > max(3 trend, 0.04 v(n)). The trend is the median rise per row, each gap
 * between measured points weighted by its rows: a straight line has no riser at any slope, and the level treads of a
 * staircase make its trend small. Only neighbours (n and n + 1 both measured) can be told; of several context
 * lengths the one with most points is looked at. Where the middle half of the samples is known (`low`, `high`), those of
 * the two must not overlap.
 */
export function findRisers(target: readonly Point[]): number[] {
  const points = fullestCurve(target);
  const gaps = points.slice(1).map((right, i) => {
    const left = points[i]!;
    const rows = right.rows - left.rows;
    const apart = (right.low ?? right.ms) > (left.high ?? left.ms);
    return { from: left, rows, apart, rise: (right.ms - left.ms) / rows };
  });
  const trend = Math.max(0, weightedMedian(gaps));
  return gaps
    .filter(
      ({ from, rows, apart, rise }) =>
        rows === 1 && apart && rise > Math.max(TIMES_TREND * trend, LEAST_SHARE * from.ms),
    )
    .map(({ from }) => from.rows);
}

function fullestCurve(target: readonly Point[]): Point[] {
  const curves = new Map<number, Point[]>();
  for (const point of target) {
    const curve = curves.get(point.contextLength);
    if (curve) curve.push(point);
    else curves.set(point.contextLength, [point]);
  }
  let fullest: Point[] = [];
  for (const curve of curves.values()) if (curve.length > fullest.length) fullest = curve;
  return fullest.sort((a, b) => a.rows - b.rows);
}

function weightedMedian(gaps: readonly { rows: number; rise: number }[]): number {
  const sorted = [...gaps].sort((a, b) => a.rise - b.rise);
  let left = sorted.reduce((sum, { rows }) => sum + rows, 0) / 2;
  for (const { rows, rise } of sorted) {
    left -= rows;
    if (left <= 0) return rise;
  }
  return 0;
}
