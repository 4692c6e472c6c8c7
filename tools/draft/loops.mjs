// Where greedy text begins to repeat itself. What comes after says nothing about a draft, and is not trained on.

/** Longest period that counts, in tokens. */
const LONGEST = 96;
/** A loop is this many repetitions, and at least so many tokens. */
const REPEATS = 3;
const SHORTEST = 24;

/**
 * @param {ArrayLike<number>} tokens
 * @returns {{start: number, period: number} | undefined} the first loop
 */
export function firstLoop(tokens) {
  let best;
  for (let period = 1; period <= LONGEST; period++) {
    const span = Math.max(REPEATS * period, SHORTEST);
    // How many tokens up to here equal the one a period before.
    let run = 0;
    for (let i = period; i < tokens.length; i++) {
      run = tokens[i] === tokens[i - period] ? run + 1 : 0;
      if (run + period >= span) {
        const start = i - run - period + 1;
        if (!best || start < best.start) best = { start, period };
        break;
      }
    }
  }
  return best;
}

/** Whether a text's end repeats itself: cheap enough to be asked while the text is being made. */
export function endsInLoop(text) {
  for (let period = 4; period <= 400; period++) {
    const span = Math.max(REPEATS * period, 120);
    if (span > text.length) return false;
    let i = text.length - 1;
    while (i >= text.length - span + period && text[i] === text[i - period]) i--;
    if (i < text.length - span + period) return true;
  }
  return false;
}
