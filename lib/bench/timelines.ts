// A few generations step by step, for the plot of K over the text.

import { PLAIN } from './arms.js';
import type { BenchResult } from './bench-result.js';
import type { MeasuredRun } from './run.js';

/** The first run of each arm, plain decoding left out, on the first prompt of each kind. */
export function timelinesOf(measured: readonly MeasuredRun[]): BenchResult['timelines'] {
  const promptOfKind = new Map<string, string>();
  const seen = new Set<string>();
  const timelines: BenchResult['timelines'] = [];
  for (const { run, steps } of measured) {
    const { arm, promptId, kind } = run;
    if (!promptOfKind.has(kind)) promptOfKind.set(kind, promptId);
    const key = `${arm} ${promptId}`;
    if (arm === PLAIN || promptOfKind.get(kind) !== promptId || seen.has(key)) continue;
    seen.add(key);
    timelines.push({
      arm,
      promptId,
      kind,
      steps: steps.map(({ position, depth, drafted, verified, accepted, text }) => ({
        position,
        depth,
        drafted,
        verified,
        accepted,
        kind,
        text,
      })),
    });
  }
  return timelines;
}
