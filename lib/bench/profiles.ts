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

const arms = (depths: readonly number[]) => [
  PLAIN,
  ...depths.map((depth) => `fixed:${depth}`),
  ...ADAPTIVE_ARMS,
];

export const PROFILES: Record<'smoke' | 'quick' | 'full', Profile> = {
  smoke: {
    arms: arms([8, 16]),
    promptsPerKind: 1,
    maxTokens: 64,
    blocks: 1,
    temperatures: [0],
    timeLimit: 36,
  },
  quick: {
    arms: arms([1, 2, 3, 4, 8, 16]),
    promptsPerKind: 3,
    maxTokens: 128,
    blocks: 1,
    temperatures: [0, 0.7],
    timeLimit: 580,
  },
  full: {
    arms: arms([1, 2, 3, 4, 7, 8, 11, 12, 15, 16, 24]),
    promptsPerKind: Number.POSITIVE_INFINITY,
    maxTokens: 192,
    blocks: 2,
    temperatures: [0, 0.7],
    timeLimit: Number.POSITIVE_INFINITY,
  },
};
