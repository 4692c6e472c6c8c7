// The presets that look at accepted counts only, against what is published of them.

import { describe, expect, it } from 'vitest';
import type { DepthController } from '../../../lib/control/controller.js';
import { controllers } from '../../../lib/control/controllers.js';
import { requestInfo, stepReport } from '../step-report.js';

/** The plan after a draft of `drafted` tokens, of which `accepted` were right. */
function after(controller: DepthController, drafted: number, accepted: number, depth = drafted) {
  return controller.nextPlan(stepReport({ step: 1, depth, drafted, accepted }));
}

function started<C extends DepthController>(controller: C, maxDepth = 64): C {
  controller.begin?.(requestInfo({ maxDepth }));
  return controller;
}

describe('heuristic', () => {
  it('starts with 20', () => {
    expect(started(controllers.heuristic()).nextPlan(stepReport())).toBe(20);
  });

  it('goes two up when all were accepted, else one down, not below 1', () => {
    const controller = started(controllers.heuristic({ depth: 2 }));
    expect(after(controller, 2, 2)).toBe(4);
    expect(after(controller, 4, 3)).toBe(3);
    expect([1, 2, 3].map(() => after(controller, 3, 0))).toEqual([2, 1, 1]);
  });

  it('counts a draft that a limit cut short as accepted whole, and an empty one not at all', () => {
    const controller = started(controllers.heuristic({ depth: 5 }));
    expect(after(controller, 2, 2, 5)).toBe(7);
    expect(after(controller, 0, 0, 7)).toBe(7);
  });

  it('grows to its own limit and to the engine’s', () => {
    const own = started(controllers.heuristic({ depth: 5, maxDepth: 6 }));
    expect([1, 2].map(() => after(own, 5, 5))).toEqual([6, 6]);
    const engine = started(controllers.heuristic({ depth: 7 }), 8);
    expect([1, 2, 3].map(() => after(engine, 8, 8))).toEqual([8, 8, 8]);
    expect(after(engine, 8, 7)).toBe(7);
  });

  it('keeps its depth from request to request', () => {
    const controller = started(controllers.heuristic());
    after(controller, 20, 20);
    controller.begin(requestInfo());
    expect(controller.nextPlan(stepReport())).toBe(22);
  });
});

describe('gammatune', () => {
  it('takes two more than were accepted after a full accept, else the average rounded up', () => {
    const controller = started(controllers.gammatune());
    expect(controller.nextPlan(stepReport())).toBe(3);
    expect(after(controller, 3, 3)).toBe(5);
    // 0.7 * 3 + 0.3 * 2 = 2.7
    expect(after(controller, 5, 2)).toBe(3);
    expect(controller.explain().reason).toBe('average 2.70 accepted');
    expect(after(controller, 3, 3)).toBe(5);
    // The full accept left the average alone: 0.7 * 2.7 + 0.3 * 0 = 1.89
    expect(after(controller, 5, 0)).toBe(2);
  });

  it('stays within its range', () => {
    const controller = started(controllers.gammatune());
    expect([3, 5, 7, 9, 10].map((k) => after(controller, k, k))).toEqual([5, 7, 9, 10, 10]);
    for (let i = 0; i < 20; i++) after(controller, 5, 0);
    expect(after(controller, 5, 0)).toBe(1);
  });

  it('starts inside a range that leaves out 3', () => {
    expect(started(controllers.gammatune({ minDepth: 5 })).nextPlan(stepReport())).toBe(5);
  });

  it('as GammaTune+ stops before improbable tokens, and learns nothing from a short draft that was right', () => {
    const controller = started(controllers.gammatune({ minProbability: 0.4 }));
    const plan = { depth: 3, stop: { minProbability: 0.4 } };
    expect(controller.nextPlan(stepReport())).toEqual(plan);
    expect(after(controller, 2, 2, 3)).toEqual(plan);
    expect(after(controller, 3, 3, 3)).toEqual({ ...plan, depth: 5 });
  });
});

describe('tiers', () => {
  const many = (controller: DepthController, steps: number, accepted: number) => {
    let plan: unknown;
    for (let i = 0; i < steps; i++) plan = after(controller, 7, accepted);
    return plan;
  };

  it('starts in the middle, and with the tier that is asked for', () => {
    expect(started(controllers.tiers()).nextPlan(stepReport())).toBe(5);
    expect(started(controllers.tiers({ depth: 3 })).nextPlan(stepReport())).toBe(3);
  });

  it('moves first at the fifth step after ten of warm-up, then every fifth', () => {
    const controller = started(controllers.tiers());
    expect(many(controller, 14, 7)).toBe(5);
    expect(many(controller, 1, 7)).toBe(7);
    expect(many(controller, 4, 0)).toBe(7);
    // 6.89 * 0.8^5 = 2.26: not above 5 - 0.5 - 0.25, but above 3 - 0.5 - 0.25.
    expect(many(controller, 1, 0)).toBe(5);
    // 2.26 * 0.8^5 = 0.74
    expect(many(controller, 5, 0)).toBe(3);
  });

  it('averages with weight 0.2 from one less than the tier', () => {
    const controller = started(controllers.tiers());
    many(controller, 1, 0);
    expect(controller.snapshot().average).toBeCloseTo(3.2, 12);
  });

  it('rises above tier - 0.5, and falls at the tier below - 0.75', () => {
    const at = (average: number, tier: number) => {
      const controller = started(controllers.tiers({ alpha: 0, warmup: 0, interval: 1 }));
      controller.restore({ ...controller.snapshot(), average, tier });
      return many(controller, 1, 0);
    };
    // From 3: up above 2.5, and on to 7 above 4.5; down at 0.25.
    expect([0.25, 0.26, 2.5, 2.51, 4.5, 4.51].map((average) => at(average, 1))).toEqual([1, 3, 3, 5, 5, 7]);
    // From 7: down at 4.25, at 2.25 and at 0.25.
    expect([4.26, 4.25, 2.26, 2.25, 0.25].map((average) => at(average, 3))).toEqual([7, 5, 5, 3, 1]);
  });

  it('takes tier 0 where almost nothing is accepted, for one interval', () => {
    const controller = started(controllers.tiers({ tiers: [0, 1, 3], depth: 1, warmup: 0, interval: 2 }));
    const plans: unknown[] = [1];
    for (let i = 0; i < 8; i++) plans.push(after(controller, plans.at(-1) as number, 0));
    expect(plans).toEqual([1, 1, 0, 0, 1, 1, 0, 0, 1]);
    expect([1, 2].map(() => after(controller, 1, 1)).at(-1)).toBe(1);
    expect([1, 2, 3, 4].map(() => after(controller, 1, 1)).at(-1)).toBe(3);
  });

  it('learns nothing of acceptance at tier 0', () => {
    const controller = started(controllers.tiers({ tiers: [0, 2], depth: 0, warmup: 0, interval: 3 }));
    expect([1, 2, 3].map(() => after(controller, 0, 0, 0))).toEqual([0, 0, 2]);
    expect(controller.snapshot().average).toBe(1);
  });
});
