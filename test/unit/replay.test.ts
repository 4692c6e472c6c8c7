// Replay of controllers over traces: times by hand, the engine's rules, and bounds that hold for every policy.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Controller, DetailedPlan, Plan, StepReport } from '../../lib/control/controller.js';
import { CostModel, type CostTable } from '../../lib/control/costs.js';
import { fixedDepth, off } from '../../lib/control/fixed-depth.js';
import { fixedReferences, halves } from '../../lib/replay/best-fixed.js';
import { countedTo, type ReplayGeneration, replayGeneration } from '../../lib/replay/generation.js';
import { oracle } from '../../lib/replay/oracle.js';
import { type ReplayStep, replay } from '../../lib/replay/replay.js';
import { replayable, staircase } from './synthetic-trace.js';

/** v(1) = 10, v(2) = 11, v(3) = 13, and 2 more for each row after. */
const costs: CostTable = {
  target: [
    { rows: 1, contextLength: 0, ms: 10 },
    { rows: 2, contextLength: 0, ms: 11 },
    { rows: 3, contextLength: 0, ms: 13 },
    { rows: 9, contextLength: 0, ms: 25 },
  ],
  draft: { msPerToken: 1, threads: 1 },
  overheadMs: 0.5,
  rebuildMs: 2,
  callbackMs: 0.25,
};
const model = new CostModel(costs);

/** Tokens 100, 101, …; at each position so many right drafts, of 4 or what the output has room for. */
function byHand(
  right: number[],
  fields: { maxTokens?: number; p?: number[]; width?: number } = {},
): ReplayGeneration {
  const { maxTokens = right.length, width = 4 } = fields;
  const positions = right.map((r, i) => {
    const count = Math.max(0, Math.min(width, maxTokens - i - 1));
    const draft = Array.from({ length: count }, (_, j) => (j < r ? 100 + i + j : 7));
    const p = draft.map((_, j) => fields.p?.[j] ?? 0.5);
    return {
      ...{ i, token: 100 + i, text: `t${i}`, draft, p, m: p.map((x) => x / 2), h: p.map((x) => 1 - x) },
      ...{ right: Math.min(r, count), draftMs: 3 * count, contextLength: 2 + i },
    };
  });
  const info = {
    id: 'hand',
    kind: 'code',
    promptTokens: 2,
    promptText: 'two',
    maxTokens,
    temperature: 0,
    seed: 0,
  };
  return replayGeneration(info, positions, width);
}

/** Plans in turn, the last one for ever; keeps copies of the reports it got. */
function scripted(plans: (Plan | (() => Plan))[]) {
  const asked: StepReport[] = [];
  const observed: StepReport[] = [];
  let next = 0;
  const copy = (report: StepReport): StepReport => ({
    ...report,
    tokens: report.tokens.slice(),
    draftTokens: report.draftTokens.slice(),
    probabilities: report.probabilities.slice(),
  });
  const controller: Controller = {
    name: 'scripted',
    nextPlan(report) {
      asked.push(copy(report));
      const plan = plans[Math.min(next++, plans.length - 1)]!;
      return typeof plan === 'function' ? plan() : plan;
    },
    observe: (report) => observed.push(copy(report)),
  };
  return { controller, asked, observed };
}

function stepsOf(generation: ReplayGeneration, controller: Controller, table = model): ReplayStep[] {
  const steps: ReplayStep[] = [];
  replay(generation, controller, table, { onStep: (step) => steps.push({ ...step }) });
  return steps;
}

describe('replay', () => {
  it('gives a fixed depth the time that a hand computes', () => {
    const sums = replay(byHand([2, 0, 1, 0, 1, 0]), fixedDepth(2), model);
    // 3 tokens of (2 draft, v(3), a change of rows), 1 of (2 draft, v(3)), 2 of (1 draft, v(2), a change).
    expect(sums.ms).toBeCloseTo(2 + 13 + 2 + 0.5 + (2 + 13 + 0.5) + (1 + 11 + 2 + 0.5), 12);
    expect(sums).toMatchObject({
      tokens: 6,
      steps: 3,
      depth: 6,
      drafted: 5,
      computed: 5,
      verified: 5,
      accepted: 3,
    });
    expect(sums).toMatchObject({ plansAsked: 0, controllerErrors: 0 });
  });

  it('gives plain decoding v(1) a token, and one change of rows after the prompt', () => {
    expect(replay(byHand([3, 3, 3, 3]), off(), model).ms).toBeCloseTo(4 * 10.5 + 2, 12);
  });

  it('reads v at the length of the context before the step', () => {
    const sloped = new CostModel({
      ...costs,
      target: [
        { rows: 1, contextLength: 0, ms: 10 },
        { rows: 1, contextLength: 100, ms: 110 },
      ],
    });
    // The prompt of two has one token in the cache when the first step begins.
    expect(stepsOf(byHand([0, 0]), off(), sloped).map(({ verifyMs }) => verifyMs)).toEqual([
      10 + 1 + 2,
      10 + 2,
    ]);
  });

  it('charges a callback where a plan is asked for, and none while one holds', () => {
    const { controller, asked, observed } = scripted([{ depth: 1, steps: 3 }]);
    const generation = byHand([0, 0, 0, 0, 0, 0]);
    const steps = stepsOf(generation, controller);
    expect(steps.map((step) => step.asked)).toEqual([true, false, true, false, false, true]);
    expect(steps.map(({ otherMs }) => otherMs)).toEqual([0.75, 0.5, 0.75, 0.5, 0.5, 0.75]);
    // While the last plan holds for one step more.
    expect(asked.map(({ step }) => step)).toEqual([0, 2, 5]);
    // Nothing is told after the last step.
    expect(observed.map(({ step }) => step)).toEqual([1, 3, 4]);
  });

  it('tells of the prompt first, then of each step as the engine would', () => {
    const { controller, asked } = scripted([3, 0]);
    replay(byHand([2, 0, 0, 0, 0]), controller, model, { sequences: 4 });
    expect(asked[0]).toMatchObject({ step: 0, position: 0, drafted: 0, rows: 0, contextLength: 1, text: '' });
    expect(asked[1]).toMatchObject({
      ...{ step: 1, position: 3, depth: 3, drafted: 3, verified: 3, accepted: 2, text: 't0t1t2' },
      ...{
        draftMs: 3,
        verifyMs: 15 + 2,
        catchUpMs: 0,
        otherMs: 0.75,
        rows: 4,
        contextLength: 4,
        drafter: 'model',
      },
      ...{ drafterLag: 1, late: false, load: { running: 4, waiting: 0 } },
    });
    expect([...asked[1]!.tokens]).toEqual([100, 101, 102]);
    expect([...asked[1]!.draftTokens]).toEqual([100, 101, 7]);
    expect(asked[1]!.probabilities).toEqual(Float32Array.of(0.5, 0.5, 0.5));
    expect(asked).toHaveLength(3);
  });

  it('tells a controller of its request and of what a step costs', () => {
    let told: unknown;
    const controller: Controller = { name: 'x', begin: (request) => (told = request), nextPlan: () => 0 };
    replay(byHand([0], { maxTokens: 3 }), controller, model);
    expect(told).toEqual({
      ...{ promptTokens: 2, promptText: 'two', maxTokens: 3, maxDepth: 4, temperature: 0 },
      ...{ drafters: ['model'], costs },
    });
  });

  it('keeps the last plan where an answer is none, clamps depths, and counts both', () => {
    const bad = () => {
      throw new Error('no');
    };
    const { controller } = scripted([2, bad, () => Number.NaN, -3, 99]);
    const generation = byHand([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(stepsOf(generation, controller).map(({ depth }) => depth)).toEqual([2, 2, 2, 0, 4, 4, 4, 4]);
    expect(
      replay(generation, scripted([2, bad, () => Number.NaN, -3, 99]).controller, model).controllerErrors,
    ).toBe(7);
  });

  it('charges the token drafted ahead where the plan does not want it', () => {
    const { controller } = scripted([2, 0, 0, 2]);
    const steps = stepsOf(byHand([0, 0, 0, 0, 0, 0]), controller);
    expect(steps.map(({ drafted }) => drafted)).toEqual([2, 0, 0, 2, 1, 0]);
    // The second step's was made while the plan of 0 was on its way; the last has no room for one.
    expect(steps.map(({ computed }) => computed)).toEqual([2, 1, 0, 2, 1, 0]);
  });

  it('drafts nothing ahead where the last plan would not have, and nothing while a plan holds', () => {
    const value = { tokensPerMs: 1, draftMs: 100, verifyMs: [10, 100], ahead: 0.5 };
    const { controller } = scripted([{ depth: 3, stop: { value } }, 0]);
    expect(stepsOf(byHand([0, 0, 0, 0]), controller).map(({ computed }) => computed)).toEqual([0, 0, 0, 0]);
    const held = scripted([
      { depth: 1, steps: 2 },
      { depth: 0, steps: 2 },
    ]);
    expect(stepsOf(byHand([0, 0, 0, 0, 0]), held.controller).map(({ computed }) => computed)).toEqual([
      1, 1, 0, 0, 0,
    ]);
  });

  it('stops drafts by their signals, and charges the token that was refused', () => {
    const generation = byHand([4, 0, 0, 0, 0, 0, 0], { p: [0.9, 0.8, 0.3, 0.9] });
    const { controller } = scripted([{ depth: 4, stop: { minProbability: 0.5 } }]);
    expect(stepsOf(generation, controller)[0]).toMatchObject({
      drafted: 2,
      computed: 3,
      verified: 2,
      accepted: 2,
    });
    const none = scripted([1, { depth: 4, stop: { minProbability: 0.95 } }]);
    expect(stepsOf(generation, none.controller)[1]).toMatchObject({ drafted: 0, computed: 1, verified: 0 });
  });

  it('verifies what the plan says, and what is worth it', () => {
    const generation = byHand([4, 0, 0, 0, 0, 0, 0], { p: [0.9, 0.9, 0.2, 0.1] });
    const two = scripted([{ depth: 4, verify: 2 }]);
    expect(stepsOf(generation, two.controller)[0]).toMatchObject({
      drafted: 4,
      verified: 2,
      accepted: 2,
      emitted: 3,
    });
    // Each row is worth 0.3 tokens more: the survivals 0.9 and 0.81 pay for it, 0.16 does not,
    // which is seen before the fourth token is drafted.
    const value = { tokensPerMs: 0.3, draftMs: 0, verifyMs: [1, 2, 3, 4, 5], ahead: 1 };
    const trimmed = scripted([{ depth: 4, stop: { value }, trim: true }]);
    expect(stepsOf(generation, trimmed.controller)[0]).toMatchObject({ drafted: 3, verified: 2 });
  });

  it('charges a pass of the drafter for what it has to catch up with', () => {
    const { controller } = scripted([0, 0, 0, 1]);
    const steps = stepsOf(byHand([0, 0, 0, 0, 0, 0]), controller);
    expect(steps.map(({ catchUpMs }) => catchUpMs)).toEqual([0, 0, 0, 1, 0, 0]);
  });

  it('charges the drafter for reading the prompt, with its first draft', () => {
    const generation = { ...byHand([0, 0, 0, 0]), promptTokens: 40 };
    expect(stepsOf(generation, fixedDepth(1)).map(({ catchUpMs }) => catchUpMs)).toEqual([3, 0, 0, 0]);
    expect(stepsOf(generation, fixedDepth(0)).map(({ catchUpMs }) => catchUpMs)).toEqual([0, 0, 0, 0]);
  });

  it('charges a draft that the drafter itself ended with the token that it could not offer', () => {
    const generation = byHand([1, 0, 0, 0, 0, 0, 0, 0]);
    generation.counts[0] = 1;
    expect(stepsOf(generation, fixedDepth(3))[0]).toMatchObject({ drafted: 1, computed: 2, accepted: 1 });
    expect(stepsOf(generation, fixedDepth(1))[0]).toMatchObject({ drafted: 1, computed: 1, accepted: 1 });
  });

  it('takes the recorded time of drafting where the table has none', () => {
    const free = new CostModel({ ...costs, draft: { msPerToken: 0, threads: 0 } });
    expect(stepsOf(byHand([0, 0, 0, 0, 0, 0, 0]), fixedDepth(2), free)[0]!.draftMs).toBeCloseTo(2 * 3, 12);
  });

  it('counts a step that straddles the end by its share', () => {
    const generation = byHand([3, 0, 0, 0, 0, 0]);
    const whole = stepsOf(generation, fixedDepth(3))[0]!;
    const sums = replay(countedTo(generation, 1), fixedDepth(3), model);
    expect(sums).toMatchObject({ tokens: 1, steps: 0.25, accepted: 0.75 });
    expect(sums.ms).toBeCloseTo((whole.draftMs + whole.verifyMs + whole.otherMs) / 4, 12);
  });

  it('lets no controller write into the trace', () => {
    const generation = byHand([1, 1, 1, 1, 1, 1]);
    const before = JSON.stringify(generation);
    const vandal: Controller = (report) => {
      for (const array of [report.tokens, report.draftTokens, report.probabilities, report.margins])
        array.fill(9);
      return 2;
    };
    const sums = replay(generation, vandal, model);
    expect(JSON.stringify(generation)).toBe(before);
    expect(sums).toMatchObject({ accepted: replay(generation, fixedDepth(2), model).accepted });
  });
});

/** Any plan that a controller may give. */
const anyPlan: fc.Arbitrary<Plan> = fc.oneof(
  fc.integer({ min: 0, max: 12 }),
  fc.record(
    {
      depth: fc.integer({ min: 0, max: 12 }),
      stop: fc.record(
        {
          minProbability: fc.double({ min: 0, max: 1, noNaN: true }),
          minSurvival: fc.double({ min: 0, max: 1, noNaN: true }),
          maxEntropy: fc.double({ min: 0, max: 3, noNaN: true }),
          keep: fc.boolean(),
        },
        { requiredKeys: [] },
      ),
      verify: fc.integer({ min: 0, max: 12 }),
      steps: fc.integer({ min: 1, max: 4 }),
    },
    { requiredKeys: ['depth'] },
  ) as fc.Arbitrary<DetailedPlan>,
);
const anyCosts = fc
  .record({
    rises: fc.array(fc.double({ min: -2, max: 5, noNaN: true }), { minLength: 12, maxLength: 12 }),
    draft: fc.double({ min: 0.01, max: 5, noNaN: true }),
    overhead: fc.double({ min: 0, max: 2, noNaN: true }),
    rebuild: fc.double({ min: 0, max: 6, noNaN: true }),
  })
  .map(({ rises, draft, overhead, rebuild }): CostTable => {
    const msOf = (rows: number) => 30 + rises.slice(1, rows).reduce((sum, rise) => sum + rise, 0);
    const target = rises.map((_, i) => ({ rows: i + 1, contextLength: 0, ms: msOf(i + 1) }));
    return {
      target,
      draft: { msPerToken: draft, threads: 1 },
      overheadMs: overhead,
      rebuildMs: rebuild,
      callbackMs: 0.1,
    };
  });
const anyGeneration = fc
  .record({
    seed: fc.nat(1e6),
    length: fc.integer({ min: 1, max: 40 }),
    more: fc.nat(5),
    acceptance: fc.double({ min: 0, max: 1, noNaN: true }),
    end: fc.integer({ min: 1, max: 40 }),
  })
  .map(({ length, more, end, ...rest }) =>
    countedTo(replayable({ ...rest, length, maxTokens: length + more, maxDepth: 10 }), Math.min(length, end)),
  );

describe('oracle', () => {
  it('is as fast as the fastest policy and never slower than any', () => {
    fc.assert(
      fc.property(
        anyGeneration,
        anyCosts,
        fc.array(anyPlan, { minLength: 1, maxLength: 8 }),
        (generation, table, plans) => {
          const tableModel = new CostModel(table);
          const { ms } = oracle(generation, tableModel);
          let next = 0;
          const sums = replay(generation, () => plans[next++ % plans.length]!, tableModel);
          expect(sums.tokens).toBe(generation.end);
          expect(ms).toBeLessThanOrEqual(sums.ms * (1 + 1e-12));
          for (const k of [0, 1, 4, 10]) {
            expect(ms).toBeLessThanOrEqual(replay(generation, fixedDepth(k), tableModel).ms * (1 + 1e-12));
          }
        },
      ),
    );
  });

  it('takes the time of its own path', () => {
    fc.assert(
      fc.property(anyGeneration, anyCosts, (generation, table) => {
        const { ms, depths } = oracle(generation, new CostModel(table));
        let [position, rows, walked] = [0, 0, 0];
        for (const depth of depths) {
          const emitted = Math.min(depth, generation.right[position]!) + 1;
          const step =
            depth * table.draft.msPerToken +
            table.target[depth]!.ms +
            table.overheadMs +
            (depth + 1 === rows ? 0 : table.rebuildMs);
          walked +=
            step * Math.min(1, (generation.end - position) / Math.min(emitted, generation.length - position));
          rows = depth + 1;
          position += emitted;
        }
        expect(position).toBeGreaterThanOrEqual(generation.end);
        expect(walked).toBeCloseTo(ms, 6);
      }),
    );
  });

  it('a row alone costs more beside others, and after the prompt', () => {
    const alternate = () => {
      let asked = 0;
      return () => asked++ % 2;
    };
    const time = (table: CostTable) =>
      replay(byHand([0, 0, 0, 0, 0, 0]), alternate(), new CostModel(table)).ms;
    // The last step has no room for a draft, and follows one whose token, drafted ahead, the plan didn't want.
    expect(time({ ...costs, mixedMs: 4 }) - time(costs)).toBeCloseTo(4 * 4, 9);
  });

  it('a text that the model has not read costs so much a token', () => {
    const read = { ...costs, draft: { ...costs.draft, readMs: 0.25 } };
    const generation = { ...byHand([2, 0, 0, 2, 0, 0]), promptTokens: 40 };
    const time = (readMs: number) =>
      replay(generation, () => 1, new CostModel({ ...read, draft: { ...read.draft, readMs } })).ms;
    // The prompt, with the first draft token.
    expect(time(0.25) - time(0)).toBeCloseTo(0.25 * 40, 9);
  });

  it('several rows cost more where the model drafted', () => {
    const dear = { ...costs, draft: { ...costs.draft, afterMs: 4 } };
    const run = (table: CostTable) => replay(byHand([2, 0, 0, 2, 0, 0]), () => 1, new CostModel(table));
    // Four steps, of which the last one has no room for a draft.
    expect(run(dear).ms - run(costs).ms).toBeCloseTo(3 * 4, 9);
    const plain = (table: CostTable) => replay(byHand([2, 0, 0]), () => 0, new CostModel(table)).ms;
    expect(plain(dear)).toBe(plain(costs));
    // The oracle drafts where that pays all the same.
    const [least, less] = [dear, costs].map(
      (table) => oracle(byHand([2, 0, 0, 2, 0, 0]), new CostModel(table)).ms,
    );
    expect(least).toBeGreaterThan(less!);
  });

  it('finds the shortest path of a case that a hand can check', () => {
    // Right drafts 2, 0, 0, 1, 0: depths 2 and 1 emit all in two steps.
    const { ms, depths } = oracle(byHand([2, 0, 0, 1, 0]), new CostModel({ ...costs, rebuildMs: 0 }));
    expect(depths).toEqual([2, 1]);
    expect(ms).toBeCloseTo(2 + 13 + 0.5 + (1 + 11 + 0.5), 12);
  });

  it('keeps its rows where a change costs more than it saves', () => {
    const dear = new CostModel({ ...costs, rebuildMs: 50 });
    expect(new Set(oracle(byHand([1, 0, 1, 0, 0, 0, 1, 0, 0]), dear).depths.slice(0, -1)).size).toBe(1);
  });
});

describe('fixedReferences', () => {
  const generations = ['code', 'prose', 'math'].flatMap((kind, k) =>
    [0, 1, 2, 3].map((n) =>
      replayable({ id: `${kind}-${n}`, kind, seed: 10 * k + n, acceptance: [0.9, 0.3, 0.7][k]! }),
    ),
  );
  const references = fixedReferences(generations, new CostModel(staircase));
  const msOf = (k: number, of: (g: ReplayGeneration) => boolean) =>
    generations.reduce(
      (sum, g) => sum + (of(g) ? replay(g, fixedDepth(k), new CostModel(staircase)).ms : 0),
      0,
    );
  const bestOf = (of: (g: ReplayGeneration) => boolean) =>
    references.depths.reduce((best, k) => (msOf(k, of) < msOf(best, of) ? k : best), 0);

  it('tries every depth from 0 to 24', () => {
    expect(references.depths).toEqual(Array.from({ length: 25 }, (_, k) => k));
  });

  it('finds the fastest depth of all, of each kind and of each prompt', () => {
    expect(references.whole.depth).toBe(bestOf(() => true));
    expect(references.ofKind.depths).toEqual({
      code: bestOf(({ kind }) => kind === 'code'),
      prose: bestOf(({ kind }) => kind === 'prose'),
      math: bestOf(({ kind }) => kind === 'math'),
    });
    expect(references.ofPrompt.depths['code-2']).toBe(bestOf(({ id }) => id === 'code-2'));
    const sum = (ms: Float64Array) => ms.reduce((a, b) => a + b, 0);
    expect(sum(references.ofPrompt.ms)).toBeLessThanOrEqual(sum(references.ofKind.ms));
    expect(sum(references.ofKind.ms)).toBeLessThan(sum(references.whole.ms));
    expect(sum(references.splitHalf.ms)).toBeGreaterThanOrEqual(sum(references.whole.ms));
  });

  it('chooses the depth of each half on the other half, with all kinds in both', () => {
    const half = halves(generations);
    expect(half).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    const inHalf = (h: number) => (g: ReplayGeneration) => half[generations.indexOf(g)] === h;
    expect(references.splitHalf.depths).toEqual([bestOf(inHalf(1)), bestOf(inHalf(0))]);
    generations.forEach((g, i) => {
      const ms = replay(g, fixedDepth(references.splitHalf.depths[half[i]!]!), new CostModel(staircase)).ms;
      expect(references.splitHalf.ms[i]).toBe(ms);
    });
  });

  it('keeps generations of one prompt in one half', () => {
    const twice = [generations[0]!, generations[1]!, generations[0]!, generations[2]!];
    expect(halves(twice)).toEqual([0, 1, 0, 0]);
  });

  it('prefers depths whose rows end a tread of a staircase', () => {
    // Rows 4, 8, 12, … are the last of a tread: depths 3, 7, 11, … get their last row for almost nothing.
    const target = Array.from({ length: 33 }, (_, i) => ({
      ...{ rows: i + 1, contextLength: 0, ms: 10 + 8 * Math.floor(i / 4) },
    }));
    const steep = new CostModel({ ...staircase, target, draft: { msPerToken: 0.01, threads: 1 } });
    for (const acceptance of [0.6, 0.8, 0.95]) {
      const texts = [1, 2, 3, 4].map((seed) => replayable({ id: `p${seed}`, seed, acceptance, length: 250 }));
      expect((fixedReferences(texts, steep).whole.depth + 1) % 4).toBe(0);
    }
  });
});
