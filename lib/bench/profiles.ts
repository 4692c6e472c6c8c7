// Profiles: how much is measured, and so how long it takes.

import { ADAPTIVE_ARMS, PLAIN } from './arms.js';

export interface Profile {
  arms: string[];
  promptsPerKind: number;
  maxTokens: number;
  blocks: number;
  temperatures: number[];
  /** Nothing new is begun that would likely end later than so many seconds after the command's start. */
  timeLimit: number;
}

/** Fixed depths of the draft model, and of n-grams with it, so that a drafter's gain isn't taken for adapting's. */
const arms = (depths: readonly number[], ofHybrid: readonly number[]) => [
  PLAIN,
  ...depths.map((depth) => `fixed:${depth}`),
  ...ofHybrid.map((depth) => `fixed:${depth}@hybrid`),
  ...ADAPTIVE_ARMS,
];

export const PROFILES: Record<'smoke' | 'quick' | 'full', Profile> = {
  smoke: {
    arms: arms([8, 16], [2]),
    promptsPerKind: 1,
    maxTokens: 64,
    blocks: 1,
    temperatures: [0],
    timeLimit: 36,
  },
  quick: {
    arms: arms([1, 2, 4, 8, 16], [1, 2, 3, 4, 8]),
    promptsPerKind: 3,
    maxTokens: 128,
    blocks: 1,
    temperatures: [0, 0.7],
    timeLimit: 580,
  },
  full: {
    arms: arms([1, 2, 3, 4, 7, 8, 15, 16], [1, 2, 3, 4, 5, 7, 8, 15, 16]),
    promptsPerKind: Number.POSITIVE_INFINITY,
    maxTokens: 192,
    blocks: 1,
    temperatures: [0, 0.7],
    timeLimit: Number.POSITIVE_INFINITY,
  },
};
