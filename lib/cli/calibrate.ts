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
      const target = await costCurve(engine, rows, contextLength, repeats);
      const { kernels, threads, description } = engine.info;
      if (flags.json) print(JSON.stringify({ kernels, threads, description, target }));
      else show(target, `${description}, ${kernels} kernels, ${threads} threads`);
    } finally {
      await engine.close();
    }
  });
}

/** Measures all sizes in turns, so that a busy moment touches none of them alone. */
async function costCurve(
  engine: Engine,
  rows: readonly number[],
  contextLength: number,
  repeats: number,
): Promise<RowCost[]> {
  if (!Number.isInteger(repeats) || repeats < 1 || repeats > 10_000) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `--repeats is ${repeats}`,
      'Give a whole number from 1 on.',
    );
  }
  const samples = new Map<number, number[]>(rows.map((n) => [n, []]));
  for (let turn = 0; turn < repeats; turn++) {
    for (const [n, all] of samples) {
      // The first of three pays for the change of the batch's shape.
      all.push(...(await engine.measure(n, { contextLength, repeats: 3 })).slice(1));
    }
  }
  return [...samples].map(([n, all]) => {
    all.sort((a, b) => a - b);
    const at = (share: number) => all[Math.floor(share * (all.length - 1))]!;
    return { rows: n, contextLength, ms: at(0.5), low: at(0.25), high: at(0.75) };
  });
}

function show(target: readonly RowCost[], title: string): void {
  note(title);
  const one = target.find(({ rows }) => rows === 1)?.ms;
  print('rows      ms   middle half   of one row');
  for (const { rows, ms, low, high } of target) {
    const ratio = one === undefined ? '' : (ms / one).toFixed(2);
    print(
      `${String(rows).padStart(4)}  ${ms.toFixed(2).padStart(6)}   ${low.toFixed(2)}-${high.toFixed(2)}   ${ratio.padStart(10)}`,
    );
  }
}
