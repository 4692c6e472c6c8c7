// What built-in controllers learn goes on to the next request; whose depth is fixed, or that are the caller's, don't.

import { describe, expect, it } from 'vitest';
import { ControllerPool } from '../../lib/control/controller-pool.js';
import { nativeDepthOf } from '../../lib/control/fixed-depth.js';
import { AdaptiveSpecError } from '../../lib/errors.js';

describe('a pool of controllers', () => {
  it('lends a built-in one again when its request is over, and another while it runs', () => {
    const pool = new ControllerPool();
    const first = pool.take('auto', {});
    const beside = pool.take(undefined, {}); // the default, which is auto too
    expect(beside.name).toBe('auto');
    expect(beside).not.toBe(first);
    pool.giveBack('auto', first);
    expect(pool.take(undefined, {})).toBe(first);
    expect(pool.take('adaptive', {})).not.toBe(first);
  });

  it('never lends a fixed depth for another one', () => {
    const pool = new ControllerPool();
    for (const depth of [4, 9]) {
      const fixed = pool.take(undefined, { depth });
      expect(nativeDepthOf(fixed)).toBe(depth);
      pool.giveBack(undefined, fixed);
      pool.giveBack('fixed', fixed);
    }
    pool.giveBack('off', pool.take('off', {}));
    expect(nativeDepthOf(pool.take('off', {}))).toBe(0);
  });

  it("passes a caller's own through, even one that is named like a built-in one", () => {
    const pool = new ControllerPool();
    const own = { name: 'auto', nextPlan: () => 3 };
    expect(pool.take(own, {})).toBe(own);
    pool.giveBack(own, own);
    expect(pool.take('auto', {})).not.toBe(own);
  });

  it('has the errors of resolveController', () => {
    expect(() => new ControllerPool().take('atuo', {})).toThrow(AdaptiveSpecError);
    expect(() => new ControllerPool().take('auto', { depth: 3 })).toThrow(AdaptiveSpecError);
  });
});
