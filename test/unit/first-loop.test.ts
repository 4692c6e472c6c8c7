// Loops in texts: what counts as one, and where it begins.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstLoop } from '../../lib/bench/loops.js';

/** Tokens that never repeat. */
const fresh = (length: number, from = 1000) => Array.from({ length }, (_, i) => from + i);
const repeat = (cycle: number[], tokens: number) =>
  Array.from({ length: tokens }, (_, i) => cycle[i % cycle.length]!);

describe('firstLoop', () => {
  it('finds none in text without repeats, in short text and in none', () => {
    expect(firstLoop(fresh(500))).toBeNull();
    expect(firstLoop([7, 7, 7])).toBeNull();
    expect(firstLoop([])).toBeNull();
  });

  it.each([1, 2, 5, 8, 13, 23])('finds a cycle of %i tokens where it begins', (length) => {
    const tokens = [...fresh(40), ...repeat(fresh(length, 1), Math.max(3 * length, 24))];
    expect(firstLoop(tokens)).toBe(40);
    expect(firstLoop(tokens.slice(0, -1))).toBeNull();
  });

  it.each([24, 64, 128])('finds a passage of %i tokens that is said twice', (length) => {
    const tokens = [...fresh(40), ...repeat(fresh(length, 1), 2 * length)];
    expect(firstLoop(tokens)).toBe(40);
    expect(firstLoop(tokens.slice(0, -1))).toBeNull();
  });

  it('knows no cycle of more than 128 tokens', () => {
    expect(firstLoop(repeat(fresh(129, 1), 1290))).toBeNull();
  });

  it('takes the first of two loops, whatever their cycles', () => {
    const tokens = [...fresh(10), ...repeat([1, 2, 3], 30), ...fresh(10, 5000), ...repeat([9], 50)];
    expect(firstLoop(tokens)).toBe(10);
    expect(firstLoop([...fresh(10), ...repeat([9], 50), ...repeat([1, 2, 3], 30)])).toBe(10);
  });

  it('agrees with the definition, spelled out', () => {
    const spelledOut = (tokens: number[]) => {
      for (let start = 0; start < tokens.length; start++) {
        for (let cycle = 1; cycle <= 128; cycle++) {
          const needed = cycle >= 24 ? 2 * cycle : Math.max(3 * cycle, 24);
          if (start + needed > tokens.length) continue;
          let same = true;
          for (let i = start + cycle; i < start + needed && same; i++) same = tokens[i] === tokens[i - cycle];
          if (same) return start;
        }
      }
      return null;
    };
    const text = fc
      .array(
        fc.tuple(
          fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 9 }),
          fc.integer({ min: 1, max: 12 }),
        ),
        {
          maxLength: 6,
        },
      )
      .map((parts) => parts.flatMap(([cycle, turns]) => repeat(cycle, cycle.length * turns)));
    fc.assert(
      fc.property(text, (tokens) => {
        expect(firstLoop(tokens)).toBe(spelledOut(tokens));
      }),
    );
  });
});
