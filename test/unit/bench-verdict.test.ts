// The verdict of a benchmark, and what makes a run unfit.
import { describe, expect, it } from 'vitest';
import type { BenchRun } from '../../lib/bench/bench-result.js';
import { compareArms } from '../../lib/bench/comparisons.js';
import { busyMs, judgeFitness, LoadWatch, plainSpread } from '../../lib/bench/noise.js';
import { randomFrom } from '../../lib/bench/random.js';
import { judgeSpread, judgeThroughput, verdicts } from '../../lib/bench/verdict.js';
import { runOf } from './bench-runs.js';

const interval = (value: number, low: number, high: number) => ({ value, low, high });

describe('throughput is', () => {
  it.each([
    ['met', 0.12, 0.02, 0.22],
    ['met', 0.1, 0.001, 0.2],
    ['inconclusive', 0.12, -0.01, 0.25],
    ['inconclusive', 0.09, 0.05, 0.11],
    ['not met', 0.05, 0.02, 0.09],
    ['not met', -0.2, -0.3, -0.1],
  ] as const)('%s with a gain of %f (%f to %f)', (answer, value, low, high) => {
    expect(judgeThroughput(interval(value, low, high))).toBe(answer);
  });
});

describe('spread is', () => {
  it.each([
    ['met', [0.01, -0.01, 0.03], [-0.1, -0.15, -0.05]],
    ['inconclusive', [0, -0.05, 0.05], [-0.1, -0.15, -0.05]],
    ['inconclusive', [0.05, 0.01, 0.09], [-0.05, -0.12, 0.02]],
    ['not met', [-0.05, -0.08, -0.03], [-0.1, -0.15, -0.05]],
    ['not met', [0.05, 0.01, 0.09], [0.1, 0.05, 0.15]],
  ] as const)('%s with a gain of %o and a difference of %o', (answer, gain, difference) => {
    expect(judgeSpread(interval(...gain), interval(...difference))).toBe(answer);
  });
});

describe('a verdict', () => {
  const fit = { fit: true, reasons: [], loadOfOthers: 0, spread: 0.01 };
  const equal = { equal: true, compared: 10, differing: [] };
  const speeds: Record<string, Record<string, number>> = {
    plain: { code: 100, prose: 100, math: 100 },
    'fixed:8': { code: 200, prose: 60, math: 100 },
    'fixed:4': { code: 130, prose: 90, math: 100 },
    adaptive: { code: 190, prose: 120, math: 130 },
    slow: { code: 100, prose: 30, math: 50 },
  };
  const runs: BenchRun[] = Object.entries(speeds).flatMap(([arm, byKind]) =>
    Object.entries(byKind).flatMap(([kind, speed]) =>
      [1, 2, 3].map((prompt) => runOf(arm, kind, prompt, speed * (1 + 0.01 * prompt))),
    ),
  );
  const judge = (more = {}) =>
    verdicts({
      runs,
      comparisons: compareArms(runs, 'beforeLoop', randomFrom(1)),
      fitness: fit,
      equality: equal,
      random: randomFrom(2),
      ...more,
    });

  it('is given for every arm that adapts, against the best fixed depth', () => {
    expect(judge().map(({ arm, bestFixed }) => [arm, bestFixed])).toEqual([
      ['adaptive', 'fixed:8'],
      ['slow', 'fixed:8'],
    ]);
  });

  it('meets both where the arm is faster and steadier', () => {
    const [adaptive] = judge();
    expect(adaptive).toMatchObject({ throughput: 'met', spread: 'met' });
    expect(adaptive!.gain.value).toBeCloseTo(((190 * 120 * 130) / (200 * 60 * 100)) ** (1 / 3) - 1, 6);
    expect(adaptive!.spreadOfArm).toBeLessThan(adaptive!.spreadOfBestFixed);
    expect(adaptive!.summary.join(' ')).toMatch(/is met\..*is met\..*Weakest kind.*code/);
  });

  it('meets neither where it is slower', () => {
    expect(judge()[1]).toMatchObject({ throughput: 'not met', spread: 'not met' });
  });

  it('is inconclusive in an unfit run, and says why', () => {
    const fitness = { fit: false, reasons: ['a build was running'], loadOfOthers: 1, spread: 0 };
    const [adaptive] = judge({ fitness });
    expect(adaptive).toMatchObject({ throughput: 'inconclusive', spread: 'inconclusive' });
    expect(adaptive!.summary.at(-1)).toMatch(/a build was running/);
  });

  it('is inconclusive where tokens of the arm or of its reference differ, not for another', () => {
    const differing = (arm: string) => ({
      equality: { equal: false, compared: 10, differing: [{ promptId: 'code-1', arm, at: 3 }] },
    });
    expect(judge(differing('adaptive'))[0]).toMatchObject({ throughput: 'inconclusive' });
    expect(judge(differing('fixed:8'))[0]).toMatchObject({ throughput: 'inconclusive' });
    expect(judge(differing('fixed:4'))[0]).toMatchObject({ throughput: 'met' });
  });

  it('is inconclusive with one prompt of a kind, or with one kind', () => {
    const few = runs.filter(({ kind, promptId }) => kind !== 'math' || promptId.endsWith('1'));
    const of = (chosen: BenchRun[]) =>
      judge({ runs: chosen, comparisons: compareArms(chosen, 'beforeLoop', randomFrom(1)) })[0]!;
    expect(of(few)).toMatchObject({ throughput: 'inconclusive' });
    expect(of(few).summary.at(-1)).toMatch(/single prompt of math/);
    expect(of(runs.filter(({ kind }) => kind === 'code'))).toMatchObject({ throughput: 'inconclusive' });
  });

  it('says so where plain decoding beats every fixed depth', () => {
    const slow = runs.map((run) => (run.arm === 'plain' ? runOf('plain', run.kind, 1, 500) : run));
    const [adaptive] = judge({ runs: slow, comparisons: compareArms(slow, 'beforeLoop', randomFrom(1)) });
    expect(adaptive!.summary.join(' ')).toMatch(/Plain decoding is faster here than any fixed depth/);
  });

  it('is not given without a fixed depth', () => {
    const chosen = runs.filter(({ arm }) => !arm.startsWith('fixed'));
    expect(judge({ runs: chosen, comparisons: compareArms(chosen, 'beforeLoop', randomFrom(1)) })).toEqual(
      [],
    );
  });
});

describe('the load of others', () => {
  it('is read from /proc/stat: all but idle and waiting, what a hypervisor stole included', () => {
    expect(busyMs('cpu  100 10 30 5000 60 5 5 7 50 0\ncpu0 1 1 1 1')).toBe(1570);
    expect(busyMs('intr 5')).toBeNull();
  });

  it("is what is left of the CPUs' busy time without our own, per second", () => {
    let stat = 'cpu  1000 0 0 5000 0 0 0 0 0 0';
    let own = 500;
    let now = 0;
    const watch = new LoadWatch({ readProcStat: () => stat, ownMs: () => own, now: () => now });
    stat = 'cpu  1300 0 0 5000 0 0 0 0 0 0'; // 3 s busy,
    own = 2500; // 2 s of them ours,
    now = 2000; // within 2 s.
    expect(watch.cores).toBeCloseTo(0.5, 9);
  });

  it('is unknown where there is no /proc/stat', () => {
    const watch = new LoadWatch({
      readProcStat: () => {
        throw new Error('ENOENT');
      },
    });
    expect(watch.cores).toBeNull();
    expect(judgeFitness(null, 0, 2)).toMatchObject({ fit: false });
  });

  it('that is low, with equal runs equal, is fit', () => {
    expect(judgeFitness(0.05, 0.02, 2)).toMatchObject({ fit: true, reasons: [] });
    expect(judgeFitness(0.5, 0.02, 2).reasons).toEqual([expect.stringMatching(/0\.50 of 2 cores/)]);
    expect(judgeFitness(0.05, 0.2, 2).reasons).toEqual([expect.stringMatching(/differ by 20\.0 %/)]);
  });
});

describe('the spread of plain decoding', () => {
  it('is that of equal runs, not that between prompts', () => {
    const runs = [
      runOf('plain', 'code', 1, 100),
      runOf('plain', 'code', 1, 110),
      runOf('plain', 'code', 2, 300),
      runOf('plain', 'code', 2, 330),
      runOf('fixed:8', 'code', 2, 900),
    ];
    expect(plainSpread(runs)).toBeCloseTo(Math.log(1.1) / Math.SQRT2, 9);
    expect(plainSpread([runOf('plain', 'code', 1, 100)])).toBe(0);
  });
});
