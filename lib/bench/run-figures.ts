// Figures of one generation from its steps: sums for all tokens and for those before the first loop, and what
// distributions are made of.

import type { StepReport } from '../control/controller.js';
import { modelTokensOf } from '../control/stop-rule.js';
import type { RunFigures } from './bench-result.js';

/** What is kept of a step. Times are in milliseconds. */
export interface StepSample {
  /** Tokens emitted after the step. */
  position: number;
  tokens: number;
  depth: number;
  drafted: number;
  /** Of them, those that a draft model was asked for. */
  modelTokens: number;
  verified: number;
  accepted: number;
  draftMs: number;
  verifyMs: number;
  catchUpMs: number;
  otherMs: number;
  rows: number;
  contextLength: number;
  /** Accepted tokens that the drafter has not read after the step. */
  lag: number;
  text: string;
}

/** Output tokens per entry of `RunDetail.depthByPosition`. */
export const POSITIONS_PER_BIN = 16;

/** What distributions over the runs of an arm are made of, of one part of a run's tokens. */
export interface RunDetail {
  /** Draft tokens verified, and accepted, at each place of a draft. */
  verifiedAt: number[];
  acceptedAt: number[];
  /** Steps that emitted 1, 2, … tokens. */
  lengths: number[];
  /** Planned depth summed over the steps, and the number of steps, by place in the output. */
  depthByPosition: { sum: number; steps: number }[];
  /** Milliseconds between two tokens as they reach a reader. */
  gapsMs: number[];
}

export function sampleOf(report: StepReport): StepSample {
  const { position, depth, drafted, verified, accepted, rows, contextLength, text } = report;
  const { draftMs, verifyMs, catchUpMs, otherMs } = report;
  return {
    position,
    tokens: report.tokens.length,
    depth,
    drafted,
    modelTokens: modelTokensOf(report.origins),
    verified,
    accepted,
    draftMs,
    verifyMs,
    catchUpMs,
    otherMs,
    rows,
    contextLength,
    lag: report.drafterLag,
    text,
  };
}

export const timeOf = (step: StepSample) => step.draftMs + step.verifyMs + step.catchUpMs + step.otherMs;

/** Share of a step that lies before `end`, an index of output tokens. */
function shareBefore(step: StepSample, end: number): number {
  const before = step.position - step.tokens;
  return Math.min(1, Math.max(0, (end - before) / step.tokens));
}

/** Sums over the steps before `end`; the step that straddles it counts by the share of its tokens before. */
export function sumSteps(steps: readonly StepSample[], end: number): RunFigures {
  const sums: RunFigures = {
    tokens: 0,
    steps: 0,
    drafted: 0,
    verified: 0,
    accepted: 0,
    decodeMs: 0,
    draftMs: 0,
    verifyMs: 0,
    catchUpMs: 0,
    otherMs: 0,
  };
  for (const step of steps) {
    const share = shareBefore(step, end);
    if (share === 0) break;
    sums.tokens += share * step.tokens;
    sums.steps += share;
    sums.decodeMs += share * timeOf(step);
    for (const part of [
      'drafted',
      'verified',
      'accepted',
      'draftMs',
      'verifyMs',
      'catchUpMs',
      'otherMs',
    ] as const) {
      sums[part] += share * step[part];
    }
  }
  // A share of tokens is whole but for rounding.
  sums.tokens = Math.round(sums.tokens);
  return sums;
}

/** Distributions over the steps before `end`. The straddling step counts as in `sumSteps`. */
export function detailSteps(steps: readonly StepSample[], end: number): RunDetail {
  const detail: RunDetail = {
    verifiedAt: [],
    acceptedAt: [],
    lengths: [],
    depthByPosition: [],
    gapsMs: [],
  };
  for (const step of steps) {
    const share = shareBefore(step, end);
    if (share === 0) break;
    for (let place = 0; place < step.verified; place++) {
      add(detail.verifiedAt, place, share);
      add(detail.acceptedAt, place, place < step.accepted ? share : 0);
    }
    add(detail.lengths, step.tokens - 1, share);
    const start = step.position - step.tokens;
    const bin = Math.floor(start / POSITIONS_PER_BIN);
    while (detail.depthByPosition.length <= bin) detail.depthByPosition.push({ sum: 0, steps: 0 });
    detail.depthByPosition[bin]!.sum += share * step.depth;
    detail.depthByPosition[bin]!.steps += share;
    // The first token of all is waited for by the time to first token, not by a gap.
    if (start > 0) detail.gapsMs.push(timeOf(step));
    for (let i = 1; i < Math.round(share * step.tokens); i++) detail.gapsMs.push(0);
  }
  return detail;
}

/** Adds to a place of an array that grows as needed. */
export function add(values: number[], place: number, amount: number): void {
  while (values.length <= place) values.push(0);
  values[place]! += amount;
}
