// A few generations step by step, for the plot of K over the text.

import { ContextKindClassifier } from '../control/context-kind.js';
import { PLAIN } from './arms.js';
import type { BenchResult } from './bench-result.js';
import { isFixed } from './comparisons.js';
import type { MeasuredRun } from './run.js';

/**
 * The first run of each arm whose depth changes, on the first prompt of each kind. The kind of a step is that of the text
 * written by then (control/context-kind.ts), which a prompt that switches kind changes midway.
 */
export function timelinesOf(measured: readonly MeasuredRun[]): BenchResult['timelines'] {
  const promptOfKind = new Map<string, string>();
  const seen = new Set<string>();
  const timelines: BenchResult['timelines'] = [];
  for (const { run, steps } of measured) {
    const { arm, promptId, kind } = run;
    if (!promptOfKind.has(kind)) promptOfKind.set(kind, promptId);
    const key = `${arm} ${promptId}`;
    if (arm === PLAIN || isFixed(arm) || promptOfKind.get(kind) !== promptId || seen.has(key)) continue;
    seen.add(key);
    const classifier = new ContextKindClassifier();
    timelines.push({
      arm,
      promptId,
      kind,
      steps: steps.map(({ position, depth, drafted, verified, accepted, text }) => {
        classifier.push(text);
        return { position, depth, drafted, verified, accepted, kind: classifier.kind, text };
      }),
    });
  }
  return timelines;
}
