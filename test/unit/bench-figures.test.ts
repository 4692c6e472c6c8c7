// Figures of a benchmark: sums of steps before the first loop, distributions, comparisons, regret, costs of steps.
import { describe, expect, it } from 'vitest';
import { armFigures } from '../../lib/bench/arm-figures.js';
import { bestFixed, compareArms, regretOf } from '../../lib/bench/comparisons.js';
import { compareTokens, firstDifference } from '../../lib/bench/equality.js';
import { firstLoop } from '../../lib/bench/loops.js';
import { sumsByPrompt } from '../../lib/bench/prompt-sums.js';
import { randomFrom } from '../../lib/bench/random.js';
import { detailSteps, sumSteps } from '../../lib/bench/run-figures.js';
import { costsOfSteps } from '../../lib/bench/step-costs.js';
import { timelinesOf } from '../../lib/bench/timelines.js';
import { figures, measuredOf, runOf, step } from './bench-runs.js';

describe('the first loop', () => {
  const words = (length: number) => Array.from({ length }, (_, i) => 1000 + i);

  it('is where a cycle begins that is repeated three times and 24 tokens long', () => {
    const cycle = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    expect(firstLoop([...words(12), ...cycle, ...cycle, ...cycle])).toBe(12);
    expect(firstLoop([...words(5), ...Array(24).fill(7)])).toBe(5);
    expect(firstLoop([...Array(24).fill(7), ...words(5)])).toBe(0);
  });

  it('is not what is repeated twice, or short, or never', () => {
    const cycle = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
    expect(firstLoop([...words(5), ...cycle, ...cycle])).toBeNull();
    expect(firstLoop([...words(5), ...Array(23).fill(7)])).toBeNull();
    expect(firstLoop(words(300))).toBeNull();
    expect(firstLoop([])).toBeNull();
  });

  it('is looked for up to passages of 128 tokens', () => {
    const cycle = words(128);
    expect(firstLoop([1, ...cycle, ...cycle])).toBe(1);
    const longer = words(129);
    expect(firstLoop([1, ...longer, ...longer, ...longer])).toBeNull();
  });
});

describe('sums of steps', () => {
  // Tokens 0-2, 3-7 and 8.
  const steps = [step(3, 2), step(8, 4), step(9, 0, { verified: 3 })];

  it('are of all steps where there is no loop', () => {
    expect(sumSteps(steps, 9)).toEqual({
      tokens: 9,
      steps: 3,
      drafted: 12,
      verified: 11,
      accepted: 6,
      decodeMs: 21,
      draftMs: 3,
      verifyMs: 15,
      catchUpMs: 1.5,
      otherMs: 1.5,
    });
  });

  it('end with a loop, and the step that it begins in counts by its share', () => {
    // Two of the five tokens of the second step.
    const before = sumSteps(steps, 5);
    expect(before.tokens).toBe(5);
    expect(before.steps).toBeCloseTo(1.4, 12);
    expect(before.decodeMs).toBeCloseTo(7 * 1.4, 12);
    expect(before.drafted).toBeCloseTo(4 * 1.4, 12);
    expect(sumSteps(steps, 0)).toMatchObject({ tokens: 0, steps: 0, decodeMs: 0 });
  });

  it('tell gaps as a reader has them: none within a step, none before the first token', () => {
    expect(detailSteps(steps, 9).gapsMs).toEqual([0, 0, 7, 0, 0, 0, 0, 7]);
    expect(detailSteps(steps, 5).gapsMs).toEqual([0, 0, 7, 0]);
  });

  it('tell verified and accepted by place, lengths and depths', () => {
    const detail = detailSteps(steps, 9);
    expect(detail.verifiedAt).toEqual([3, 3, 3, 2]);
    expect(detail.acceptedAt).toEqual([2, 2, 1, 1]);
    expect(detail.lengths).toEqual([1, 0, 1, 0, 1]);
    expect(detail.depthByPosition).toEqual([{ sum: 12, steps: 3 }]);
  });
});

describe('figures of an arm', () => {
  const measured = [
    measuredOf(runOf('fixed:4', 'code', 1, 1), [step(5, 4), step(6, 0)]),
    measuredOf(runOf('fixed:4', 'prose', 1, 1, { loopAt: 1 }), [step(1, 0, { verifyMs: 13 }), step(6, 4)]),
  ];
  const all = armFigures(measured, 'beforeLoop', randomFrom(1));
  const of = (kind: string) => all.find((one) => one.kind === kind)!;

  it('are over all and by kind', () => {
    expect(all.map(({ kind }) => kind)).toEqual(['all', 'code', 'prose']);
    expect(of('all').runs).toBe(2);
  });

  it('are ratios of sums, before the loop and for all tokens', () => {
    expect(of('code').tokensPerSecond.value).toBeCloseTo((1000 * 6) / 14, 9);
    expect(of('prose').tokensPerSecond.value).toBeCloseTo(1000 / 15, 9);
    expect(of('prose').tokensPerSecondAll.value).toBeCloseTo((1000 * 6) / 22, 9);
    expect(of('all').tokensPerSecond.value).toBeCloseTo((1000 * 7) / 29, 9);
  });

  it('tell acceptance, lengths, depths and phases', () => {
    const code = of('code');
    expect(code.acceptanceRate).toBe(0.5);
    expect(code.meanAcceptanceLength).toBe(3);
    expect(code.acceptanceByPosition).toEqual([0.5, 0.5, 0.5, 0.5]);
    expect(code.acceptedLengthShares).toEqual([0.5, 0, 0, 0, 0.5]);
    expect(code.meanDepth).toBe(4);
    expect(code.depthByPosition).toEqual([4]);
    expect(of('all').acceptanceRateQuartiles).toEqual({
      min: 0,
      p25: 0.125,
      p50: 0.25,
      p75: 0.375,
      max: 0.5,
    });
    const { draft, verify, catchUp, other } = code.phases;
    expect([draft, verify, catchUp, other]).toEqual([2 / 14, 10 / 14, 1 / 14, 1 / 14]);
    expect(code.timeToFirstTokenMs).toEqual({ p50: 20, p95: 20 });
  });

  it('are each given for all tokens too', () => {
    const whole = armFigures(measured, 'all', randomFrom(1));
    const [before, prose] = [of('prose'), whole.find((one) => one.kind === 'prose')!];
    // The step after the loop's begin accepts its whole draft, the one before it nothing.
    expect([before.acceptanceRate, prose.acceptanceRate]).toEqual([0, 0.5]);
    expect([before.meanAcceptanceLength, prose.meanAcceptanceLength]).toEqual([1, 3]);
    expect([before.acceptanceByPosition, prose.acceptanceByPosition]).toEqual([
      [0, 0, 0, 0],
      [0.5, 0.5, 0.5, 0.5],
    ]);
    expect([before.acceptedLengthShares, prose.acceptedLengthShares]).toEqual([[1], [0.5, 0, 0, 0, 0.5]]);
    expect(prose.acceptanceRateQuartiles.max).toBe(0.5);
    expect([before.tokenGapMs.p99, prose.tokenGapMs.p99]).toEqual([0, expect.closeTo(6.72, 9)]);
    expect([before.phases.verify, prose.phases.verify]).toEqual([13 / 15, 18 / 22]);
    expect(prose.tokensPerSecond).toEqual(prose.tokensPerSecondAll);
    expect(prose.tokensPerSecond.value).toBe(before.tokensPerSecondAll.value);
    // Of a text without a loop both are the same.
    const code = whole.find((one) => one.kind === 'code')!;
    expect(code).toEqual(of('code'));
  });

  it('are of K over the whole text, or of its begin', () => {
    const steps = Array.from({ length: 40 }, (_, i) => step(i + 1, 0, { depth: i < 16 ? 2 : 6 }));
    const run = [measuredOf(runOf('auto', 'code', 1, 1, { loopAt: 16 }), steps)];
    const depths = (part: 'all' | 'beforeLoop') => armFigures(run, part, randomFrom(1))[0]!;
    expect([depths('beforeLoop').depthByPosition, depths('beforeLoop').meanDepth]).toEqual([[2], 2]);
    expect([depths('all').depthByPosition, depths('all').meanDepth]).toEqual([[2, 6, 6], 4.4]);
  });

  it('tell the spread over kinds', () => {
    const speeds = ['code', 'prose'].map((kind) => of(kind).tokensPerSecond.value);
    const mean = (speeds[0]! + speeds[1]!) / 2;
    expect(of('all').spreadOverKinds).toBeCloseTo(Math.abs(speeds[0]! - speeds[1]!) / Math.SQRT2 / mean, 9);
    expect(of('code').spreadOverKinds).toBeUndefined();
  });
});

describe('comparisons', () => {
  // Best of code is 16, of prose 4; over both kinds 8.
  const speeds: Record<string, [code: number, prose: number]> = {
    plain: [100, 90],
    'fixed:4': [120, 80],
    'fixed:8': [200, 70],
    'fixed:16': [240, 40],
    adaptive: [240, 80],
  };
  const runs = Object.entries(speeds).flatMap(([arm, [code, prose]]) =>
    [1, 2].flatMap((prompt) => [
      runOf(arm, 'code', prompt, code * prompt),
      runOf(arm, 'prose', prompt, prose * prompt),
    ]),
  );
  const comparisons = compareArms(runs, 'beforeLoop', randomFrom(1));
  const find = (against: string, kind: string) =>
    comparisons.find((one) => one.arm === 'adaptive' && one.against === against && one.kind === kind)!;

  it('know the best fixed depth over all kinds', () => {
    expect(bestFixed(sumsByPrompt(runs, 'beforeLoop'))).toBe('fixed:8');
    expect(bestFixed(sumsByPrompt([runOf('plain', 'code', 1, 1)], 'beforeLoop'))).toBeUndefined();
  });

  it('are against the best fixed depth, over all by the geometric mean of kinds', () => {
    expect(find('best fixed', 'code').ratio.value).toBeCloseTo(1.2, 9);
    expect(find('best fixed', 'prose').ratio.value).toBeCloseTo(80 / 70, 9);
    expect(find('best fixed', 'all').ratio.value).toBeCloseTo(Math.sqrt(1.2 * (80 / 70)), 9);
    expect(find('best fixed', 'all').referenceArm).toBe('fixed:8');
  });

  it('are against the best fixed depth of each kind', () => {
    expect(find('best fixed of kind', 'code')).toMatchObject({ referenceArm: 'fixed:16' });
    expect(find('best fixed of kind', 'prose')).toMatchObject({ referenceArm: 'fixed:4' });
    expect(find('best fixed of kind', 'all').ratio.value).toBeCloseTo(1, 9);
  });

  it('are against the better of plain and best fixed on each kind', () => {
    const against = 'better of plain and best fixed';
    expect(find(against, 'code')).toMatchObject({ referenceArm: 'fixed:8' });
    expect(find(against, 'prose')).toMatchObject({ referenceArm: 'plain' });
    expect(find(against, 'prose').ratio.value).toBeCloseTo(80 / 90, 9);
  });

  it('are against plain for every arm', () => {
    const arms = comparisons.filter(({ against, kind }) => against === 'plain' && kind === 'all');
    expect(arms.map(({ arm }) => arm)).toEqual(['fixed:4', 'fixed:8', 'fixed:16', 'adaptive']);
  });

  it('have no interval wider than nothing where every prompt has the same ratio', () => {
    const { value, low, high } = find('best fixed', 'all').ratio;
    expect(high - low).toBeLessThan(1e-9);
    expect(value).toBeGreaterThan(low - 1e-9);
  });

  it('are of all tokens by the best fixed depth of all tokens', () => {
    // A loop, in which the deepest is the fastest.
    const looped = runs.map((run) => ({
      ...run,
      all: runOf(run.arm, run.kind, 1, run.arm === 'fixed:16' ? 500 : run.arm === 'adaptive' ? 600 : 100).all,
    }));
    const all = compareArms(looped, 'all', randomFrom(1)).find(
      ({ arm, against, kind }) => arm === 'adaptive' && against === 'best fixed' && kind === 'all',
    )!;
    expect(all.referenceArm).toBe('fixed:16');
    expect(all.ratio.value).toBeCloseTo(1.2, 9);
    expect(compareArms(looped, 'beforeLoop', randomFrom(1))).toEqual(comparisons);
    const regret = regretOf(looped, 'all').find(({ arm, kind }) => arm === 'plain' && kind === 'all')!;
    expect(regret.value).toBeCloseTo(4, 9);
  });

  it('tell the regret against the best depth of each prompt', () => {
    const regret = regretOf(runs, 'beforeLoop');
    const value = (arm: string, kind: string) =>
      regret.find((one) => one.arm === arm && one.kind === kind)!.value;
    expect(value('fixed:16', 'code')).toBeCloseTo(0, 12);
    expect(value('plain', 'prose')).toBeCloseTo(0, 12);
    expect(value('fixed:8', 'code')).toBeCloseTo(0.2, 9);
    expect(value('fixed:8', 'prose')).toBeCloseTo(90 / 70 - 1, 9);
    // Times add up over kinds: 1/240 + 1/80 over 1/240 + 1/90.
    expect(value('adaptive', 'all')).toBeCloseTo((1 / 240 + 1 / 80) / (1 / 240 + 1 / 90) - 1, 9);
  });
});

describe('tokens of arms', () => {
  const measured = (arm: string, hash: string, tokens: number[], more = {}) => ({
    ...measuredOf(runOf(arm, 'code', 1, 1, { tokensHash: hash, ...more }), [step(1, 0)], tokens),
  });

  it('are compared with plain decoding of the same text', () => {
    const equality = compareTokens([
      measured('fixed:8', 'b', [1, 2, 9, 4]),
      measured('plain', 'a', [1, 2, 3, 4]),
      measured('adaptive', 'a', [1, 2, 3, 4]),
      measured('plain', 'c', [7, 8], { temperature: 0.7 }),
      measured('fixed:8', 'c', [7, 8], { temperature: 0.7 }),
    ]);
    expect(equality).toEqual({
      equal: false,
      compared: 3,
      differing: [{ promptId: 'code-1', arm: 'fixed:8', at: 2, temperature: 0 }],
    });
  });

  it('that are sampled are compared within a block, whose seed they share', () => {
    const sampled = (block: number) => ({ temperature: 0.7, block });
    const equality = compareTokens([
      measured('plain', 'a', [1], sampled(0)),
      measured('plain', 'b', [2], sampled(1)),
      measured('fixed:8', 'b', [2], sampled(1)),
    ]);
    expect(equality).toEqual({ equal: true, compared: 1, differing: [] });
  });

  it('differ first where one ends, too', () => {
    expect(firstDifference([1, 2], [1, 2, 3])).toBe(2);
  });
});

describe('costs of steps', () => {
  it('are means by rows, with what a change costs apart', () => {
    const repeat = (rows: number, verifyMs: number, count: number) =>
      Array.from({ length: count }, (_, i) =>
        step(1, 0, {
          rows,
          verifyMs: i === 0 ? verifyMs + 2 : verifyMs,
          otherMs: 0.25,
          drafted: rows - 1,
          draftMs: rows > 1 ? 0.3 + 0.1 * (rows - 1) : 0,
        }),
      );
    const phases = Array.from({ length: 6 }, () => [...repeat(1, 3, 3), ...repeat(5, 4, 3)]).flat();
    const costs = costsOfSteps(
      [
        measuredOf(runOf('fixed:4', 'code', 1, 1), phases),
        measuredOf(runOf('adaptive', 'code', 1, 1), [
          step(1, 0, { otherMs: 0.75, drafted: 1, draftMs: 0.4, verifyMs: 6 }),
        ]),
        // At another temperature steps cost something else.
        measuredOf({ ...runOf('fixed:4', 'code', 1, 1), temperature: 0.7 }, repeat(1, 9, 9)),
      ],
      { temperature: 0, draftThreads: 2, depthOf: (arm) => (arm === 'fixed:4' ? 4 : undefined) },
    )!;
    expect(costs.target.map(({ rows, ms }) => [rows, ms])).toEqual([
      [1, 3],
      [5, 4],
    ]);
    expect(costs.rebuildMs).toBeCloseTo(2, 9);
    // The first row of the plain stretches, after rows that verified; but not the run's first step.
    expect(costs.mixedMs).toBeCloseTo(2, 9);
    expect(costs.overheadMs).toBe(0.25);
    expect(costs.callbackMs).toBe(0.5);
    expect(costs.draft.msPerToken).toBeCloseTo(0.1, 9);
    expect(costs.draft.startMs).toBeCloseTo(0.3, 9);
    expect(costs.draft.threads).toBe(2);
  });

  it('tell what the draft model costs the pass, and leave it out of rows seen after it alone', () => {
    const steps = (rows: number, verifyMs: number, modelTokens: number) =>
      Array.from({ length: 8 }, () =>
        step(1, 0, { rows, verifyMs, drafted: rows - 1, modelTokens, draftMs: modelTokens }),
      );
    const of = (...parts: ReturnType<typeof steps>[]) =>
      costsOfSteps([measuredOf(runOf('auto', 'code', 1, 1), parts.flat())], {
        temperature: 0,
        draftThreads: 1,
        depthOf: () => undefined,
      })!;
    const both = of(steps(1, 3, 0), steps(3, 4, 0), steps(3, 4.5, 2), steps(5, 6.5, 4));
    expect(both.draft.afterMs).toBeCloseTo(0.5, 9);
    expect(both.target.map(({ rows, ms }) => [rows, ms])).toEqual([
      [1, 3],
      [3, 4],
      [5, 6],
    ]);
    // Where nothing else drafts, it is part of the rows.
    const alone = of(steps(1, 3, 0), steps(3, 4.5, 2));
    expect(alone.draft.afterMs).toBe(0);
    expect(alone.target[1]!.ms).toBe(4.5);
  });

  it('tell what the draft model takes to read a token', () => {
    const steps = Array.from({ length: 8 }, (_, i) =>
      step(1, 0, {
        rows: 2,
        drafted: 1,
        modelTokens: 1,
        catchUpMs: i % 2 === 0 ? 0.5 : 0,
        lag: i % 2 ? 10 : 1,
      }),
    );
    // The first reads a prompt of 90 tokens, the others ten.
    steps[0] = { ...steps[0]!, contextLength: 91, tokens: 1, catchUpMs: 4.5 };
    const table = costsOfSteps([measuredOf(runOf('auto', 'code', 1, 1), steps)], {
      temperature: 0,
      draftThreads: 1,
      depthOf: () => undefined,
    })!;
    expect(table.draft.readMs).toBeCloseTo(0.05, 9);
  });

  it('are unknown where hardly a step ran', () => {
    const run = measuredOf({ ...runOf('plain', 'code', 1, 1), all: figures(1, 1) }, [step(1, 0)]);
    expect(costsOfSteps([run], { temperature: 0, draftThreads: 1, depthOf: () => 0 })).toBeUndefined();
  });
});

describe('timelines', () => {
  it('are the first run of each arm that changes its depth, on the first prompt of each kind', () => {
    const run = (arm: string, kind: string, prompt: number) =>
      measuredOf(runOf(arm, kind, prompt, 1), [step(5, 4)]);
    const timelines = timelinesOf([
      run('plain', 'code', 2),
      run('fixed:8', 'code', 2),
      run('auto', 'code', 2),
      run('auto', 'code', 2),
      run('auto', 'code', 1),
      run('adaptive', 'prose', 1),
    ]);
    expect(timelines.map(({ arm, promptId }) => `${arm} ${promptId}`)).toEqual([
      'auto code-2',
      'adaptive prose-1',
    ]);
    expect(timelines[0]!.steps).toEqual([
      { position: 5, depth: 4, drafted: 4, verified: 4, accepted: 4, kind: 'prose', text: 'ab' },
    ]);
  });
});
