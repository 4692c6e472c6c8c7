// What is known of drafters by their names.

/** Ours say how sure they are of a token; llama.cpp's n-grams and trained heads don't. */
const TELL_PROBABILITIES = ['model', 'ngram', 'hybrid'];

/** Whether the drafter of that name says how probable its tokens are, which policies by value need. */
export function tellsProbabilities(drafter: string): boolean {
  return TELL_PROBABILITIES.includes(drafter);
}
