// What is known of drafters by their names.

import { AdaptiveSpecError } from '../errors.js';

/** Ours say how sure they are of a token; llama.cpp's n-grams and trained heads don't. */
const TELL_PROBABILITIES = ['model', 'ngram', 'hybrid'];

/** Whether the drafter of that name says how probable its tokens are, which policies by value need. */
export function tellsProbabilities(drafter: string): boolean {
  return TELL_PROBABILITIES.includes(drafter);
}

/** The place of a request's drafter among those of its engine; the first where it names none. Throws INVALID_ARGUMENT. */
export function drafterIndex(drafters: readonly string[], name: string | undefined): number {
  if (name === undefined) return 0;
  const index = drafters.indexOf(name);
  if (index >= 0) return index;
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `This engine has no drafter named ${JSON.stringify(name.slice(0, 80))}`,
    drafters.length > 0 ? `It has: ${drafters.join(', ')}.` : 'Its target runs without speculation.',
  );
}
