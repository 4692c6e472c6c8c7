// `adaptive-spec replay`: what controllers would have reached on recorded texts, at given costs.

import type { Command } from 'commander';
import type { BenchResult } from '../bench/bench-result.js';
import { CostModel, type CostTable } from '../control/costs.js';
import { AdaptiveSpecError } from '../errors.js';
import { change, percent } from '../percent.js';
import { costTableOf, readJson } from '../replay/cost-file.js';
import { HOST96_MEASURED, host96Table } from '../replay/costs-host96.js';
import { checkAgainstLive, NOT_CHECKED, type Validation } from '../replay/live.js';
import { beforeLoops, type LoadedTraces, loadTraces } from '../replay/load-trace.js';
import { DEFAULT_CONTROLLERS, namedControllers } from '../replay/named-controllers.js';
import { type LoadReport, reportAt } from '../replay/report.js';
import { print } from './console.js';
import { numberOf } from './engine-flags.js';
import { showLoad } from './replay-view.js';

interface ReplayFlags {
  controllers?: string;
  costs?: string;
  table?: boolean;
  load: string;
  live?: string;
  whole?: boolean;
  json?: boolean;
}

/** What `adaptive-spec replay --json` prints. */
export interface ReplayResult {
  format: 'adaptive-spec-replay';
  version: 1;
  /** Whether replay was compared with live speed, before anything that it says. */
  validation: Validation;
  traces: string[];
  /** Which tokens the figures count. */
  tokens: 'all' | 'before the first loop';
  counts: { generations: number; prompts: number; tokens: number; allTokens: number; unfinished: number };
  /** 'host96', a file, or 'trace'. */
  costsFrom: string;
  costs: CostTable;
  loads: LoadReport[];
}

/** More sequences than this share no batch that a cost table says anything of. */
const MOST_SEQUENCES = 64;

export function addReplay(program: Command): void {
  program
    .command('replay')
    .description('replay controllers over exhaustive traces: speed against fixed depths and the oracle')
    .argument('[traces...]', 'trace files, as adaptive-spec trace records them')
    .option('--controllers <list>', 'names with commas; fixed:8 for a depth (default: all built-in ones)')
    .option(
      '--costs <file>',
      'JSON of adaptive-spec calibrate or bench, or host96 (default: the costs in the trace)',
    )
    .option('--table', "with --costs host96: the experiment's own table by that cost table")
    .option('--load <list>', 'sequences that run at once, with commas', '1')
    .option('--live <file>', 'JSON of adaptive-spec bench: compare the prediction for fixed depths first')
    .option('--whole', 'count all tokens, not only those before the first loop')
    .option('--json', 'as JSON')
    .action(async (traces: string[], flags: ReplayFlags) => {
      if (flags.table) showTable(traces, flags);
      else await showReplay(traces, flags);
    });
}

async function showReplay(traces: string[], flags: ReplayFlags): Promise<void> {
  if (traces.length === 0) throw invalid('No trace was given', 'Record one with adaptive-spec trace.');
  const controllers = namedControllers(flags.controllers ?? DEFAULT_CONTROLLERS.join(','));
  const loads = loadsOf(flags.load);
  if (flags.live !== undefined && flags.costs === 'host96') {
    throw invalid(
      "Live runs of this machine can't check host96",
      "Leave --costs out, or give this machine's.",
    );
  }
  const givenCosts = flags.costs === undefined ? undefined : costTableOf(flags.costs);
  const live = flags.live === undefined ? undefined : benchRunsOf(flags.live);
  const loaded = await loadTraces(traces);
  const costs = givenCosts ?? loaded.costs;
  if (costs === undefined) {
    throw invalid(
      'The trace has no costs',
      'Give --costs with the JSON of adaptive-spec calibrate, or host96.',
    );
  }
  const generations = flags.whole ? loaded.generations : beforeLoops(loaded.generations);
  if (generations.length === 0) {
    throw invalid(
      'The trace has no generation to replay',
      'Record it again, or count loops too with --whole.',
    );
  }
  const validation =
    live === undefined
      ? NOT_CHECKED
      : checkAgainstLive(loaded.generations, live, new CostModel(costs), !flags.whole);
  const result: Omit<ReplayResult, 'loads'> = {
    format: 'adaptive-spec-replay',
    version: 1,
    validation,
    traces,
    tokens: flags.whole ? 'all' : 'before the first loop',
    counts: countsOf(loaded, generations),
    costsFrom: flags.costs ?? 'trace',
    costs,
  };
  if (!flags.json) showHeader(result);
  const reports: LoadReport[] = [];
  for (const sequences of loads) {
    const report = reportAt(generations, controllers, costs, sequences);
    if (flags.json) reports.push(report);
    else showLoad(report);
  }
  if (flags.json) print(JSON.stringify({ ...result, loads: reports }));
}

function countsOf(
  loaded: LoadedTraces,
  generations: readonly { id: string; end: number }[],
): ReplayResult['counts'] {
  return {
    generations: generations.length,
    prompts: new Set(generations.map(({ id }) => id)).size,
    tokens: generations.reduce((sum, { end }) => sum + end, 0),
    allTokens: loaded.generations.reduce((sum, { length }) => sum + length, 0),
    unfinished: loaded.unfinished,
  };
}

function showHeader({ validation, tokens, counts, costsFrom }: Omit<ReplayResult, 'loads'>): void {
  print(validation.summary);
  if (validation.checked) {
    for (const { depth, live, replayed, error } of validation.depths) {
      print(
        `  K = ${String(depth).padEnd(2)}  live ${live.toFixed(1)} t/s, replay ${replayed.toFixed(1)} t/s, ${change(error)}`,
      );
    }
  }
  const scope = tokens === 'all' ? 'all tokens' : `${counts.tokens} tokens before the first loop`;
  const unfinished = counts.unfinished > 0 ? `; ${counts.unfinished} unfinished generations left out` : '';
  print(
    `${counts.generations} generations of ${counts.prompts} prompts, ${counts.allTokens} tokens; counted: ${scope}${unfinished}; costs: ${costsFrom}`,
  );
}

function showTable(traces: string[], flags: ReplayFlags): void {
  if (flags.costs !== 'host96' || traces.length > 0) {
    throw invalid(
      '--table has no measured acceptance for this',
      'It belongs to --costs host96, without traces.',
    );
  }
  const table = host96Table();
  if (flags.json) {
    print(JSON.stringify(table));
    return;
  }
  print('   K  acceptance   t/s by the cost table   measured');
  table.forEach(({ k, acceptance, tokensPerSecond }, i) => {
    const measured = HOST96_MEASURED[i]!.tokensPerSecond;
    print(
      `${String(k).padStart(4)}  ${percent(acceptance, 2).padStart(10)}   ${tokensPerSecond
        .toFixed(2)
        .padStart(21)}   ${measured.toFixed(2).padStart(8)}  ${change(tokensPerSecond / measured - 1)}`,
    );
  });
}

function loadsOf(list: string): number[] {
  return list.split(',').map((text) => {
    const sequences = numberOf('--load', text);
    if (Number.isInteger(sequences) && sequences >= 1 && sequences <= MOST_SEQUENCES) return sequences;
    throw invalid(`--load has ${sequences}`, `Give whole numbers from 1 to ${MOST_SEQUENCES}, with commas.`);
  });
}

/** The runs of a benchmark's JSON, checked as far as they are read. */
function benchRunsOf(file: string): Pick<BenchResult, 'runs'> {
  const value = readJson(file, 'The benchmark') as Partial<BenchResult> | null;
  const usable =
    value?.format === 'adaptive-spec-bench' &&
    value.version === 1 &&
    Array.isArray(value.runs) &&
    value.runs.every(
      (run) =>
        typeof run?.arm === 'string' &&
        typeof run.promptId === 'string' &&
        [
          run.temperature,
          run.all?.tokens,
          run.all?.decodeMs,
          run.beforeLoop?.tokens,
          run.beforeLoop?.decodeMs,
        ].every(Number.isFinite),
    );
  if (usable) return value as Pick<BenchResult, 'runs'>;
  throw invalid(
    `${JSON.stringify(file)} is no result of a benchmark`,
    'Give what adaptive-spec bench --json prints.',
  );
}

function invalid(message: string, hint: string): AdaptiveSpecError {
  return new AdaptiveSpecError('INVALID_ARGUMENT', message, hint);
}
