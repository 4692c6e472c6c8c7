// The on-line fit of an acceptance model: that it finds weights, what it leaves alone, and what it must not learn from.

import { describe, expect, it } from 'vitest';
import { AcceptanceFit, DRAFTER_MODEL } from '../../../lib/control/acceptance-fit.js';
import type { StepReport } from '../../../lib/control/controller.js';
import { acceptanceOf } from '../../../lib/control/stop-rule.js';
import { stepReport } from '../step-report.js';

const all = ['bias', 'logit', 'margin', 'entropy', 'place'] as const;
const options = { weights: all, start: DRAFTER_MODEL, interval: 8, damping: 0, ridge: 1, keep: 0.98 };

/** Numbers from 0 to 1 that look random and are the same every time. */
function numbers(seed: number): () => number {
  let x = seed;
  return () => {
    x = (x * 48271) % 2147483647;
    return x / 2147483647;
  };
}

function signals(random: () => number, length: number): StepReport {
  const list = (scale: number) => Float32Array.from({ length }, () => scale * random());
  return stepReport({
    step: 1,
    drafted: length,
    probabilities: list(1),
    margins: list(1),
    entropies: list(3),
  });
}

describe('AcceptanceFit', () => {
  it('finds the weights that outcomes were drawn from', () => {
    const truth = { bias: -0.5, logit: 0.7, margin: 1, entropy: -0.4, place: 0.3 };
    const random = numbers(7);
    const fit = new AcceptanceFit({ ...options, keep: 1 });
    for (let i = 0; i < 6000; i++) {
      const report = signals(random, 8);
      let accepted = 0;
      while (accepted < 8 && random() < acceptanceOf(truth, report, accepted)) accepted++;
      fit.learn({ ...report, accepted });
    }
    const report = signals(random, 8);
    for (let j = 0; j < 8; j++) {
      expect(acceptanceOf(fit.model, report, j)).toBeCloseTo(acceptanceOf(truth, report, j), 1);
    }
    expect(fit.model.logit).toBeCloseTo(0.7, 0);
  });

  it('fits the weights it was told to', () => {
    const fit = new AcceptanceFit({ ...options, weights: ['bias', 'place'] });
    for (let i = 0; i < 16; i++) fit.learn({ ...signals(numbers(3 + i), 4), accepted: 1 });
    const { bias, place, ...rest } = fit.model;
    expect(rest).toEqual({ logit: 1, margin: 0, entropy: 0 });
    expect(bias).not.toBe(0);
    expect(place).not.toBe(0);
    expect(fit.fits).toBe(2);
  });

  it('learns from verified tokens up to the first wrong one', () => {
    const learnt = (accepted: number, verified: number) => {
      const fit = new AcceptanceFit(options);
      fit.learn({ ...signals(numbers(5), 6), accepted, verified });
      return fit.snapshot().tokens;
    };
    expect(learnt(2, 6)).toBe(3);
    expect(learnt(6, 6)).toBe(6);
    expect(learnt(4, 4)).toBe(4);
    expect(learnt(0, 0)).toBe(0);
  });

  it('never makes a likelier token less acceptable', () => {
    const fit = new AcceptanceFit({ ...options, weights: ['bias', 'logit'], interval: 1 });
    for (let i = 0; i < 200; i++) {
      const sure = i % 2 === 0;
      const report = stepReport({
        step: 1,
        drafted: 1,
        accepted: sure ? 0 : 1,
        probabilities: new Float32Array([sure ? 0.95 : 0.2]),
      });
      fit.learn(report);
      expect(fit.model.logit).toBeGreaterThanOrEqual(0);
    }
  });

  it('is damped where few tokens were seen', () => {
    const bias = (damping: number) => {
      const fit = new AcceptanceFit({ ...options, weights: ['bias'], interval: 1, damping });
      fit.learn({ ...signals(numbers(9), 1), accepted: 0 });
      return fit.model.bias;
    };
    expect(bias(1)).toBeCloseTo(bias(0) / 2, 12);
  });

  it('bears probabilities of 0 and 1', () => {
    const fit = new AcceptanceFit({ ...options, interval: 1 });
    const report = stepReport({ step: 1, drafted: 2, probabilities: new Float32Array([1, 0]) });
    for (const accepted of [0, 1, 2, 0, 2]) fit.learn({ ...report, accepted });
    for (const weight of Object.values(fit.model)) expect(weight).toSatisfy(Number.isFinite);
  });
});
