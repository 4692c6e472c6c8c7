// The order of runs: ABBA blocks, so that a machine that slowly changes its speed favours no arm.

import type { BenchPrompt } from './prompts.js';
import { randomFrom, shuffled } from './random.js';

/** One prompt in one block: every arm twice, in a random order and then in the reverse. */
export interface ScheduledGroup {
  block: number;
  temperature: number;
  /** Seed of the sampling: the same for every arm. */
  seed: number;
  prompt: BenchPrompt;
  /** Names of arms: A B C C B A. */
  order: string[];
}

export interface ScheduleOptions {
  arms: readonly string[];
  prompts: readonly BenchPrompt[];
  blocks: number;
  temperatures: readonly number[];
  seed: number;
}

/** Seed of the sampling in each block. */
export function blockSeeds(seed: number, blocks: number): number[] {
  const random = randomFrom(seed);
  return Array.from({ length: blocks }, () => Math.floor(random() * 2 ** 32));
}

/**
 * All groups in the order in which they run. Within a block the kinds take turns, so that what is cut short by a time
 * limit still has some of each; within a kind the order of prompts is random.
 */
export function schedule({ arms, prompts, blocks, temperatures, seed }: ScheduleOptions): ScheduledGroup[] {
  const seeds = blockSeeds(seed, blocks);
  const random = randomFrom(seed + 1);
  const groups: ScheduledGroup[] = [];
  for (let block = 0; block < blocks; block++) {
    for (const temperature of temperatures) {
      for (const prompt of kindsInTurn(prompts, random)) {
        const order = shuffled(arms, random);
        groups.push({
          block,
          temperature,
          seed: seeds[block]!,
          prompt,
          order: [...order, ...order.toReversed()],
        });
      }
    }
  }
  return groups;
}

function kindsInTurn(prompts: readonly BenchPrompt[], random: () => number): BenchPrompt[] {
  const kinds = shuffled([...new Set(prompts.map(({ kind }) => kind))], random);
  const queues = kinds.map((kind) =>
    shuffled(
      prompts.filter((prompt) => prompt.kind === kind),
      random,
    ),
  );
  const longest = Math.max(0, ...queues.map(({ length }) => length));
  return Array.from({ length: longest }, (_, i) => queues.flatMap((queue) => queue.slice(i, i + 1))).flat();
}
