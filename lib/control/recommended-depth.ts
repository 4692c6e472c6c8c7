// The experiment's table of depths by kind of text, as a prior for policies that have not measured anything yet.

import type { ContextKind } from './context-kind.js';

/** A range of depths, in tokens; both ends belong to it. */
export interface DepthRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Depth K by context kind, as the experiment recommends it from its runs of one model pair on one machine. It is a
 * prior and no limit: what a step costs and how often drafts are accepted here and now outweighs it.
 */
export const RECOMMENDED_DEPTHS: Readonly<Record<ContextKind, DepthRange>> = Object.freeze({
  code: Object.freeze({ from: 16, to: 24 }),
  prose: Object.freeze({ from: 8, to: 12 }),
  math: Object.freeze({ from: 4, to: 8 }),
  json: Object.freeze({ from: 4, to: 6 }),
  list: Object.freeze({ from: 8, to: 12 }),
});

/** The middle of the kind's range in whole tokens: code 20, prose 10, math 6, json 5, list 10. */
export function recommendedDepth(kind: ContextKind): number {
  const { from, to } = RECOMMENDED_DEPTHS[kind];
  return Math.round((from + to) / 2);
}
