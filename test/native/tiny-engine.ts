// Engines on tiny models, and texts to start from.
import { createEngine, type Engine, type EngineOptions } from '../../lib/index.js';
import { type TinyModelName, tinyModels } from '../tiny-models.js';

/** An engine on tiny models. Warnings go to the list, if one is given. */
export async function tinyEngine(
  target: TinyModelName,
  draft?: TinyModelName,
  options: EngineOptions & { warnings?: string[] } = {},
): Promise<Engine> {
  const models = await tinyModels();
  const { warnings, ...rest } = options;
  return createEngine({
    model: models[target],
    ...(draft ? { draft: models[draft] } : {}),
    contextSize: 512,
    // Else what one test learns of costs would be in the cache for the next one's plans.
    calibrate: 'off',
    onWarning: ({ message }) => warnings?.push(message),
    ...rest,
  });
}

/** Beginnings that lead the tiny target to different texts. */
export const BEGINNINGS = [
  'def hello(x):\n  return',
  'the world is a',
  ' = 10.10; if x y',
  'END of the world',
  '```\nconst y',
];

/** Numbers from a seed, 0 to 1: the same tests on every run. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}
