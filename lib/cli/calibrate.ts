// `adaptive-spec calibrate`: what rows cost on this machine with this model.

import type { Command } from 'commander';
import { createEngine, type Engine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import { note, print } from './console.js';
import { addEngineFlags, type EngineFlags, engineOptionsOf, numberOf } from './engine-flags.js';

interface CalibrateFlags extends EngineFlags {
  rows: string;
  at: string;
  repeats: string;
  json?: boolean;
}

/** One point of the cost curve. */
export interface RowCost {
  rows: number;
  contextLength: number;
  /** Median, and the middle half of the repeats. */
  ms: number;
  low: number;
  high: number;
}

export function addCalibrate(program: Command): void {
  const command = program
    .command('calibrate')
    .description('measure what verifying so many rows at once costs (the cost curve v(n))')
    .option('--rows <list>', 'rows, with commas', '1,2,3,4,5,6,8,9,12,16,17,24,32,33')
    .option('--at <tokens>', 'tokens in the KV cache before', '0')
    .option('--repeats <n>', 'measurements of each, in turns', '15')
    .option('--json', 'as JSON');
  addEngineFlags(command).action(async (flags: CalibrateFlags) => {
    const rows = flags.rows.split(',').map((text) => numberOf('--rows', text));
    const contextLength = numberOf('--at', flags.at);
    const repeats = numberOf('--repeats', flags.repeats);
    const engine = await createEngine({ maxDepth: 64, ...engineOptionsOf(flags) });
    try {
      const { target, rebuildMs } = await costCurve(engine, rows, contextLength, repeats);
      const { kernels, threads, description } = engine.info;
      if (flags.json) print(JSON.stringify({ kernels, threads, description, target, rebuildMs }));
      else show(target, rebuildMs, `${description}, ${kernels} kernels, ${threads} threads`);
    } finally {
      await engine.close();
    }
  });
}

/**
 * Measures all sizes in turns, so that a busy moment touches none of them alone. `rebuildMs` is what llama.cpp takes to
 * build its graph anew where the number of rows is another than before: median over the sizes.
 */
async function costCurve(
  engine: Engine,
  rows: readonly number[],
  contextLength: number,
  repeats: number,
): Promise<{ target: RowCost[]; rebuildMs: number }> {
  if (!Number.isInteger(repeats) || repeats < 1 || repeats > 10_000) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `--repeats is ${repeats}`,
      'Give a whole number from 1 on.',
    );
  }
  const samples = new Map<number, number[]>(rows.map((n) => [n, []]));
  const changed = new Map<number, number[]>(rows.map((n) => [n, []]));
  for (let turn = 0; turn < repeats; turn++) {
    for (const [n, all] of samples) {
      const [first, ...others] = await engine.measure(n, { contextLength, repeats: 3 });
      changed.get(n)!.push(first!);
      all.push(...others);
    }
  }
  const at = (values: number[], share: number) =>
    values.sort((a, b) => a - b)[Math.floor(share * (values.length - 1))]!;
  const target = [...samples].map(([n, all]) => ({
    rows: n,
    contextLength,
    ms: at(all, 0.5),
    low: at(all, 0.25),
    high: at(all, 0.75),
  }));
  const more = target.map(({ rows: n, ms }) => at(changed.get(n)!, 0.5) - ms);
  return { target, rebuildMs: rows.length > 1 ? Math.max(0, at(more, 0.5)) : 0 };
}

function show(target: readonly RowCost[], rebuildMs: number, title: string): void {
  note(title);
  const one = target.find(({ rows }) => rows === 1)?.ms;
  print('rows      ms   middle half   of one row');
  for (const { rows, ms, low, high } of target) {
    const ratio = one === undefined ? '' : (ms / one).toFixed(2);
    print(
      `${String(rows).padStart(4)}  ${ms.toFixed(2).padStart(6)}   ${low.toFixed(2)}-${high.toFixed(2)}   ${ratio.padStart(10)}`,
    );
  }
  note(`a changed number of rows costs ${rebuildMs.toFixed(2)} ms more, once`);
}
