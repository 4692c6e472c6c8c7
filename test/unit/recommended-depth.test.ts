// The experiment's table of depths, and the phases of a generation.

import { describe, expect, it } from 'vitest';
import { CONTEXT_KINDS } from '../../lib/control/context-kind.js';
import { positionPhase } from '../../lib/control/position-phase.js';
import { RECOMMENDED_DEPTHS, recommendedDepth } from '../../lib/control/recommended-depth.js';

describe('recommended depths', () => {
  it('are the experiment’s ranges, for every kind', () => {
    expect(RECOMMENDED_DEPTHS).toEqual({
      code: { from: 16, to: 24 },
      prose: { from: 8, to: 12 },
      math: { from: 4, to: 8 },
      json: { from: 4, to: 6 },
      list: { from: 8, to: 12 },
    });
    expect(Object.keys(RECOMMENDED_DEPTHS).sort()).toEqual([...CONTEXT_KINDS].sort());
  });

  it('as one number are the middle of the range', () => {
    expect(CONTEXT_KINDS.map(recommendedDepth)).toEqual([10, 20, 6, 5, 10]);
  });

  it('cannot be changed for everybody by one user', () => {
    expect(() => Object.assign(RECOMMENDED_DEPTHS.code, { to: 64 })).toThrow(TypeError);
    expect(() => Object.assign(RECOMMENDED_DEPTHS, { code: { from: 1, to: 1 } })).toThrow(TypeError);
  });
});

describe('the phase', () => {
  it('is early for the first 64 tokens', () => {
    expect([0, 1, 63, 64, 65, 1e6].map(positionPhase)).toEqual([
      'early',
      'early',
      'early',
      'late',
      'late',
      'late',
    ]);
  });
});
