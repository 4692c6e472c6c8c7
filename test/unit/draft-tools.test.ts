// What training a draft leaves out: loops, and prompts that are the benchmark's or near it.

import { describe, expect, it } from 'vitest';
import { COMPOSED } from '../../tools/draft/composed.mjs';
import { endsInLoop, firstLoop } from '../../tools/draft/loops.mjs';
import { benchPrompts, Overlap } from '../../tools/draft/overlap.mjs';
import { composed, isHeldOut, seeds } from '../../tools/draft/prompts.mjs';
import { auc, calibrationError, share } from '../../tools/draft/signals.mjs';

/** Numbers that differ and repeat nowhere. */
const fresh = (count: number) => Array.from({ length: count }, (_, i) => 1000 + i);
const repeated = (period: number, count: number) => Array.from({ length: count }, (_, i) => i % period);

describe("a draft's signals", () => {
  const row = (probability: number, accepted: number) => ({ probability, accepted });

  it('are sure of what is accepted, of nothing, or wrong', () => {
    expect(auc([row(0.1, 0), row(0.2, 0), row(0.8, 1), row(0.9, 1)])).toBe(1);
    expect(auc([row(0.1, 1), row(0.2, 0), row(0.8, 0), row(0.9, 1)])).toBe(0.5);
    expect(auc([row(0.9, 0), row(0.1, 1)])).toBe(0);
    expect(auc([row(0.9, 1)])).toBeNaN();
  });

  it('are as far from acceptance as their bins are, by how much is in them', () => {
    const rows = [row(0.85, 1), row(0.85, 1), row(0.85, 1), row(0.85, 0), row(0.25, 0)];
    expect(share(rows)).toBe(0.6);
    expect(calibrationError(rows)).toBeCloseTo(0.8 * 0.1 + 0.2 * 0.25, 12);
    expect(calibrationError([row(1, 1), row(0.05, 0)])).toBeCloseTo(0.025, 12);
  });
});

describe('firstLoop', () => {
  it('finds where three repetitions begin', () => {
    expect(firstLoop([...fresh(17), ...repeated(10, 30)])).toEqual({ start: 17, period: 10 });
  });

  it('wants 24 tokens of a short one', () => {
    expect(firstLoop([...fresh(5), ...repeated(2, 23)])).toBeUndefined();
    expect(firstLoop([...fresh(5), ...repeated(2, 24)])).toEqual({ start: 5, period: 2 });
  });

  it('takes two repetitions for none', () => {
    expect(firstLoop([...repeated(40, 80), ...fresh(20)])).toBeUndefined();
  });

  it('answers the earliest, whatever its period', () => {
    const tokens = [...fresh(3), ...repeated(30, 90), ...fresh(4), ...repeated(2, 40)];
    expect(firstLoop(tokens)).toEqual({ start: 3, period: 30 });
  });
});

describe('endsInLoop', () => {
  const sentence = 'The quick brown fox jumps over the lazy dog near the river. ';

  it('sees a sentence three times at the end, not twice', () => {
    expect(endsInLoop(`Once upon a time. ${sentence.repeat(3)}`)).toBe(true);
    expect(endsInLoop(`Once upon a time. ${sentence.repeat(2)}`)).toBe(false);
  });

  it('lets a loop that was left be', () => {
    expect(endsInLoop(`${sentence.repeat(3)}But then it stopped and looked around.`)).toBe(false);
  });
});

describe('Overlap', () => {
  const bench = benchPrompts();

  it.each(bench.map((prompt) => [prompt]))('refuses the benchmark prompt %#', (prompt) => {
    expect(new Overlap(bench).isNew(prompt)).toBe(false);
  });

  it('refuses a near copy and takes another task', () => {
    const overlap = new Overlap(['Explain how tides work to a curious teenager.']);
    expect(overlap.isNew('Explain how tides work to a curious child!')).toBe(false);
    expect(overlap.isNew('Explain how bees find their way home.')).toBe(true);
  });

  it('refuses what it was told of, whatever its case and signs', () => {
    const overlap = new Overlap(bench);
    overlap.add('What is rust?');
    expect(overlap.isNew('what is RUST')).toBe(false);
  });
});

describe('prompts', () => {
  it('of every family have text, and differ from draw to draw', () => {
    for (const [family, { make }] of Object.entries(COMPOSED)) {
      const texts = new Set(Array.from({ length: 40 }, () => make(Math.random)));
      expect(texts.size, family).toBeGreaterThan(1);
      for (const text of texts) {
        expect(text.length, family).toBeGreaterThan(10);
        expect(text, family).not.toMatch(/(?<!=== )undefined|NaN|\[object/);
      }
    }
  });

  it('come from some families that are held out, and far more that are not', () => {
    const families = Object.keys(COMPOSED);
    const held = families.filter(isHeldOut).length;
    expect(held).toBeGreaterThan(0);
    expect(held).toBeLessThan(families.length / 10);
  });

  it('name their kind and family', () => {
    expect(composed(() => 0)).toMatchObject({ kind: 'code', family: 'code:0' });
    expect(seeds(() => 0)).toEqual({ kind: 'open', family: 'begun:', text: '' });
  });
});
