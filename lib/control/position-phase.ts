// Whether a generation is still finding its form or has found it.

/** Where in the generation a step is. */
export type PositionPhase = 'early' | 'late';

/**
 * Emitted tokens before which a position is 'early': about three lines. By then an answer has said what it is (its
 * opening sentence is over, a fence or a list has begun), and there is a text that the rest can repeat. The number is
 * a convention, not a fit.
 */
export const EARLY_TOKENS = 64;

/** The phase of a position; `position` is `StepReport.position`, the number of tokens emitted so far. */
export function positionPhase(position: number): PositionPhase {
  return position < EARLY_TOKENS ? 'early' : 'late';
}
