// Finds where a text begins to repeat itself: small models' greedy texts often end in a loop, which any drafter guesses.

const LONGEST_CYCLE = 128;
/** Cycles of so many tokens are passages, which nobody says twice in a row; shorter ones, and all, fill as many. */
const PASSAGE = 24;

/** Tokens that a cycle fills, at least, where it counts as a loop. */
function leastOf(cycle: number): number {
  return cycle >= PASSAGE ? 2 * cycle : Math.max(3 * cycle, PASSAGE);
}

/**
 * Index of the token where the first loop begins; null where there is none. A loop is a cycle of less than 24 tokens, 3
 * times or more in a row and 24 tokens or more in all, or one of 24 to 128 tokens, twice or more in a row.
 */
export function firstLoop(tokens: ArrayLike<number>): number | null {
  let first: number | null = null;
  for (let cycle = 1; cycle <= LONGEST_CYCLE; cycle++) {
    const least = leastOf(cycle);
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
