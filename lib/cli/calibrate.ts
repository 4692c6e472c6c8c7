// `adaptive-spec calibrate`: what a step costs on this machine with these models.

import type { Command } from 'commander';
import type { Calibration } from '../calibration/calibration.js';
import { createEngine, type EngineInfo } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import { type CalibrateOptions, checkCalibrateOptions } from '../options.js';
import { coloursFor, note, print } from './console.js';
import { addModelFlags, type EngineFlags, engineOptionsOf, numberOf } from './engine-flags.js';
import { progressPrinter } from './progress.js';

interface CalibrateFlags extends EngineFlags {
  rows?: string;
  at?: string;
  repeats?: string;
  budget?: string;
  json?: boolean;
}

export function addCalibrate(program: Command): void {
  const command = program
    .command('calibrate')
    .description(
      'measure what a step costs: the cost curve v(n), drafting, and the rest; kept for later engines',
    )
    .option('--rows <list>', 'numbers of rows, with commas (default: up to 33, the most telling ones first)')
    .option('--at <tokens>', 'tokens in the KV cache before (default: 0, and a longer context for the slope)')
    .option('--repeats <n>', 'measurements of each, in turns (default: as many as fit)')
    .option('--budget <seconds>', 'time to measure in (default: 10)')
    .option('--json', 'as JSON');
  addModelFlags(command).action(async (flags: CalibrateFlags) => {
    const options = calibrateOptionsOf(flags);
    checkCalibrateOptions(options);
    const engineOptions = engineOptionsOf(flags);
    if ((options.rows ?? []).some((n) => n > 33)) engineOptions.maxDepth ??= 64;
    const engine = await createEngine({ ...engineOptions, calibrate: 'auto' });
    try {
      const calibration = await engine.calibrate(options);
      if (flags.json) print(JSON.stringify(asJson(calibration, engine.info)));
      else show(calibration, engine.info);
      if (engine.costsOrigin?.measuredAt !== calibration.measuredAt) note(notKept(calibration));
    } finally {
      await engine.close();
    }
  });
}

function calibrateOptionsOf(flags: CalibrateFlags): CalibrateOptions {
  const options: CalibrateOptions = { onProgress: progressPrinter() };
  if (flags.rows !== undefined) options.rows = flags.rows.split(',').map((text) => numberOf('--rows', text));
  if (flags.at !== undefined) options.contextLength = numberOf('--at', flags.at);
  if (flags.repeats !== undefined) options.repeats = numberOf('--repeats', flags.repeats);
  if (flags.budget !== undefined) options.budgetMs = 1000 * budgetOf(flags.budget);
  return options;
}

function budgetOf(text: string): number {
  const seconds = numberOf('--budget', text);
  if (seconds >= 0 && seconds <= 3600) return seconds;
  throw new AdaptiveSpecError('INVALID_ARGUMENT', `--budget is ${text}`, 'Give seconds, from 0 to 3600.');
}

/** One object: the cost table in its own form first, then how it was measured, and of what. */
function asJson(calibration: Calibration, info: EngineInfo): Record<string, unknown> {
  const { target, draft, overheadMs, rebuildMs, callbackMs, samplingMs, staircase, ...how } = calibration;
  const { model, draft: draftModel, description, kernels, threads } = info;
  return {
    target: target.map(({ rows, contextLength, ms }) => ({ rows, contextLength, ms })),
    draft,
    overheadMs,
    rebuildMs,
    callbackMs,
    samplingMs,
    staircase,
    ...how,
    kernels,
    threads,
    description,
    model,
    ...(draftModel === undefined ? {} : { draftModel }),
  };
}

function show(calibration: Calibration, info: EngineInfo): void {
  const { target, draft, staircase, missing, vocabularySize } = calibration;
  const { yellow } = coloursFor(process.stdout);
  note(`${info.description}, ${info.kernels} kernels, ${info.threads} threads`);
  const contexts = [...new Set(target.map((point) => point.contextLength))];
  for (const contextLength of contexts) {
    if (contexts.length > 1 || contextLength > 0) print(`after ${contextLength} tokens:`);
    print('rows      ms   middle half   of one row');
    const points = target.filter((point) => point.contextLength === contextLength);
    const one = points.find(({ rows }) => rows === 1)?.ms;
    for (const { rows, ms, low, high } of points) {
      const ratio = one === undefined ? '' : (ms / one).toFixed(2);
      const riser =
        contextLength === contexts[0] && staircase.includes(rows) ? yellow('  one more is dear') : '';
      print(
        `${String(rows).padStart(4)}  ${ms.toFixed(2).padStart(6)}   ${`${low.toFixed(2)}-${high.toFixed(2)}`.padEnd(11)}   ${ratio.padStart(10)}${riser}`,
      );
    }
  }
  const ms = (value: number) => `${value.toFixed(value < 0.1 ? 3 : 2)} ms`;
  if (info.drafters.includes('model') && !missing.includes('draft'))
    print(
      `a draft token costs ${ms(draft.msPerToken)}${draft.startMs ? `, a step's first one ${ms(draft.startMs)} more` : ''}, on ${threadsOf(draft.threads)}`,
    );
  if (!missing.includes('overhead'))
    print(
      `a step costs ${ms(calibration.overheadMs)} besides, ${ms(calibration.samplingMs)} of it for the choice among ${vocabularySize} tokens`,
    );
  print(`a changed number of rows costs ${ms(calibration.rebuildMs)} more, once`);
  if (!missing.includes('callback')) print(`asking a controller costs ${ms(calibration.callbackMs)}`);
  if (missing.length > 0) note(`not measured in that time: ${missing.join(', ')} (--budget gives it more)`);
}

/** What `show` prints is then good for reading alone. */
function notKept({ loaded }: Calibration): string {
  const why = loaded
    ? 'other processes wanted the cores meanwhile'
    : "too little was measured, or the cache folder can't be written";
  return `not kept for later engines: ${why}`;
}

function threadsOf(count: number): string {
  return count === 1 ? '1 thread' : `${count} threads`;
}
