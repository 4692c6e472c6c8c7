// What drafting costs by the number of tokens, from drafts of several lengths.

import { mean } from './quantile.js';

/** The line, in milliseconds: `startMs` is what the first token of a draft costs more than the others. */
export interface DraftLine {
  msPerToken: number;
  startMs: number;
}

/** The least squares' line through the times of drafts by the tokens that a model made for them; zeros for none. */
export function draftLine(drafts: readonly { tokens: number; ms: number }[]): DraftLine {
  if (drafts.length === 0) return { msPerToken: 0, startMs: 0 };
  const tokens = mean(drafts.map((draft) => draft.tokens));
  const ms = mean(drafts.map((draft) => draft.ms));
  let sxx = 0;
  let sxy = 0;
  for (const draft of drafts) {
    sxx += (draft.tokens - tokens) ** 2;
    sxy += (draft.tokens - tokens) * (draft.ms - ms);
  }
  // Drafts of one length only don't tell the two apart.
  const slope = sxx > 0 ? Math.min(sxy / sxx, ms / tokens) : ms / tokens;
  return slope > 0
    ? { msPerToken: slope, startMs: ms - slope * tokens }
    : { msPerToken: ms / tokens, startMs: 0 };
}
