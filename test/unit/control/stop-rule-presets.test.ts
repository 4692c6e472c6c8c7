// The presets that stop by the drafter's signals, against what is published of them.

import { describe, expect, it } from 'vitest';
import { bestThreshold } from '../../../lib/control/confidence-controller.js';
import type { DepthController, DetailedPlan, StepReport } from '../../../lib/control/controller.js';
import { controllers } from '../../../lib/control/controllers.js';
import type { CostTable } from '../../../lib/control/costs.js';
import { draftedBy, trimmedTo } from '../../../lib/control/stop-rule.js';
import { requestInfo, stepReport } from '../step-report.js';

function started<C extends DepthController>(controller: C, costs?: CostTable): C {
  controller.begin?.(requestInfo(costs ? { costs } : {}));
  return controller;
}

/** A step whose draft had these probabilities. */
function draft(probabilities: number[], accepted: number, fields: Partial<StepReport> = {}): StepReport {
  const drafted = probabilities.length;
  return stepReport({
    step: 1,
    depth: 20,
    drafted,
    accepted,
    probabilities: new Float32Array(probabilities),
    tokens: new Int32Array(accepted + 1),
    ...fields,
  });
}

const first = (controller: DepthController) => controller.nextPlan(stepReport()) as DetailedPlan;

/** Tokens that a plan drafts of these. */
function draftsOf(
  { stop = {}, depth }: DetailedPlan,
  probabilities: number[],
  entropies = probabilities.map(() => 0),
) {
  const signals = { probabilities, margins: probabilities.map(() => 0), entropies };
  return draftedBy(stop, signals, depth).drafted;
}

describe('bestThreshold', () => {
  const fitted = (probabilities: number[], matches: boolean[], missCost: number) =>
    bestThreshold(
      probabilities.map((probability, i) => ({ probability, matched: matches[i]! })),
      missCost,
    );

  it('is the least false positive rate + 3 false negative rate', () => {
    // At 0.9: 0 + 3 * 1/2. At 0.5: 1/2 + 3 * 1/2. At 0.4: 1/2 + 0. At 0.1: 1 + 0.
    expect(fitted([0.9, 0.5, 0.4, 0.1], [true, false, true, false], 3)).toBe(0.4);
    // With a cheap miss, the second match isn't worth the wasted token.
    expect(fitted([0.9, 0.5, 0.4, 0.1], [true, false, true, false], 0.5)).toBe(0.9);
  });

  it('takes the largest of equally good ones, and tokens of one probability together', () => {
    expect(fitted([0.9, 0.5, 0.2], [true, false, false], 0)).toBe(0.9);
    expect(fitted([0.5, 0.5, 0.3], [true, false, true], 3)).toBe(0.3);
  });

  it('is none where only one outcome was seen', () => {
    expect(fitted([0.9, 0.5], [true, true], 3)).toBeUndefined();
    expect(fitted([0.9, 0.5], [false, false], 3)).toBeUndefined();
  });
});

describe('confidence', () => {
  it('starts with 20 tokens and threshold 0.4', () => {
    expect(first(started(controllers.confidence()))).toEqual({
      depth: 20,
      stop: { minProbability: 0.4, keep: true },
    });
  });

  it('fits from the sixth token on, and only once both outcomes were seen', () => {
    const controller = started(controllers.confidence());
    const threshold = (report: StepReport) =>
      (controller.nextPlan(report) as DetailedPlan).stop?.minProbability;
    expect(threshold(draft([0.875, 0.875, 0.875, 0.875, 0.5], 4))).toBe(0.4);
    expect(threshold(draft([0.75], 1))).toBe(0.75);
    const agreeing = started(controllers.confidence());
    expect(agreeing.nextPlan(draft([0.875, 0.875, 0.875, 0.875, 0.875, 0.875, 0.875], 7))).toMatchObject({
      stop: { minProbability: 0.4 },
    });
  });

  it('knows nothing of the tokens after the first wrong one', () => {
    const controller = started(controllers.confidence());
    controller.nextPlan(draft([0.9, 0.8, 0.7, 0.6], 1));
    expect(controller.snapshot().tokens.map(({ matched }) => matched)).toEqual([true, false]);
  });

  it('learns from the doubtful token that ends each draft', () => {
    const controller = started(controllers.confidence());
    controller.nextPlan(draft([0.5, 0.25], 2));
    controller.nextPlan(draft([0.125], 0));
    expect(controller.snapshot().tokens).toEqual([
      { probability: 0.5, matched: true },
      { probability: 0.25, matched: true },
      { probability: 0.125, matched: false },
    ]);
  });

  it('lowers a threshold below which tokens turn out to be right', () => {
    const controller = started(controllers.confidence());
    let plan: unknown;
    for (let i = 0; i < 3; i++) plan = controller.nextPlan(draft([0.75, 0.25], 2));
    plan = controller.nextPlan(draft([0.125], 0));
    expect((plan as DetailedPlan).stop?.minProbability).toBe(0.25);
  });

  it('starts anew with each request, as in Transformers', () => {
    const controller = started(controllers.confidence());
    controller.nextPlan(draft([0.9, 0.9, 0.9, 0.9, 0.9, 0.6, 0.5], 6));
    controller.begin(requestInfo());
    expect(first(controller)).toEqual({ depth: 20, stop: { minProbability: 0.4, keep: true } });
    expect(controller.snapshot().tokens).toEqual([]);
  });

  it('remembers no more than its window', () => {
    const controller = started(controllers.confidence({ window: 6 }));
    for (let i = 0; i < 10; i++) controller.nextPlan(draft([0.75, 0.5], 2));
    expect(controller.snapshot().tokens.map(({ probability }) => probability)).toEqual([
      0.75, 0.5, 0.75, 0.5, 0.75, 0.5,
    ]);
  });
});

describe('specdec++', () => {
  it('stops where a rejection is likelier than 0.7, with the token that makes it so', () => {
    const plan = first(started(controllers['specdec++']()));
    expect(plan.depth).toBe(20);
    // 0.8^5 = 0.33, 0.8^6 = 0.26
    expect(draftsOf(plan, new Array(20).fill(0.8))).toBe(6);
    expect(draftsOf(plan, [0.9, 0.3, 0.9])).toBe(2);
    expect(draftsOf(plan, new Array(30).fill(1))).toBe(20);
  });

  it('learns that a drafter is too sure of itself', () => {
    const controller = started(controllers['specdec++']());
    const sure = new Array(10).fill(0.95);
    const before = draftsOf(first(controller), new Array(20).fill(0.95));
    let plan: unknown;
    for (let i = 0; i < 80; i++) plan = controller.nextPlan(draft(sure, i % 3 === 0 ? 1 : 0));
    expect(before).toBe(20);
    expect(draftsOf(plan as DetailedPlan, new Array(20).fill(0.95))).toBeLessThanOrEqual(2);
  });

  it('believes the drafter where it is told to', () => {
    const controller = started(controllers['specdec++']({ acceptance: 'drafter' }));
    const before = first(controller);
    for (let i = 0; i < 40; i++) controller.nextPlan(draft([0.9, 0.9], 0));
    expect(before.stop).toEqual({ minSurvival: 1 - 0.7, keep: true });
    expect(controller.nextPlan(draft([0.9], 0))).toEqual(before);
  });
});

describe('adaedl', () => {
  const lambda = (controller: ReturnType<typeof controllers.adaedl>) => controller.snapshot().lambda;

  it('drafts until 1 - sqrt(0.2 H) is below lambda', () => {
    const plan = first(started(controllers.adaedl()));
    const bound = (entropy: number) => 1 - Math.sqrt(0.2 * entropy);
    for (const entropy of [0, 0.5, 0.79, 0.81, 2]) {
      expect(draftsOf(plan, [0.5, 0.5], [entropy, 0])).toBe(bound(entropy) >= 0.6 ? 2 : 1);
    }
  });

  it('raises lambda below the target, lowers it above, a tenth of 0.01 at a time', () => {
    const controller = started(controllers.adaedl());
    // The rate: 0.5 * 0 + 0.5 * 1 = 0.5, then 0.75, 0.875, 0.9375.
    const seen = [1, 2, 3, 4].map(() => {
      controller.nextPlan(draft([0.9, 0.9], 2));
      return lambda(controller);
    });
    expect(seen.map((value) => Number(value.toFixed(6)))).toEqual([0.601, 0.602, 0.603, 0.602]);
  });

  it('leaves lambda alone after a draft of full length that was right', () => {
    const controller = started(controllers.adaedl({ maxDepth: 2 }));
    for (let i = 0; i < 4; i++) controller.nextPlan(draft([0.9, 0.9], 2));
    expect(lambda(controller)).toBeCloseTo(0.603, 9);
  });

  it('keeps lambda between 0 and 1', () => {
    const controller = started(controllers.adaedl({ lambda: 1, lambdaMemory: 0, change: 1 }));
    controller.nextPlan(draft([0.9], 0));
    expect(lambda(controller)).toBe(1);
  });
});

describe('svip', () => {
  it('drafts at most 40 tokens, until sqrt(0.15 H) is above 0.3, whatever is accepted', () => {
    const controller = started(controllers.svip());
    const plan = first(controller);
    expect(plan.depth).toBe(40);
    for (const entropy of [0, 0.59, 0.61, 3]) {
      expect(draftsOf(plan, [0.5, 0.5], [entropy, 0])).toBe(Math.sqrt(0.15 * entropy) > 0.3 ? 1 : 2);
    }
    expect(controller.nextPlan(draft([0.9, 0.9], 0))).toEqual(plan);
  });
});

describe('disco', () => {
  it('drafts until a token alone is not likely enough', () => {
    const plan = first(started(controllers.disco()));
    expect(draftsOf(plan, [0.6, 0.6, 0.6, 0.6, 0.4, 0.9])).toBe(5);
  });

  it('learns from what is accepted that high probabilities mean little', () => {
    const controller = started(controllers.disco());
    let plan: unknown;
    for (let i = 0; i < 80; i++) plan = controller.nextPlan(draft([0.8], i % 5 === 0 ? 1 : 0));
    expect(draftsOf(plan as DetailedPlan, [0.8, 0.8])).toBe(1);
  });

  it('keeps weights that were trained before', () => {
    const weights = { bias: -1, logit: 0.5, margin: 1, entropy: -0.25, place: 0.125 };
    const controller = started(controllers.disco({ weights }));
    for (let i = 0; i < 20; i++) controller.nextPlan(draft([0.8], 0));
    expect(controller.nextPlan(draft([0.8], 0))).toEqual({
      depth: 20,
      stop: { minAcceptance: 0.5, keep: true, acceptance: weights },
    });
  });
});

describe('vllm', () => {
  /** Rows up to 4 cost next to nothing, the fifth costs a step of its own. */
  const costs: CostTable = {
    target: [
      { rows: 1, contextLength: 0, ms: 100 },
      { rows: 4, contextLength: 0, ms: 103 },
      { rows: 5, contextLength: 0, ms: 200 },
      { rows: 8, contextLength: 0, ms: 203 },
    ],
    draft: { msPerToken: 2, threads: 2 },
    overheadMs: 1,
    rebuildMs: 0,
    callbackMs: 0,
  };
  /** Sure tokens are always right; each unsure one every second time, whatever its place. */
  function trained(table?: CostTable) {
    const controller = started(controllers.vllm({ interval: 10, warmupFits: 2 }), table);
    let plan: unknown = first(controller);
    for (let i = 1; i <= 64; i++) {
      const unsureRight = Math.min(5, 31 - Math.clz32(i & -i));
      const probabilities = [0.95, 0.95, 0.5, 0.5, 0.5, 0.5, 0.5];
      plan = controller.nextPlan(draft(probabilities, 2 + unsureRight, { depth: 7 }));
    }
    return { controller, plan };
  }

  it('verifies all 7 tokens without costs', () => {
    const { controller, plan } = trained();
    expect(plan).toEqual({ depth: 7 });
    expect(controller.explain().reason).toBe('no costs: all is verified');
  });

  it('verifies all 7 tokens until the estimator was fitted often enough', () => {
    const controller = started(controllers.vllm({ interval: 2, warmupFits: 2 }), costs);
    const plans = [1, 2, 3, 4].map(() => controller.nextPlan(draft([0.9, 0.5], 1)));
    expect(plans.map((plan) => (plan as DetailedPlan).trim)).toEqual([undefined, undefined, undefined, true]);
    expect(plans[0]).toEqual({ depth: 7 });
  });

  it('then verifies as many as survival and cost are worth', () => {
    const { depth, stop, trim } = trained(costs).plan as DetailedPlan;
    expect(trim).toBe(true);
    const verified = (probabilities: number[]) => {
      const signals = { probabilities, margins: probabilities, entropies: probabilities };
      return trimmedTo(stop!, signals, draftedBy(stop!, signals, depth).drafted, 0);
    };
    // Unsure tokens are not worth the fifth row's 97 ms, sure ones are.
    expect(verified([0.95, 0.95, 0.95, 0.5, 0.5, 0.5, 0.5])).toBe(3);
    expect(verified(new Array(7).fill(0.999))).toBe(7);
  });

  it('stops drafting only where no further token could be verified', () => {
    const { stop } = trained(costs).plan as DetailedPlan;
    let x = 1;
    for (let i = 0; i < 500; i++) {
      const probabilities = Array.from({ length: 7 }, () => {
        x = (x * 48271) % 2147483647;
        return x / 2147483647;
      });
      const signals = { probabilities, margins: probabilities, entropies: probabilities };
      const { drafted } = draftedBy(stop!, signals, 7);
      expect(trimmedTo(stop!, signals, drafted, 0)).toBe(trimmedTo(stop!, signals, 7, 0));
    }
  });

  it('values time by the rate that was reached, in the costs’ own time', () => {
    const { stop } = trained(costs).plan as DetailedPlan;
    // About four tokens a step, 7 * 2 + v(8) + 1 = 218 ms.
    expect(stop!.value!.tokensPerMs).toBeGreaterThan(3.7 / 218);
    expect(stop!.value!.tokensPerMs).toBeLessThan(4.3 / 218);
  });

  it("counts what asking the model costs the target's pass, whatever is verified", () => {
    const dear = { ...costs, mixedMs: 3, draft: { ...costs.draft, afterMs: 7 } };
    const curve = (table: CostTable) => (trained(table).plan as DetailedPlan).stop!.value!.verifyMs;
    expect(curve(dear)[0]! - curve(costs)[0]!).toBeCloseTo(3, 9);
    expect(curve(dear)[4]! - curve(costs)[4]!).toBeCloseTo(7, 9);
  });

  it('learns more confidence in what the drafter is sure of', () => {
    const { acceptance } = (trained(costs).plan as DetailedPlan).stop!;
    expect(acceptance!.logit).toBeGreaterThan(0);
    expect(acceptance!.margin).toBe(0);
  });
});
