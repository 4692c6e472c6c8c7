// A replay's report as text tables.

import { change, percent } from '../percent.js';
import type { LoadReport, PolicyFigures } from '../replay/report.js';
import { print } from './console.js';

export function showLoad({ sequences, bestFixed, oracle, fixed, figures }: LoadReport): void {
  const best = fixed[bestFixed.whole]!;
  const ofKind = Object.entries(bestFixed.ofKind).map(([kind, depth]) => `${kind || 'unknown'} ${depth}`);
  print('');
  print(
    `${sequences} ${sequences === 1 ? 'sequence' : 'sequences'}: best fixed K = ${bestFixed.whole} at ${best.tokensPerSecond.toFixed(1)} t/s ` +
      `(${ofKind.join(', ')}; by halves ${bestFixed.splitHalf.join(' and ')}); oracle ${oracle.tokensPerSecond.toFixed(1)} t/s, mean K ${oracle.meanDepth.toFixed(1)}`,
  );
  const all = figures.filter(({ kind }) => kind === 'all');
  table(
    [
      'controller',
      't/s',
      'vs best fixed (95 %)',
      'mean over kinds (95 %)',
      'vs of kind',
      'vs of prompt',
      'vs halves',
      'of oracle',
      'headroom',
      'time regret',
      'mean K',
      'accepted',
      'tokens/step',
    ],
    all.map((f) => [
      f.controller,
      f.tokensPerSecond.value.toFixed(1),
      gain(f.ratio.bestFixed),
      gain(f.geometricMeanOverKinds!),
      change(f.ratio.bestFixedOfKind.value - 1),
      change(f.ratio.bestFixedOfPrompt.value - 1),
      change(f.ratio.splitHalf.value - 1),
      percent(f.ratio.oracle.value, 1),
      f.headroomShare === null ? '' : change(f.headroomShare),
      change(f.timeRegret.oracle),
      f.meanDepth.toFixed(1),
      percent(f.acceptanceRate, 1),
      f.meanAcceptanceLength.toFixed(2),
    ]),
  );
  const kinds = [...new Set(figures.map(({ kind }) => kind))].filter((kind) => kind !== 'all');
  const of = (controller: string, kind: string): PolicyFigures =>
    figures.find((f) => f.controller === controller && f.kind === kind)!;
  print('');
  table(
    ['t/s, and against the best fixed K of all', ...kinds.map((kind) => kind || 'unknown'), 'spread'],
    all.map((f) => [
      f.controller,
      ...kinds.map((kind) => {
        const { tokensPerSecond, ratio } = of(f.controller, kind);
        return `${tokensPerSecond.value.toFixed(1)} ${change(ratio.bestFixed.value - 1)}`;
      }),
      f.spreadOverKinds!.toFixed(3),
    ]),
  );
}

function gain({ value, low, high }: { value: number; low: number; high: number }): string {
  return `${change(value - 1)} (${change(low - 1)} to ${change(high - 1)})`;
}

/** First column to the left, the others to the right. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  for (const row of [head, ...rows]) {
    print(
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    );
  }
}
