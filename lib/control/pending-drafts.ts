// Drafts whose end was not verified: how many of their tokens were right is known once the text has come that far.

import type { StepReport } from './controller.js';
import { type Kind, list, real, shape, whole } from './settings.js';

/** What an expert's plan would have done with a draft. */
export interface PlanOutcome {
  /** Draft tokens that it would have verified; -1 where it would have drafted more than there is. */
  verified: number;
  /** What its step would have taken, in milliseconds. */
  ms: number;
}

/** Plain data that survives JSON. */
export interface PendingDraft {
  /** Draft tokens that are not confirmed yet. */
  tokens: number[];
  /** Draft tokens that were right so far. */
  right: number;
  /** By expert. */
  outcomes: PlanOutcome[];
}

const COUNT = whole(0, Number.MAX_SAFE_INTEGER);
const DRAFT: Kind = shape<PendingDraft>({
  tokens: list(whole(0, 2 ** 31 - 1), 1, 64),
  right: COUNT,
  outcomes: list(
    shape<PlanOutcome>({ verified: whole(-1, 64), ms: real(0, Number.MAX_VALUE) }),
    0,
    Number.MAX_SAFE_INTEGER,
  ),
});
/** A draft waits for 63 tokens at most, and every step emits one or more. */
export const PENDING_DRAFTS: Kind = list(DRAFT, 0, 64);

export class PendingDrafts {
  #drafts: PendingDraft[] = [];

  /** A request ends: what is pending will never be known. */
  clear(): void {
    this.#drafts = [];
  }

  /**
   * Takes in the tokens of a step, then its draft. Calls `resolved` with each draft that is known to its end or to its
   * first wrong token by now, the oldest first: `right` is how many tokens were right.
   */
  learn(
    { tokens, draftTokens, verified, accepted, drafted }: StepReport,
    outcomes: PlanOutcome[],
    resolved: (right: number, outcomes: readonly PlanOutcome[]) => void,
  ): void {
    this.#drafts = this.#drafts.filter((draft) => {
      if (isPending(draft, tokens, 0)) return true;
      resolved(draft.right, draft.outcomes);
      return false;
    });
    const draft = { tokens: Array.from(draftTokens.subarray(accepted)), right: accepted, outcomes };
    // The step's own token after those accepted is what the target has at the place of the next draft token.
    if (accepted === verified && drafted > verified && isPending(draft, tokens, accepted)) {
      this.#drafts.push(draft);
    } else {
      resolved(draft.right, outcomes);
    }
  }

  snapshot(): PendingDraft[] {
    return structuredClone(this.#drafts);
  }

  /** `state` must be of `PENDING_DRAFTS`. */
  restore(state: readonly PendingDraft[]): void {
    this.#drafts = structuredClone([...state]);
  }
}

/** Compares a draft with the text's next tokens, from `from` on. True where it is right as far as these go. */
function isPending(draft: PendingDraft, tokens: ArrayLike<number>, from: number): boolean {
  let i = 0;
  while (i < draft.tokens.length && from + i < tokens.length) {
    if (draft.tokens[i] !== tokens[from + i]) {
      draft.right += i;
      return false;
    }
    i++;
  }
  draft.right += i;
  draft.tokens.splice(0, i);
  return draft.tokens.length > 0;
}
