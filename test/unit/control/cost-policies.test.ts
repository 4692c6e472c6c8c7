// goodput and hedge, which weigh expected tokens against step costs, against what their pages say of them.

import { describe, expect, it } from 'vitest';
import {
  type DepthController,
  type DetailedPlan,
  ORIGIN,
  type Plan,
  type StepReport,
} from '../../../lib/control/controller.js';
import { controllerNames, controllers } from '../../../lib/control/controllers.js';
import type { CostTable } from '../../../lib/control/costs.js';
import { ExponentialWeights } from '../../../lib/control/exponential-weights.js';
import { counterfactual, EXPERTS, viewOf } from '../../../lib/control/hedge-experts.js';
import { PendingDrafts } from '../../../lib/control/pending-drafts.js';
import { PlaceAcceptance } from '../../../lib/control/place-acceptance.js';
import { requestInfo, stepReport } from '../step-report.js';

/** 10 ms for up to `level` rows, `riser` more from the next on; a draft token takes 1 ms. */
function costs({ level = 64, riser = 0, draft = {} } = {}): CostTable {
  return {
    target: Array.from({ length: 65 }, (_, i) => ({
      rows: i + 1,
      contextLength: 0,
      ms: i + 1 > level ? 10 + riser : 10,
    })),
    draft: { msPerToken: 1, threads: 1, ...draft },
    overheadMs: 0,
    rebuildMs: 0,
    callbackMs: 0,
  };
}

const depthOf = (plan: Plan) => (typeof plan === 'number' ? plan : plan.depth);

/** The depths of `steps` steps in which each draft token is right with probability `acceptance`, up to the first that is not. */
function depthsOf(
  controller: DepthController,
  table: CostTable,
  acceptance: number,
  steps: number,
): number[] {
  controller.begin?.(requestInfo({ costs: table }));
  let seed = 7;
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const depths: number[] = [];
  let plan = controller.nextPlan(stepReport());
  for (let step = 1; step <= steps; step++) {
    const depth = depthOf(plan);
    const most = (plan as DetailedPlan).verify ?? depth;
    depths.push(depth);
    let right = 0;
    while (right < depth && random() < acceptance) right++;
    const accepted = Math.min(right, most);
    plan = controller.nextPlan(
      stepReport({
        ...{ step, depth, drafted: depth, verified: most, accepted, rows: most + 1 },
        tokens: new Int32Array(accepted + 1).fill(step),
        draftTokens: new Int32Array(depth).fill(step),
        draftMs: depth,
        verifyMs: table.target[most]!.ms,
        probabilities: new Float32Array(depth).fill(0.9),
        margins: new Float32Array(depth).fill(0.8),
        entropies: new Float32Array(depth).fill(0.5),
      }),
    );
  }
  return depths;
}

const usual = (depths: readonly number[]) => {
  const late = depths.slice(depths.length / 2).sort((a, b) => a - b);
  return late[late.length >> 1]!;
};

describe('goodput', () => {
  it('takes the depth of the most tokens per time', () => {
    // a = 0.8: (1 - a^(k+1)) / (1 - a) / (10 + k) is largest at k = 5.
    const depth = usual(depthsOf(controllers.goodput(), costs(), 0.8, 400));
    expect(depth).toBeGreaterThanOrEqual(4);
    expect(depth).toBeLessThanOrEqual(7);
    expect(usual(depthsOf(controllers.goodput(), costs(), 0.4, 400))).toBeLessThanOrEqual(2);
  });

  it('stays before a riser that is not worth it', () => {
    expect(usual(depthsOf(controllers.goodput(), costs({ level: 4, riser: 30 }), 0.8, 400))).toBe(3);
  });

  it('drafts nothing where it loses, and tries again after 4, 16 and then every 64 steps', () => {
    const depths = depthsOf(controllers.goodput(), costs({ level: 1, riser: 10 }), 0, 300);
    const probes = depths.flatMap((depth, step) => (depth > 0 && step > 20 ? [step] : []));
    expect(probes.slice(-2)[1]! - probes.slice(-2)[0]!).toBe(65);
    expect(depths.filter((depth) => depth > 0).length).toBeLessThan(20);
  });

  it("counts what asking the model costs the target's pass", () => {
    const dear = costs({ draft: { afterMs: 8 } });
    expect(usual(depthsOf(controllers.goodput(), dear, 0.4, 400))).toBe(0);
    // Where n-grams draft, nobody is asked.
    const controller = controllers.goodput();
    controller.begin?.(requestInfo({ costs: dear, drafters: ['ngram'] }));
    let plan = controller.nextPlan(stepReport());
    for (let step = 1; step < 100; step++) {
      const drafted = depthOf(plan);
      const accepted = step % 2 ? Math.min(1, drafted) : 0;
      plan = controller.nextPlan(
        stepReport({
          ...{ step, drafted, accepted, draftMs: 0.001, verifyMs: 10, tokens: new Int32Array(accepted + 1) },
          origins: new Uint8Array(drafted).fill(ORIGIN.ngram),
        }),
      );
    }
    expect(depthOf(plan)).toBeGreaterThan(0);
  });

  it('says nothing of places behind the first wrong token, nor behind a draft that was right to its end', () => {
    const places = new PlaceAcceptance({ discount: 1, prior: 0.5, weight: 1 });
    const acceptance = new Float64Array(4);
    const estimate = () => {
      places.estimate(4, acceptance, new Float64Array(4));
      return [...acceptance];
    };
    for (let i = 0; i < 999; i++) places.learn(stepReport({ drafted: 4, accepted: 1 }));
    const [first, second, third] = estimate();
    expect(first).toBeCloseTo(1, 2);
    expect(second).toBeCloseTo(0, 2);
    expect(third).toBeCloseTo(second!, 9); // Never reached: like the place before.
    for (let i = 0; i < 999; i++) places.learn(stepReport({ drafted: 2, accepted: 2 }));
    expect(estimate()[2]).toBeCloseTo(estimate()[1]!, 9);
  });
});

describe('hedge', () => {
  it('follows what does best on the text: plain decoding, and deep drafts', () => {
    const bad = controllers.hedge({ lead: 2 });
    const plainly = depthsOf(bad, costs({ level: 1, riser: 10 }), 0, 400);
    expect(plainly.slice(200).filter((depth) => depth > 0).length).toBeLessThan(10);
    const good = controllers.hedge({ lead: 2 });
    expect(usual(depthsOf(good, costs({ draft: { msPerToken: 0.2 } }), 0.95, 400))).toBeGreaterThanOrEqual(7);
  });

  it('has all other built-in policies among its experts, fixed depths up to 16 too', () => {
    const names = EXPERTS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const others = controllerNames.filter((name) => name !== 'hedge' && name !== 'fixed');
    expect(names).toEqual(expect.arrayContaining(others));
    expect(names).toEqual(expect.arrayContaining([1, 2, 4, 8, 12, 16].map((depth) => `fixed:${depth}`)));
    for (const { name, make } of EXPERTS) expect(name).toMatch(make().name);
  });

  it("asks the experiment's policy for the depth that it would have come to by its own drafts", () => {
    const expert = () => EXPERTS.find(({ name }) => name === 'adaptive')!;
    expect(expert().sees).toBe('own');
    const [asked, alone] = [expert().make(), controllers.adaptive()];
    for (const controller of [asked, alone]) controller.begin!(requestInfo());
    // Sixteen tokens are drafted, of which the first wrong one is the seventh or the first, in turns.
    let [plan, own]: [Plan, Plan] = [8, 8];
    for (let step = 1; step < 200; step++) {
      const accepted = step % 2 ? 6 : 0;
      const fields = { step, depth: 24, drafted: 24, accepted, tokens: new Int32Array(accepted + 1) };
      const report = stepReport({ ...fields, text: 'Some words. ' });
      const mine = counterfactual(plan, report, false, 0);
      expect(mine).toMatchObject({ isKnown: true, drafted: depthOf(plan), verified: depthOf(plan) });
      plan = asked.nextPlan(viewOf(report, depthOf(plan), mine, {} as StepReport));
      const depth = depthOf(own);
      const right = Math.min(accepted, depth);
      own = alone.nextPlan(
        stepReport({ ...fields, depth, drafted: depth, accepted: right, text: 'Some words. ' }),
      );
      expect(plan).toBe(own);
    }
    // It has moved away from where it began.
    expect(plan).not.toBe(8);
  });

  it('looks at as many as 16 tokens, the deepest fixed depth, where drafting them costs next to nothing', () => {
    const controller = controllers.hedge({ lookInterval: 8 });
    const looks = new Set<string>();
    const explain = controller.explain.bind(controller);
    const nextPlan = controller.nextPlan.bind(controller);
    controller.nextPlan = (report) => {
      const plan = nextPlan({ ...report, draftMs: 0.01 * report.drafted });
      const look = /^look at \d+ tokens/.exec(explain().reason)?.[0];
      if (look) looks.add(look);
      return plan;
    };
    // Three rows are dear, so that nobody who looks at costs verifies two tokens.
    depthsOf(controller, costs({ level: 2, riser: 100, draft: { msPerToken: 0.01 } }), 0.8, 300);
    expect([...looks]).toEqual(['look at 16 tokens']);
  });

  it('looks deeper every so many steps, and verifies no more for it', () => {
    const controller = controllers.hedge({ lookInterval: 16 });
    const depths = depthsOf(controller, costs(), 0.5, 200);
    expect(depths.filter((depth) => depth >= 5).length).toBeGreaterThanOrEqual(8);
    const without = depthsOf(controllers.hedge({ lookInterval: 0 }), costs(), 0.5, 200);
    expect(without.slice(100).filter((depth) => depth >= 5).length).toBeLessThan(3);
  });

  it('counts what asking the model costs the pass', () => {
    const dear = costs({ draft: { afterMs: 20 } });
    const depths = depthsOf(controllers.hedge({ lead: 2, lookInterval: 0 }), dear, 0.4, 400);
    expect(usual(depths)).toBe(0);
  });

  it('weighs experts by what they gain on the one followed; who is asleep keeps its weight', () => {
    const weights = new ExponentialWeights(3, { rate: 0.1, discount: 1 });
    for (let i = 0; i < 10; i++) weights.learn([0, 1, Number.NaN], 0);
    expect(weights.snapshot()).toEqual([0, expect.closeTo(1, 9), 0]);
    expect(weights.best(0, 9)).toBe(1);
    expect(weights.best(0, 11)).toBe(0);
    expect(weights.share(1)).toBeCloseTo(Math.E / (Math.E + 2), 9);
  });

  it('scores a draft that was verified in part once the text has come as far', () => {
    const pending = new PendingDrafts();
    const resolved: number[] = [];
    const learn = (tokens: number[], draft: number[], verified: number, accepted: number) =>
      pending.learn(
        stepReport({
          ...{ drafted: draft.length, verified, accepted },
          ...{ tokens: Int32Array.from(tokens), draftTokens: Int32Array.from(draft) },
        }),
        [],
        (right) => resolved.push(right),
      );
    learn([1, 2], [1, 2, 3, 4], 1, 1); // Two are right, two are to come.
    expect(resolved).toEqual([]);
    learn([3], [9], 1, 0); // The third is, too; and this draft is wrong at once.
    expect(resolved).toEqual([0]);
    learn([5], [], 0, 0); // The fourth is not.
    expect(resolved).toEqual([0, 3, 0]);
  });
});
