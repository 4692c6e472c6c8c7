// Fixed depths, names of controllers, and values that are no controller.

import { describe, expect, it } from 'vitest';
import { AdaptiveSpecController } from '../../lib/control/adaptive-spec-controller.js';
import { AutoController } from '../../lib/control/auto-controller.js';
import { controllers, resolveController } from '../../lib/control/controllers.js';
import { fixedDepth, nativeDepthOf, off } from '../../lib/control/fixed-depth.js';

const invalid = (hint: RegExp) =>
  expect.objectContaining({ code: 'INVALID_ARGUMENT', hint: expect.stringMatching(hint) });

describe('fixedDepth and off', () => {
  it('give their depth natively and, if asked, as a plan', () => {
    for (const [controller, depth] of [
      [fixedDepth(0), 0],
      [fixedDepth(64), 64],
      [off(), 0],
    ] as const) {
      expect(controller.nativeDepth).toBe(depth);
      expect(nativeDepthOf(controller)).toBe(depth);
      expect(controller.nextPlan(undefined as never)).toBe(depth);
      expect(controller.explain?.()).toMatchObject({ k: depth });
    }
    expect(off().name).toBe('off');
    expect(fixedDepth(8).name).toBe('fixed');
  });

  it.each([-1, 65, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '8', null, undefined, 8n])(
    'refuse %s',
    (depth) => {
      expect(() => fixedDepth(depth as number)).toThrow(invalid(/0.*64/));
    },
  );

  it('cannot be changed after they were checked', () => {
    expect(() => Object.assign(fixedDepth(8), { nativeDepth: 1e9 })).toThrow(TypeError);
  });

  it('are told from look-alikes, whose depth nobody checked', () => {
    expect(nativeDepthOf({ name: 'x', nextPlan: () => 8, nativeDepth: 1e9 } as never)).toBeUndefined();
    expect(nativeDepthOf(() => 8)).toBeUndefined();
    const trap = () => {
      throw new Error('trap');
    };
    const hostile = new Proxy(fixedDepth(8), { get: trap, has: trap, getPrototypeOf: trap });
    expect(nativeDepthOf(hostile)).toBeUndefined();
  });
});

describe('resolveController', () => {
  it('knows the names, and takes a depth alone for a fixed one', () => {
    expect(resolveController('adaptive')).toBeInstanceOf(AdaptiveSpecController);
    expect(resolveController(undefined)).toBeInstanceOf(AutoController);
    expect(nativeDepthOf(resolveController('off'))).toBe(0);
    expect(nativeDepthOf(resolveController('fixed', { depth: 12 }))).toBe(12);
    expect(nativeDepthOf(resolveController(undefined, { depth: 12 }))).toBe(12);
    expect(nativeDepthOf(resolveController(undefined, { depth: 0 }))).toBe(0);
  });

  it('gives a new adaptive controller each time, so that requests share no state', () => {
    expect(resolveController('adaptive')).not.toBe(resolveController('adaptive'));
    expect(controllers.adaptive({ kMax: 16 }).explain().k).toBe(8);
  });

  it('passes users’ functions and objects through', () => {
    const plan = () => 8;
    const object = { name: 'mine', nextPlan: plan };
    expect(resolveController(plan)).toBe(plan);
    expect(resolveController(object)).toBe(object);
  });

  it.each([
    ['adaptve', /Did you mean 'adaptive'\?/],
    ['Fixed', /Did you mean 'fixed'\?/],
    ['of', /Did you mean 'off'\?/],
    ['speculative', /^Known names: auto, adaptive, .*, fixed, off\.$/],
    ['', /^Known names/],
    ['x'.repeat(1e6), /^Known names/],
    ['fixed', /depth/],
  ])('has a hint for wrong name %#', (name, hint) => {
    expect(() => resolveController(name)).toThrow(invalid(hint));
  });

  it('refuses a depth that would do nothing', () => {
    for (const value of ['adaptive', 'off', () => 8]) {
      expect(() => resolveController(value, { depth: 8 })).toThrow(invalid(/fixed/));
    }
    expect(() => resolveController('fixed', { depth: 65 })).toThrow(invalid(/64/));
  });

  it('refuses what is no controller, without a throw of its own', () => {
    const hostile = new Proxy(
      {},
      {
        has() {
          throw new Error('trap');
        },
      },
    );
    for (const value of [null, 8, {}, { nextPlan: 8 }, [], Symbol('x'), hostile]) {
      expect(() => resolveController(value as never)).toThrow(invalid(/nextPlan/));
    }
    expect(() => resolveController(AdaptiveSpecController as never)).toThrow(invalid(/new/));
  });
});
