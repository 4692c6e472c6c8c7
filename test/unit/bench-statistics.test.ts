// Statistics of a benchmark: known answers, and intervals that hold the truth as often as they claim.
import { describe, expect, it } from 'vitest';
import { pairedRatios, ratioInterval } from '../../lib/bench/comparisons.js';
import { randomFrom, shuffled } from '../../lib/bench/random.js';
import {
  bootstrap,
  coefficientOfVariation,
  geometricMean,
  median,
  quantiles,
} from '../../lib/bench/statistics.js';

describe('known answers', () => {
  it('of means, medians and quantiles', () => {
    expect(geometricMean([1, 4, 16])).toBeCloseTo(4, 12);
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(quantiles([40, 10, 30, 20], [0, 0.5, 1])).toEqual([10, 25, 40]);
    expect(quantiles([], [0.5])).toEqual([0]);
  });

  it('of the coefficient of variation: the standard deviation of a sample over the mean', () => {
    expect(coefficientOfVariation([8, 10, 12])).toBeCloseTo(0.2, 12);
    expect(coefficientOfVariation([7])).toBe(0);
  });

  it('of paired ratios: only what both have, only of the kind', () => {
    const sums = (entries: [string, string, number][]) =>
      new Map(
        entries.map(([promptId, kind, ms]) => [promptId, { promptId, kind, runs: 1, tokens: 100, ms }]),
      );
    const arm = sums([
      ['a', 'code', 100],
      ['b', 'code', 200],
      ['c', 'prose', 300],
    ]);
    const reference = sums([
      ['a', 'code', 150],
      ['c', 'prose', 300],
    ]);
    expect(pairedRatios(arm, reference, 'code')).toEqual([1.5]);
    expect(pairedRatios(arm, undefined, 'code')).toEqual([]);
  });

  it('of ratios over kinds: each kind counts the same, however many prompts it has', () => {
    const { value } = ratioInterval([[4, 4, 4, 4], [1]], randomFrom(1));
    expect(value).toBeCloseTo(2, 12);
  });
});

describe('random numbers', () => {
  it('come again from the same seed, and fill 0 to 1 evenly', () => {
    const random = randomFrom(3);
    const values = Array.from({ length: 20_000 }, random);
    expect(Array.from({ length: 20_000 }, randomFrom(3)).at(-1)).toBe(values.at(-1));
    for (let tenth = 0; tenth < 10; tenth++) {
      const inside = values.filter((value) => Math.floor(10 * value) === tenth).length;
      expect(Math.abs(inside - 2000)).toBeLessThan(200);
    }
    expect(shuffled([1, 2, 3, 4], random).sort()).toEqual([1, 2, 3, 4]);
  });
});

describe('an interval', () => {
  it('is the same for the same seed', () => {
    const strata = [
      [1.1, 1.2, 0.9],
      [1.3, 0.8, 1],
    ];
    expect(ratioInterval(strata, randomFrom(9))).toEqual(ratioInterval(strata, randomFrom(9)));
  });

  it('of a single prompt is the value, and says so', () => {
    expect(bootstrap([[2]], ([kind]) => kind![0]!, { random: randomFrom(1) })).toEqual({
      value: 2,
      low: 2,
      high: 2,
      prompts: 1,
    });
  });

  it('of one prompt per kind is drawn over all kinds, and has a width', () => {
    const { low, high, prompts } = ratioInterval([[0.8], [1], [1.25]], randomFrom(1));
    expect(prompts).toBe(3);
    expect(low).toBeLessThan(0.9);
    expect(high).toBeGreaterThan(1.1);
  });

  it('grows with the spread between prompts, not with the number of their runs', () => {
    const width = (spread: number) => {
      const { low, high } = ratioInterval([[1 - spread, 1, 1 + spread, 1]], randomFrom(4));
      return high - low;
    };
    expect(width(0.2)).toBeGreaterThan(3 * width(0.05));
  });

  /** Share of simulated benchmarks whose interval holds the truth. Log ratios: one for the kind, noise by prompt. */
  function coverage(kinds: number, promptsPerKind: number, simulations: number): number {
    const random = randomFrom(42);
    const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    let held = 0;
    for (let i = 0; i < simulations; i++) {
      const truths = Array.from({ length: kinds }, (_, kind) => 0.05 * kind);
      const strata = truths.map((truth) =>
        Array.from({ length: promptsPerKind }, () => Math.exp(truth + 0.1 * normal())),
      );
      const truth = Math.exp(truths.reduce((sum, value) => sum + value, 0) / kinds);
      const { low, high } = ratioInterval(strata, random);
      if (low <= truth && truth <= high) held++;
    }
    return held / simulations;
  }

  it.each([
    [7, 3],
    [7, 8],
    [6, 2],
  ])('of %i kinds with %i prompts each holds the truth in about 95 % of simulations', (kinds, prompts) => {
    const share = coverage(kinds, prompts, 300);
    expect(share).toBeGreaterThan(0.9);
    expect(share).toBeLessThan(0.99);
  });
});
