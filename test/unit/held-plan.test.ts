// The plan after a held one: when it is asked for, and from which step it counts. The native engine is held to the same
// by controllers.test.ts, 'whose plan holds for several steps ...'.

import { describe, expect, it } from 'vitest';
import { HeldPlan } from '../../lib/control/held-plan.js';

/** For plans of so many steps in turn: at which reports they are asked for, and from which step on they count. */
function timesOf(holds: readonly number[], reports: number) {
  const held = new HeldPlan<{ steps: number; nth: number }>();
  const asked: number[] = [];
  const counts: number[] = [];
  for (let report = 0; report < reports; report++) {
    const { isDue, isOver } = held;
    if (isOver) expect(isDue).toBe(true);
    const nth = asked.length;
    if (isDue) asked.push(report);
    const plan = held.next(isDue ? { steps: holds[nth % holds.length]!, nth } : undefined);
    if (plan === undefined) continue;
    expect(plan.nth).toBe(counts.length);
    counts.push(report);
  }
  return { asked, counts };
}

describe('HeldPlan', () => {
  it.each([
    { holds: [1], asked: [0, 1, 2, 3, 4], counts: [0, 1, 2, 3, 4] },
    { holds: [2], asked: [0, 1, 3, 5, 7], counts: [0, 2, 4, 6, 8] },
    { holds: [5], asked: [0, 4, 9, 14], counts: [0, 5, 10, 15] },
    { holds: [3, 1], asked: [0, 2, 4, 6, 8], counts: [0, 3, 4, 7, 8] },
  ])('of $holds steps is followed by one that was asked for a step before', ({ holds, asked, counts }) => {
    const times = timesOf(holds, 17);
    expect(times.asked.slice(0, asked.length)).toEqual(asked);
    expect(times.counts.slice(0, counts.length)).toEqual(counts);
  });

  it('goes on where no answer came, and asks again', () => {
    const held = new HeldPlan<{ steps: number }>();
    const plan = { steps: 1 };
    expect(held.next(undefined)).toBeUndefined();
    expect(held.isOver).toBe(true);
    expect(held.next(plan)).toBe(plan);
    expect(held.isOver).toBe(true);
  });
});
