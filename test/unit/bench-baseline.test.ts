// Baselines of a benchmark: what counts as a regression, and what can't be compared.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { baselineOf, compareWithBaseline, hashPrompts, readBaseline } from '../../lib/bench/baseline.js';
import type { BenchResult, BenchRun } from '../../lib/bench/bench-result.js';
import { randomFrom } from '../../lib/bench/random.js';
import { runOf } from './bench-runs.js';

const ARMS = ['plain', 'fixed:8'];

/** A result whose arms run at `speed` times 100 tokens per second, give or take. */
function resultOf(speed: Record<string, number>, more: Partial<BenchResult> = {}): BenchResult {
  const random = randomFrom(7);
  const runs: BenchRun[] = ARMS.filter((arm) => arm in speed).flatMap((arm) =>
    ['code', 'prose'].flatMap((kind) =>
      [1, 2, 3, 4].map((prompt) => runOf(arm, kind, prompt, 100 * speed[arm]! * (1 + 0.02 * random()))),
    ),
  );
  return {
    createdAt: '2026-01-01T00:00:00.000Z',
    environment: {
      cpu: 'Some CPU',
      commit: 'abc',
      kernels: 'avx2',
      targetThreads: 2,
      models: [{ file: 'm.gguf', sha256: '00' }],
      promptsSha256: '11',
    },
    settings: { maxTokens: 64, seed: 1 },
    fitness: { fit: true, reasons: [], loadOfOthers: 0, spread: 0 },
    runs,
    ...more,
  } as BenchResult;
}

const before = baselineOf(resultOf({ plain: 1, 'fixed:8': 1 }));
const status = (result: BenchResult, options = {}) => compareWithBaseline(result, before, options).status;

describe('a comparison with a baseline', () => {
  it('finds no regression in equal or faster runs, nor in a loss within the tolerance', () => {
    expect(status(resultOf({ plain: 1, 'fixed:8': 1 }))).toBe('no regression');
    expect(status(resultOf({ plain: 1.2, 'fixed:8': 1.1 }))).toBe('no regression');
    expect(status(resultOf({ plain: 1, 'fixed:8': 0.96 }))).toBe('no regression');
  });

  it('finds one arm that is slower', () => {
    const verdict = compareWithBaseline(resultOf({ plain: 1, 'fixed:8': 0.9 }), before);
    expect(verdict.status).toBe('regression');
    expect(verdict.comparisons.map(({ arm, regression }) => [arm, regression])).toEqual([
      ['plain', false],
      ['fixed:8', true],
    ]);
    expect(verdict.comparisons[1]!.ratio.value).toBeCloseTo(0.9, 6);
    expect(status(resultOf({ plain: 1, 'fixed:8': 0.9 }), { tolerance: 0.2 })).toBe('no regression');
  });

  it('does not take scatter for a regression', () => {
    const result = resultOf({ plain: 1, 'fixed:8': 1 });
    // Half of the prompts much slower, half much faster: slower on average, but that is chance.
    for (const [i, run] of result.runs.entries()) run.beforeLoop.decodeMs *= i % 2 ? 2 : 0.56;
    expect(status(result)).toBe('no regression');
  });

  it.each([
    ['another CPU', { cpu: 'Another CPU' }, /cpu was Some CPU and is Another CPU/],
    ['other threads', { targetThreads: 4 }, /threads was 2 and is 4/],
    ['other kernels', { kernels: 'ggml' }, /kernels/],
    ['other models', { models: [{ sha256: '01' }] }, /models/],
    ['other prompts', { promptsSha256: '22' }, /prompts/],
  ])('says nothing with %s', (_, change, reason) => {
    const result = resultOf({ plain: 1, 'fixed:8': 1 });
    const verdict = compareWithBaseline(
      { ...result, environment: { ...result.environment, ...change } },
      before,
    );
    expect(verdict.status).toBe('incomparable');
    expect(verdict.reasons.join()).toMatch(reason);
  });

  it('says nothing of an arm that was not measured, or on fewer prompts', () => {
    const without = compareWithBaseline(resultOf({ plain: 1 }), before);
    expect(without.status).toBe('incomparable');
    expect(without.reasons.join()).toMatch(/fixed:8 at temperature 0 was not measured/);
    const result = resultOf({ plain: 1, 'fixed:8': 1 });
    const fewer = compareWithBaseline({ ...result, runs: result.runs.slice(1) }, before);
    expect(fewer.reasons.join()).toMatch(/plain at temperature 0 was measured on 7 prompts only/);
  });

  it('says nothing of unfit runs, unless that is allowed', () => {
    const fitness = { fit: false, reasons: ['a build was running'], loadOfOthers: 1, spread: 0 };
    const unfit = resultOf({ plain: 1, 'fixed:8': 1 }, { fitness });
    expect(status(unfit)).toBe('incomparable');
    expect(status(unfit, { allowUnfit: true })).toBe('no regression');
    const verdict = compareWithBaseline(resultOf({ plain: 1, 'fixed:8': 1 }), baselineOf(unfit));
    expect(verdict.reasons.join()).toMatch(/baseline was made on a machine that was not quiet/);
  });
});

describe('a baseline file', () => {
  it('is read again as it was written, and anything else is refused', () => {
    const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-baseline-'));
    try {
      const path = join(folder, 'baseline.json');
      writeFileSync(path, JSON.stringify(before));
      expect(readBaseline(path)).toEqual(before);
      writeFileSync(path, '{"format":"adaptive-spec-bench"}');
      expect(() => readBaseline(path)).toThrow(/is no baseline: format/);
      writeFileSync(path, 'no JSON');
      expect(() => readBaseline(path)).toThrow(/can't be read/);
      expect(() => readBaseline(join(folder, 'none'))).toThrow(/can't be read/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('tells prompts by their ids and texts, in any order', () => {
    const a = { id: 'a', prompt: 'x' };
    const b = { id: 'b', prompt: 'y' };
    expect(hashPrompts([a, b])).toBe(hashPrompts([b, a]));
    expect(hashPrompts([a, b])).not.toBe(hashPrompts([a, { id: 'b', prompt: 'z' }]));
  });
});
