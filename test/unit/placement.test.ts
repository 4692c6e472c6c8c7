// What doctor says of threads, OpenMP, NUMA and locked memory.
import { describe, expect, it } from 'vitest';
import { type PlacementFacts, placement, placementFacts } from '../../lib/cli/placement.js';

const FACTS: PlacementFacts = {
  cpus: 96,
  usable: 96,
  affinity: '0-95',
  numaNodes: 1,
  lockable: Number.POSITIVE_INFINITY,
  openmp: [],
};
const GIB = 2 ** 30;

describe('placement', () => {
  it('has nothing to mend where all is right', () => {
    expect(placement({}, FACTS, GIB)).toEqual({
      detail:
        '96 threads on 96 of 96 CPUs (affinity 0-95), in one pool of our own for both models: no OpenMP; one NUMA node',
      hints: [],
    });
  });

  it.each<[string, Parameters<typeof placement>[0], Partial<PlacementFacts>, RegExp]>([
    [
      'threads beyond the affinity',
      { threads: 96 },
      { usable: 8, affinity: '0-7' },
      /96 is cut to 8.*taskset/,
    ],
    [
      'variables of OpenMP',
      {},
      { openmp: ['OMP_NUM_THREADS', 'OMP_PROC_BIND'] },
      /OMP_NUM_THREADS, OMP_PROC_BIND have no effect/,
    ],
    ['weights on one node of two', {}, { numaNodes: 2 }, /--numa interleave/],
    [
      'a limit of locked memory',
      { mlock: true },
      { lockable: 8 * 2 ** 20 },
      /Only 8\.0 MiB may be locked: ulimit -l/,
    ],
  ])('advises on %s', (_, options, facts, hint) => {
    const { hints } = placement(options, { ...FACTS, ...facts }, GIB);
    expect(hints).toEqual([expect.stringMatching(hint)]);
  });

  it.each([
    [{ numa: 'interleave' as const }, { numaNodes: 2 }],
    [{ threads: 8 }, { usable: 8 }],
    [{ mlock: true }, { lockable: GIB }],
    [{}, { lockable: 1 }],
  ])('has no advice where it was followed: %j', (options, facts) => {
    expect(placement(options, { ...FACTS, ...facts }, GIB).hints).toEqual([]);
  });

  it('reads this machine', () => {
    const facts = placementFacts({ OMP_NUM_THREADS: '4', PATH: '/bin', GOMP_SPINCOUNT: '0' });
    expect(facts.openmp).toEqual(['GOMP_SPINCOUNT', 'OMP_NUM_THREADS']);
    expect(facts.usable).toBeGreaterThanOrEqual(1);
    expect(facts.numaNodes).toBeGreaterThanOrEqual(1);
    expect(facts.lockable).toBeGreaterThan(0);
  });
});
