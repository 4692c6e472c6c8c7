// What holds for every preset: plans that can be used, the same for the same reports, snapshots, settings, silence.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DepthController, DetailedPlan, Plan, StepReport } from '../../../lib/control/controller.js';
import {
  controllerNames,
  controllerSummaries,
  controllers,
  resolveController,
} from '../../../lib/control/controllers.js';
import type { CostTable } from '../../../lib/control/costs.js';
import { requestInfo, stepReport } from '../step-report.js';

const costs: CostTable = {
  target: [
    { rows: 1, contextLength: 0, ms: 100 },
    { rows: 4, contextLength: 0, ms: 110 },
    { rows: 5, contextLength: 0, ms: 150 },
    { rows: 9, contextLength: 0, ms: 170 },
    { rows: 1, contextLength: 1000, ms: 120 },
    { rows: 9, contextLength: 1000, ms: 200 },
  ],
  draft: { msPerToken: 5, threads: 4 },
  overheadMs: 1,
  rebuildMs: 2,
  callbackMs: 0.1,
};

const makers: Record<string, () => DepthController> = {
  heuristic: () => controllers.heuristic(),
  confidence: () => controllers.confidence({ window: 40 }),
  'specdec++': () => controllers['specdec++'](),
  'specdec++ by the drafter': () => controllers['specdec++']({ acceptance: 'drafter' }),
  adaedl: () => controllers.adaedl(),
  svip: () => controllers.svip(),
  gammatune: () => controllers.gammatune(),
  'gammatune+': () => controllers.gammatune({ minProbability: 0.4 }),
  tiers: () => controllers.tiers({ warmup: 2, interval: 1 }),
  'tiers from 0': () => controllers.tiers({ tiers: [0, 2, 5], depth: 0, warmup: 0, interval: 2 }),
  vllm: () => controllers.vllm({ interval: 3, warmupFits: 1 }),
  disco: () => controllers.disco(),
  goodput: () => controllers.goodput(),
  hedge: () => controllers.hedge({ lookInterval: 8, lead: 1 }),
};

const step = fc
  .record({
    signals: fc.array(
      fc.tuple(
        fc.float({ min: 0, max: 1, noNaN: true }),
        fc.float({ min: 0, max: 1, noNaN: true }),
        fc.float({ min: 0, max: 11, noNaN: true }),
      ),
      { maxLength: 20 },
    ),
    silent: fc.boolean(),
    verified: fc.double({ min: 0, max: 1, noNaN: true }),
    accepted: fc.double({ min: 0, max: 1, noNaN: true }),
    deeper: fc.integer({ min: 0, max: 4 }),
    contextLength: fc.integer({ min: 1, max: 4000 }),
  })
  .map(({ signals, silent, verified, accepted, deeper, contextLength }): StepReport => {
    const drafted = signals.length;
    const checked = Math.round(drafted * verified);
    const right = Math.round(checked * accepted);
    const list = (column: 0 | 1 | 2) =>
      new Float32Array(silent ? [] : signals.map((signal) => signal[column]));
    return stepReport({
      step: 1,
      depth: drafted + deeper,
      drafted,
      verified: checked,
      accepted: right,
      tokens: new Int32Array(right + 1),
      probabilities: list(0),
      margins: list(1),
      entropies: list(2),
      contextLength,
    });
  });
const steps = fc.array(step, { maxLength: 60 });

function run(controller: DepthController, reports: readonly StepReport[]) {
  return reports.map((report) => ({ plan: controller.nextPlan(report), why: controller.explain?.() }));
}

function begin(controller: DepthController, fields: Parameters<typeof requestInfo>[0] = {}): DepthController {
  controller.begin?.(requestInfo({ costs, ...fields }));
  return controller;
}

function details(plan: Plan): DetailedPlan {
  return typeof plan === 'number' ? { depth: plan } : plan;
}

describe.each(Object.keys(makers))('%s', (name) => {
  const make = makers[name]!;

  it('gives plans within the limit of the request, and says why', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 64 }), (reports, maxDepth) => {
        const controller = begin(make(), { maxDepth });
        for (const { plan, why } of run(controller, [stepReport(), ...reports])) {
          const { depth, stop } = details(plan);
          expect(Number.isInteger(depth)).toBe(true);
          expect(depth).toBeGreaterThanOrEqual(0);
          expect(depth).toBeLessThanOrEqual(maxDepth);
          for (const value of Object.values(stop?.acceptance ?? {})) expect(value).toSatisfy(Number.isFinite);
          if (stop?.value) expect(stop.value.tokensPerMs).toBeGreaterThan(0);
          expect(why).toMatchObject({ k: expect.any(Number), reason: expect.any(String) });
          expect(why!.acceptance).toBeGreaterThanOrEqual(0);
          expect(why!.acceptance).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it('gives the same plans for the same reports', () => {
    fc.assert(
      fc.property(steps, (reports) => {
        expect(run(begin(make()), reports)).toEqual(run(begin(make()), reports));
      }),
    );
  });

  it('goes on from a snapshot that went through JSON as if nothing had happened', () => {
    fc.assert(
      fc.property(steps, steps, (before, after) => {
        const original = begin(make(), { maxDepth: 24 });
        run(original, before);
        const snapshot = JSON.parse(JSON.stringify(original.snapshot!()));
        const copy = make();
        copy.restore!(snapshot);
        expect(copy.explain!()).toEqual(original.explain!());
        expect(run(copy, after)).toEqual(run(original, after));
        // What came after has not changed the snapshot, nor what was made of it.
        const second = make();
        second.restore!(snapshot);
        expect(run(second, after)).toEqual(
          run(begin(make(), { maxDepth: 24 }), [...before, ...after]).slice(before.length),
        );
      }),
    );
  });

  it('refuses states that are none, and keeps its own', () => {
    const controller = begin(make());
    run(controller, [stepReport({ step: 1, drafted: 3, accepted: 1 })]);
    const state = controller.snapshot!() as Record<string, unknown>;
    const wrong = [
      undefined,
      null,
      8,
      {},
      ...Object.keys(state).map((field) => ({ ...state, [field]: 'x'.repeat(3) })),
    ]
      // Reasons may be any text, and costs be missing.
      .filter((value) => JSON.stringify((value as { why?: string })?.why) !== '"xxx"');
    for (const value of wrong) {
      expect(() => controller.restore!(value)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
      expect(controller.snapshot!()).toEqual(state);
    }
  });

  it('plans nothing without a drafter', () => {
    expect(begin(make(), { drafters: [] }).nextPlan(stepReport())).toBe(0);
  });

  it('takes in steps that it is not asked after', () => {
    const reports = [3, 0, 2].map((accepted) => stepReport({ step: 1, drafted: 3, accepted, depth: 3 }));
    const asked = begin(make());
    const told = begin(make());
    for (const report of reports.slice(0, 2)) told.observe!(report);
    expect(told.nextPlan(reports[2]!)).toEqual(run(asked, reports).at(-1)!.plan);
  });
});

describe('settings', () => {
  it.each([
    ['heuristic', { depth: 0 }],
    ['heuristic', { maxDepth: 65 }],
    ['confidence', { threshold: 1.1 }],
    ['confidence', { window: 5 }],
    ['confidence', { missCost: Number.NaN }],
    ['specdec++', { threshold: -0.1 }],
    ['specdec++', { maxDepth: 0 }],
    ['specdec++', { acceptance: 'head' }],
    ['adaedl', { gamma: 0 }],
    ['adaedl', { lambda: '0.5' }],
    ['svip', { factor: 0 }],
    ['svip', { maxDepth: 1.5 }],
    ['gammatune', { minDepth: 5, maxDepth: 4 }],
    ['gammatune', { depth: 11 }],
    ['gammatune', { rate: 2 }],
    ['tiers', { tiers: [] }],
    ['tiers', { tiers: [3, 1] }],
    ['tiers', { tiers: [1, 1] }],
    ['tiers', { tiers: [1, 65] }],
    ['tiers', { depth: 4 }],
    ['tiers', { interval: 0 }],
    ['vllm', { depth: 0 }],
    ['vllm', { warmupFits: 0.5 }],
    ['disco', { threshold: 2 }],
    ['disco', { weights: { bias: 1 } }],
    ['goodput', { prior: 1.1 }],
    ['goodput', { weight: 0 }],
    ['goodput', { probeInterval: 49 }],
    ['hedge', { rate: 0 }],
    ['hedge', { lookInterval: 7 }],
    ['svip', { treshold: 0.2 }],
    ['svip', null],
  ] as const)('%s refuses %j', (name, config) => {
    expect(() => controllers[name](config as never)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        hint: expect.stringMatching(/^(Give|Did you mean)/),
      }),
    );
  });

  it('are those published where none are given', () => {
    expect(begin(controllers.svip({ threshold: undefined as never })).nextPlan(stepReport())).toEqual(
      begin(controllers.svip()).nextPlan(stepReport()),
    );
  });
});

describe('the registry', () => {
  it('knows each by its name, with a line on what it does', () => {
    for (const name of controllerNames) {
      const controller = resolveController(name, name === 'fixed' ? { depth: 4 } : {});
      expect(controller.name).toBe(name);
      expect(controllerSummaries[name]).toMatch(/\w/);
    }
  });

  it.each([
    ['heuristc', 'heuristic'],
    ['specdec', 'specdec++'],
    ['gammatunes', 'gammatune'],
    ['VLLM', 'vllm'],
  ])('hints at what %s is near to', (typed, name) => {
    expect(() => resolveController(typed)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining(`Did you mean '${name}'?`) }),
    );
  });

  it('takes no inherited name', () => {
    expect(() => resolveController('toString')).toThrow(/no controller named/);
  });
});

describe.each(['confidence', 'specdec++', 'adaedl', 'svip', 'vllm', 'disco'] as const)('%s', (name) => {
  const silent = (drafted: number, accepted: number) =>
    stepReport({ step: 1, drafted, accepted, probabilities: new Float32Array(0) });

  it('follows the heuristic schedule from 5 while the drafter gives no probabilities', () => {
    const controller = begin(controllers[name]());
    controller.nextPlan(stepReport());
    expect(controller.nextPlan(silent(3, 3))).toBe(7);
    expect(controller.nextPlan(silent(7, 2))).toBe(6);
    expect(controller.explain!().reason).toBe('no probabilities: heuristic schedule');
    const plan = controller.nextPlan(
      stepReport({ step: 2, drafted: 2, accepted: 2, probabilities: new Float32Array([1, 1]) }),
    );
    expect(plan).not.toBe(8);
    expect(controller.explain!().reason).not.toMatch('heuristic');
  });

  it(`drafts ${name === 'vllm' ? 'one token' : 'by its rule again'} after an empty draft`, () => {
    const controller = begin(controllers[name]());
    const first = controller.nextPlan(stepReport());
    const next = controller.nextPlan(stepReport({ step: 1, depth: 8, drafted: 0 }));
    expect(next).toEqual(name === 'vllm' ? 1 : first);
    expect(
      controller.nextPlan(
        stepReport({ step: 2, depth: 2, drafted: 1, accepted: 0, probabilities: new Float32Array([0.5]) }),
      ),
    ).toMatchObject({
      depth: expect.any(Number),
    });
  });
});
