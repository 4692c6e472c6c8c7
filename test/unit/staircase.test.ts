// Risers of a cost curve: found where they are, and nowhere on straight lines.
import { describe, expect, it } from 'vitest';
import { findRisers } from '../../lib/calibration/staircase.js';
import { random } from '../native/tiny-engine.js';

const USUAL = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 25, 32, 33];
const curve = (v: (n: number) => number, rows = USUAL) =>
  rows.map((n) => ({ rows: n, contextLength: 0, ms: v(n) }));

describe('risers', () => {
  it.each<[string, (n: number) => number, number[]]>([
    [
      "the experiment's machine: level, and a riser after 16",
      (n) => 350 * (n > 16 ? 1.29 : n > 1 ? 1.05 : 1),
      [1, 16],
    ],
    ['tiles of four rows', (n) => 10 * Math.ceil(n / 4), [4, 8, 12, 16, 24, 32]],
    ['tiles of eight rows over a slope', (n) => 20 + 0.2 * n + 5 * Math.ceil(n / 8), [8, 16, 24, 32]],
    [
      'a row more for each that is left of four',
      (n) => 10 + 2 * Math.floor(n / 4) + 3 * (n % 4 > 0 ? 1 : 0),
      [4, 8, 12, 16, 24, 32],
    ],
    ['a level line', () => 7, []],
    ['a gentle line', (n) => 20 + 0.1 * n, []],
    ['a steep line', (n) => 1 + 5 * n, []],
    ['a parabola', (n) => 20 + 0.01 * n * n, []],
  ])('%s', (_, v, expected) => {
    expect(findRisers(curve(v))).toEqual(expected);
  });

  it('are not made of noise', () => {
    const next = random(7);
    for (let i = 0; i < 50; i++)
      expect(findRisers(curve((n) => (20 + 0.3 * n) * (1 + 0.01 * (2 * next() - 1))))).toEqual([]);
  });

  it('are no overlap of two samples', () => {
    const points = curve((n) => (n > 8 ? 12 : 10)).map((p) => ({ ...p, low: p.ms - 1, high: p.ms + 0.5 }));
    expect(findRisers(points)).toEqual([8]);
    expect(findRisers(points.map((p) => ({ ...p, high: p.ms + 2 })))).toEqual([]);
  });

  it('are told of neighbours only, at the context length with most points, in any order', () => {
    expect(findRisers(curve((n) => (n > 4 ? 20 : 10), [1, 2, 9, 17]))).toEqual([]);
    const far = curve((n) => (n > 1 ? 90 : 30), [1, 2]).map((p) => ({ ...p, contextLength: 1024 }));
    expect(findRisers([...far, ...curve((n) => (n > 12 ? 20 : 10)).reverse()])).toEqual([12]);
    expect(findRisers([])).toEqual([]);
  });
});
