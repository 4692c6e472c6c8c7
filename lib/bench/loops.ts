// Finds where a text begins to repeat itself: small models' greedy texts often end in a loop, which any drafter guesses.

/** Longest cycle looked for, and the least that counts as a loop: so many rounds and so many tokens. */
const LONGEST_CYCLE = 64;
const LEAST_ROUNDS = 3;
const LEAST_TOKENS = 24;

/**
 * Index of the token where the first loop begins; null where there is none. A loop is a cycle of 1 to 64 tokens that
 * is repeated at least 3 times in a row and fills at least 24 tokens.
 */
export function firstLoop(tokens: ArrayLike<number>): number | null {
  let first: number | null = null;
  for (let cycle = 1; cycle <= LONGEST_CYCLE; cycle++) {
    const least = Math.max(LEAST_ROUNDS * cycle, LEAST_TOKENS);
    // Tokens in a row, up to this one, that are what came one cycle before.
    let equal = 0;
    for (let i = cycle; i < tokens.length; i++) {
      equal = tokens[i] === tokens[i - cycle] ? equal + 1 : 0;
      if (equal + cycle < least) continue;
      const begin = i - equal - cycle + 1;
      if (first === null || begin < first) first = begin;
      break;
    }
  }
  return first;
}
