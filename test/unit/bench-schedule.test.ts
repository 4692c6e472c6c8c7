// The order of a benchmark's runs.
import { describe, expect, it } from 'vitest';
import { defaultPrompts } from '../../lib/bench/prompts.js';
import { blockSeeds, schedule } from '../../lib/bench/schedule.js';

const arms = ['plain', 'fixed:8', 'fixed:16', 'adaptive'];
const prompts = defaultPrompts();
const options = { arms, prompts, blocks: 2, temperatures: [0, 0.7], seed: 5 };

describe('a schedule', () => {
  const groups = schedule(options);

  it('runs every prompt once per block and temperature', () => {
    const keys = groups.map(({ block, temperature, prompt }) => `${block} ${temperature} ${prompt.id}`);
    expect(new Set(keys).size).toBe(groups.length);
    expect(groups).toHaveLength(2 * 2 * prompts.length);
  });

  it('runs every arm twice in a group, in an order and its reverse', () => {
    for (const { order } of groups) {
      expect(order.slice(0, arms.length).sort()).toEqual([...arms].sort());
      expect(order.slice(arms.length)).toEqual(order.slice(0, arms.length).reverse());
    }
  });

  it('puts each arm first about equally often', () => {
    for (const arm of arms) {
      const first = groups.filter(({ order }) => order[0] === arm).length;
      expect(first).toBeGreaterThan(groups.length / arms.length / 2);
    }
  });

  it('takes the kinds in turn, so that a part of a block has some of each', () => {
    const kinds = new Set(prompts.map(({ kind }) => kind));
    for (let i = 0; i < prompts.length; i += kinds.size)
      expect(new Set(groups.slice(i, i + kinds.size).map(({ prompt }) => prompt.kind))).toEqual(kinds);
  });

  it('gives all runs of a block one seed, and blocks different ones', () => {
    const seeds = blockSeeds(5, 2);
    expect(seeds[0]).not.toBe(seeds[1]);
    for (const { block, seed } of groups) expect(seed).toBe(seeds[block]);
  });

  it('is the same for the same seed, and another for another', () => {
    expect(schedule(options)).toEqual(groups);
    expect(schedule({ ...options, seed: 6 })).not.toEqual(groups);
  });
});
