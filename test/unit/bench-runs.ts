// Runs of a benchmark made from speeds, for tests of what is computed from them.
import type { BenchRun, RunFigures } from '../../lib/bench/bench-result.js';
import type { MeasuredRun } from '../../lib/bench/run.js';
import { detailSteps, type StepSample, sumSteps } from '../../lib/bench/run-figures.js';

/** A step with `accepted` + 1 tokens. */
export function step(position: number, accepted: number, more: Partial<StepSample> = {}): StepSample {
  return {
    position,
    tokens: accepted + 1,
    depth: 4,
    drafted: 4,
    modelTokens: more.drafted ?? 4,
    verified: 4,
    accepted,
    draftMs: 1,
    verifyMs: 5,
    catchUpMs: 0.5,
    otherMs: 0.5,
    rows: 5,
    contextLength: 100 + position,
    lag: 1,
    text: 'ab',
    ...more,
  };
}

export function figures(tokens: number, decodeMs: number): RunFigures {
  return {
    tokens,
    steps: tokens,
    drafted: 0,
    verified: 0,
    accepted: 0,
    decodeMs,
    draftMs: 0,
    verifyMs: decodeMs,
    catchUpMs: 0,
    otherMs: 0,
  };
}

/** A run of 100 tokens at a speed in tokens per second. */
export function runOf(
  arm: string,
  kind: string,
  prompt: number,
  speed: number,
  more: Partial<BenchRun> = {},
): BenchRun {
  const all = figures(100, 100_000 / speed);
  return {
    arm,
    promptId: `${kind}-${prompt}`,
    kind,
    block: 0,
    temperature: 0,
    all,
    beforeLoop: all,
    timeToFirstTokenMs: 20,
    loopAt: null,
    tokensHash: 'same',
    ...more,
  };
}

/** A measured run from its steps and tokens. */
export function measuredOf(run: BenchRun, steps: StepSample[], tokens: number[] = []): MeasuredRun {
  const end = run.loopAt ?? Number.POSITIVE_INFINITY;
  return {
    run: { ...run, all: sumSteps(steps, Number.POSITIVE_INFINITY), beforeLoop: sumSteps(steps, end) },
    details: { all: detailSteps(steps, Number.POSITIVE_INFINITY), beforeLoop: detailSteps(steps, end) },
    steps,
    tokens,
  };
}
