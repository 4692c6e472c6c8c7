// Reports of a replay: ratios, regret, shares and intervals, the same at every run; and the check against live speed.

import { describe, expect, it } from 'vitest';
import type { BenchRun, RunFigures } from '../../lib/bench/bench-result.js';
import { CostModel } from '../../lib/control/costs.js';
import { fixedDepth } from '../../lib/control/fixed-depth.js';
import { fixedReferences } from '../../lib/replay/best-fixed.js';
import { resample } from '../../lib/replay/bootstrap.js';
import { host96 } from '../../lib/replay/costs-host96.js';
import { type ReplayGeneration, replayGeneration } from '../../lib/replay/generation.js';
import { checkAgainstLive } from '../../lib/replay/live.js';
import { beforeLoops } from '../../lib/replay/load-trace.js';
import { namedControllers } from '../../lib/replay/named-controllers.js';
import { oracle } from '../../lib/replay/oracle.js';
import { replay } from '../../lib/replay/replay.js';
import { reportAt } from '../../lib/replay/report.js';
import { mixedTrace, replayable, staircase } from './synthetic-trace.js';

const generations: ReplayGeneration[] = mixedTrace(4).map(({ info, positions }) =>
  replayGeneration(info, positions, 31),
);
const model = new CostModel(staircase);
const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);

describe('reportAt', () => {
  const controllers = namedControllers('adaptive,fixed:3,plain');
  const report = reportAt(generations, controllers, staircase);
  const figure = (controller: string, kind = 'all') =>
    report.figures.find((f) => f.controller === controller && f.kind === kind)!;

  it('is the same at every run', () => {
    expect(JSON.stringify(reportAt(generations, controllers, staircase))).toBe(JSON.stringify(report));
  });

  it('has every controller over all and over each kind', () => {
    expect(report.figures.map(({ controller, kind }) => `${controller} ${kind}`)).toEqual(
      ['adaptive', 'fixed:3', 'plain'].flatMap((name) =>
        ['all', 'code', 'prose', 'math'].map((kind) => `${name} ${kind}`),
      ),
    );
    expect(report.fixed.map(({ depth }) => depth)).toEqual(Array.from({ length: 25 }, (_, k) => k));
  });

  it('says tokens per second, ratios and regret as sums over sums', () => {
    const ms = sum(generations.map((g) => replay(g, fixedDepth(3), model).ms));
    const tokens = sum(generations.map(({ length }) => length));
    const oracleMs = sum(generations.map((g) => oracle(g, model).ms));
    const { whole } = fixedReferences(generations, model);
    const { tokensPerSecond, ratio, timeRegret, headroomShare } = figure('fixed:3');
    const best = sum(whole.ms);
    expect(tokensPerSecond.value).toBeCloseTo((tokens / ms) * 1000, 9);
    expect(report.fixed[3]!.tokensPerSecond).toBeCloseTo(tokensPerSecond.value, 9);
    expect(ratio.bestFixed.value).toBeCloseTo(best / ms, 12);
    expect(ratio.oracle.value).toBeCloseTo(oracleMs / ms, 12);
    expect(timeRegret.oracle).toBeCloseTo(ms / oracleMs - 1, 12);
    expect(timeRegret.bestFixed).toBeCloseTo(ms / best - 1, 12);
    expect(headroomShare).toBeCloseTo((1 / ms - 1 / best) / (1 / oracleMs - 1 / best), 9);
  });

  it('gives the best fixed depth a ratio of 1 and no headroom', () => {
    const name = `fixed:${report.bestFixed.whole}`;
    const own = reportAt(generations, namedControllers(name), staircase);
    const { ratio, headroomShare, geometricMeanOverKinds, timeRegret } = own.figures[0]!;
    expect(ratio.bestFixed).toEqual({ value: 1, low: 1, high: 1 });
    expect(geometricMeanOverKinds!.value).toBeCloseTo(1, 12);
    expect(headroomShare).toBeCloseTo(0, 12);
    expect(timeRegret.bestFixed).toBeCloseTo(0, 12);
  });

  it('takes the geometric mean over kinds of ratios by kind', () => {
    const ratios = ['code', 'prose', 'math'].map((kind) => figure('adaptive', kind).ratio.bestFixed.value);
    const mean = Math.cbrt(ratios[0]! * ratios[1]! * ratios[2]!);
    expect(figure('adaptive').geometricMeanOverKinds!.value).toBeCloseTo(mean, 12);
  });

  it('counts what steps did', () => {
    const sums = generations.map((g) => replay(g, fixedDepth(3), model));
    const of = (field: 'steps' | 'tokens' | 'accepted' | 'verified') => sum(sums.map((s) => s[field]));
    expect(figure('fixed:3')).toMatchObject({
      meanDepth: 3,
      plansAsked: 0,
      controllerErrors: 0,
      wastedShare: 0,
      steps: of('steps'),
    });
    expect(figure('fixed:3').acceptanceRate).toBeCloseTo(of('accepted') / of('verified'), 12);
    expect(figure('fixed:3').meanAcceptanceLength).toBeCloseTo(of('tokens') / of('steps'), 12);
    expect(figure('adaptive').plansAsked).toBe(figure('adaptive').steps);
    expect(figure('plain')).toMatchObject({ meanDepth: 0, acceptanceRate: 0, meanAcceptanceLength: 1 });
  });

  it('puts the value inside its interval, and the oracle beyond every controller', () => {
    for (const { tokensPerSecond, ratio } of report.figures) {
      expect(tokensPerSecond.low).toBeLessThanOrEqual(tokensPerSecond.value * (1 + 1e-12));
      expect(tokensPerSecond.high).toBeGreaterThanOrEqual(tokensPerSecond.value * (1 - 1e-12));
      expect(ratio.oracle.value).toBeLessThanOrEqual(1);
    }
    expect(figure('adaptive').tokensPerSecond.high).toBeGreaterThan(figure('adaptive').tokensPerSecond.low);
  });

  it('counts the tokens of all sequences at load', () => {
    const sixteen = reportAt(generations, namedControllers('plain'), host96, 16);
    // 16 rows cost 1.05 of one.
    expect(sixteen.figures[0]!.tokensPerSecond.value).toBeCloseTo((16 * 2.86) / 1.05, 6);
    expect(sixteen.sequences).toBe(16);
  });
});

describe('resample', () => {
  it('draws prompts within their kind, generations of a prompt together', () => {
    const few = ['a', 'a', 'b', 'c', 'd'].map((id, i) => ({ id, kind: i < 3 ? 'code' : 'prose' }));
    resample(few).estimate(1, (weights) => {
      expect(weights[0]).toBe(weights[1]);
      expect(weights[0]! + weights[2]!).toBe(2);
      expect(weights[3]! + weights[4]!).toBe(2);
      return 1;
    });
  });

  it('draws over all kinds where one has a single prompt, and gives a single prompt no interval', () => {
    const lonely = [
      { id: 'a', kind: 'code' },
      { id: 'b', kind: 'prose' },
      { id: 'c', kind: 'prose' },
    ];
    const seen = new Set<number>();
    resample(lonely).estimate(1, (weights) => {
      seen.add(weights[0]!);
      return 1;
    });
    expect([...seen].sort()).toEqual([0, 1, 2, 3]);
    expect(resample(lonely.slice(0, 1)).estimate(5, () => 5)).toEqual({ value: 5, low: 5, high: 5 });
  });

  it('spreads as a mean does', () => {
    const prompts = Array.from({ length: 40 }, (_, i) => ({ id: String(i), kind: 'code' }));
    const values = prompts.map((_, i) => 100 + (i % 10));
    const weighted = (weights: Uint16Array) => sum(values.map((value, i) => value * weights[i]!)) / 40;
    const mean = sum(values) / 40;
    const deviation = Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / 39);
    const { low, high } = resample(prompts).estimate(mean, weighted);
    const half = (1.96 * deviation) / Math.sqrt(40);
    expect(Math.abs((high - low) / 2 / half - 1)).toBeLessThan(0.1);
  });
});

describe('beforeLoops', () => {
  it('counts a text up to its loop, and leaves out one that is a loop', () => {
    const looping = replayable({ length: 200, vocabulary: 1 });
    expect(beforeLoops([looping])).toEqual([]);
    const fine = replayable({ length: 60 });
    expect(beforeLoops([fine, looping])).toEqual([fine]);
    const tokens = fine.tokens.map((token, i) => (i < 20 ? token : 5));
    expect(beforeLoops([{ ...fine, tokens }])).toEqual([{ ...fine, tokens, end: 20 }]);
  });
});

describe('checkAgainstLive', () => {
  /** Runs as a bench would have them, at `factor` times the replayed time. */
  function runsOf(factor: (depth: number) => number, depths = [0, 3, 7, 8, 15, 16]): BenchRun[] {
    return depths.flatMap((depth) =>
      generations.map((g) => {
        const { tokens, ms } = replay(g, fixedDepth(depth), model);
        const figures = { tokens, decodeMs: ms * factor(depth) } as RunFigures;
        return {
          ...{ arm: depth === 0 ? 'plain' : `fixed:${depth}`, promptId: g.id, kind: g.kind, block: 0 },
          ...{ temperature: 0, all: figures, beforeLoop: figures, timeToFirstTokenMs: 1 },
          ...{ loopAt: null, tokensHash: '' },
        };
      }),
    );
  }

  it('passes where every depth is predicted within 5 %', () => {
    const check = checkAgainstLive(
      generations,
      { runs: runsOf((depth) => (depth === 7 ? 1.04 : 0.97)) },
      model,
      true,
    );
    expect(check).toMatchObject({ checked: true, within: true, missing: [], prompts: 12 });
    if (!check.checked) return;
    expect(check.depths.map(({ depth }) => depth)).toEqual([0, 3, 7, 8, 15, 16]);
    expect(check.depths[2]!.error).toBeCloseTo(0.04, 9);
    expect(check.depths[0]!.error).toBeCloseTo(-0.03, 9);
    expect(check.summary).toMatch(/^Within 5 % of live speed at every depth: .*\+4\.0 % \(K = 7\)/);
  });

  it('fails where one depth is off, either way', () => {
    for (const factor of [1.06, 0.94]) {
      const runs = runsOf((depth) => (depth === 15 ? factor : 1));
      const check = checkAgainstLive(generations, { runs }, model, true);
      expect(check).toMatchObject({ within: false });
      expect(check.summary).toMatch(/^NOT within 5 %.*K = 15/);
    }
  });

  it('does not pass where depths are missing', () => {
    const check = checkAgainstLive(generations, { runs: runsOf(() => 1, [0, 8]) }, model, true);
    expect(check).toMatchObject({ within: false, missing: [3, 7, 15, 16] });
    expect(check.summary).toMatch(/^NOT WHOLLY CHECKED/);
  });

  it('compares greedy runs of the same prompts only, and as many tokens as were live', () => {
    const runs = runsOf(() => 1);
    const others = runs.map((run) => ({ ...run, temperature: 0.7, all: { ...run.all, decodeMs: 1 } }));
    const unknown = runs.map((run) => ({
      ...run,
      promptId: `${run.promptId}x`,
      all: { ...run.all, decodeMs: 1 },
    }));
    const check = checkAgainstLive(generations, { runs: [...runs, ...others, ...unknown] }, model, false);
    expect(check).toMatchObject({ within: true, prompts: 12 });
    const halfOf = runs.map((run) => ({
      ...run,
      all: { ...run.all, tokens: 48, decodeMs: run.all.decodeMs / 2 },
    }));
    const shorter = checkAgainstLive(generations, { runs: halfOf }, model, false);
    if (!shorter.checked) throw new Error('not checked');
    // Half of the tokens take about half of the time; all of them would take twice as long.
    for (const { error } of shorter.depths) expect(Math.abs(error)).toBeLessThan(0.3);
    expect(() => checkAgainstLive(generations, { runs: others }, model, false)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', hint: expect.stringContaining('plain, fixed:3') }),
    );
  });
});
