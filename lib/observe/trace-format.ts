// The lines of a trace file: JSON, one object a line, gzipped where the file's name ends in .gz.

import type { CostTable } from '../control/costs.js';

/** First line. */
export interface TraceHeader {
  format: 'adaptive-spec-trace';
  version: 1;
  /**
   * 'exhaustive': at every output position, what the drafter would have proposed, so that any policy can be replayed.
   * 'steps': what was done, step by step.
   */
  mode: 'exhaustive' | 'steps';
  createdAt: string;
  /** Files of the target and the draft model, without folders, and the SHA-256 of each. */
  model: { file: string; sha256: string };
  draft?: { file: string; sha256: string };
  /** Exhaustive: which drafter made the drafts: 'model', 'ngram' or 'hybrid'. Missing: 'model'. */
  drafter?: string;
  /** Depth that was drafted at every position (exhaustive), or the largest allowed. */
  maxDepth: number;
  /** What steps cost when and where it was recorded, where that was measured. */
  costs?: CostTable;
}

/** Starts a generation; the lines up to the next one belong to it. */
export interface TraceGeneration {
  generation: {
    id: string;
    /** Kind of text as the prompt's author has it: code, prose, math, json, list, edit, switch; '' where unknown. */
    kind: string;
    promptTokens: number;
    /** The prompt as the model reads it. */
    promptText: string;
    maxTokens: number;
    temperature: number;
    seed: number;
    /** With mode 'steps': the controller's name; and where it was asked for plans, what it was told at its begin. */
    controller?: string;
    drafters?: string[];
    drafter?: string;
    costs?: CostTable;
  };
}

/** Exhaustive: one output position. Arrays have one entry per token that the drafter proposes there. */
export interface TracePosition {
  /** Position in the output, from 0. */
  i: number;
  /** The token that the target chose there, and the text that it released. */
  token: number;
  text: string;
  /** Proposed from this position on: `draft[0]` is a guess of `token`. */
  draft: number[];
  /** Probability, margin and entropy of each, as in a StepReport. */
  p: number[];
  m: number[];
  h: number[];
  /** Origin and match of each, as in a StepReport. Missing where all are the model's, without a match. */
  o?: number[];
  x?: number[];
  /**
   * How many of them the target would have agreed with. At the end of the output, what would have come is not known:
   * `right` counts no token beyond it.
   */
  right: number;
  /** Milliseconds that drafting all of them took. */
  draftMs: number;
  /** Tokens in the target's cache after the step. */
  contextLength: number;
}

/** Steps: one step's report, with plain arrays; signals as `p`, `m` and `h` of the draft tokens. */
export interface TraceStep {
  step: number;
  position: number;
  depth: number;
  drafted: number;
  verified: number;
  accepted: number;
  tokens: number[];
  text: string;
  draft: number[];
  p: number[];
  m: number[];
  h: number[];
  o?: number[];
  x?: number[];
  /** What was verified beside the draft, as `StepReport.branches`: tokens, parents, probabilities, accepted. */
  b?: { tokens: number[]; parents: number[]; p: number[]; accepted: number };
  draftMs: number;
  verifyMs: number;
  catchUpMs: number;
  otherMs: number;
  rows: number;
  contextLength: number;
  drafter: string;
  drafterLag: number;
  late: boolean;
  running: number;
  waiting: number;
  /** Whether a plan was asked for after it. */
  asked: boolean;
}

/** Ends a generation. */
export interface TraceEnd {
  end: { tokens: number; finishReason: string };
}

export type TraceLine = TraceHeader | TraceGeneration | TracePosition | TraceStep | TraceEnd;
