// Whether every arm gave plain decoding's tokens.

import { PLAIN } from './arms.js';
import type { BenchResult } from './bench-result.js';
import type { MeasuredRun } from './run.js';

/** Compares every run with plain decoding's first of the same prompt, temperature and sampling seed. */
export function compareTokens(measured: readonly MeasuredRun[]): BenchResult['equality'] {
  const key = ({ run }: MeasuredRun) =>
    `${run.promptId} ${run.temperature} ${run.temperature > 0 ? run.block : ''}`;
  const references = new Map<string, MeasuredRun>();
  for (const one of measured) {
    if (one.run.arm === PLAIN && !references.has(key(one))) references.set(key(one), one);
  }
  const equality: BenchResult['equality'] = { equal: true, compared: 0, differing: [] };
  for (const one of measured) {
    const reference = references.get(key(one));
    if (!reference || reference === one) continue;
    equality.compared++;
    if (one.run.tokensHash === reference.run.tokensHash) continue;
    equality.equal = false;
    const { promptId, arm, temperature } = one.run;
    equality.differing.push({
      promptId,
      arm,
      at: firstDifference(one.tokens, reference.tokens),
      temperature,
    });
  }
  return equality;
}

/** Index of the first token that differs; the shorter length where one begins the other. */
export function firstDifference(a: readonly number[], b: readonly number[]): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) return i;
  return shorter;
}
