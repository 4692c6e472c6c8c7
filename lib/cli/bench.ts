// `adaptive-spec bench`: arms against each other on the same prompts, with a verdict on what adapting is worth.

import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Command } from 'commander';
import { type Arm, armOf, armOfController, completeArms } from '../bench/arms.js';
import {
  type BaselineVerdict,
  baselineOf,
  compareWithBaseline,
  hashPrompts,
  readBaseline,
  TOLERANCE,
} from '../bench/baseline.js';
import { type BenchPlan, runBench } from '../bench/bench.js';
import { type BenchResult, KINDS } from '../bench/bench-result.js';
import { BEST_FIXED } from '../bench/comparisons.js';
import { environment } from '../bench/environment.js';
import { PROFILES, type Profile } from '../bench/profiles.js';
import {
  type BenchPrompt,
  choosePrompts,
  DEFAULT_PROMPT_FILES,
  defaultPrompts,
  readPromptFile,
} from '../bench/prompts.js';
import { renderReport } from '../bench/render/render.js';
import { loadBinding } from '../binding.js';
import { createEngine, type Engine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import { checkEngineOptions, checkRequestOptions, DEFAULT_BRANCHES, type EngineOptions } from '../options.js';
import { percent } from '../percent.js';
import { runProgressPrinter } from './bench-progress.js';
import { note, print } from './console.js';
import { importController, isControllerFile } from './controller-flag.js';
import { addEngineFlags, type EngineFlags, engineOptionsOf, numberOf } from './engine-flags.js';
import { Interruption } from './interruption.js';

/** Exit codes besides 0, 1 (failure), 2 (wrong usage) and 130 (interrupted). */
const EXIT = { tokensDiffer: 3, regression: 4, incomparable: 5 };

interface BenchFlags extends EngineFlags {
  profile: string;
  arms?: string;
  prompts?: string;
  promptsPerKind?: string;
  kinds?: string;
  maxTokens?: string;
  blocks?: string;
  temperature?: string;
  seed: string;
  timeLimit?: string;
  out?: string;
  json?: boolean;
  saveBaseline?: string;
  compare?: string;
  tolerance: string;
  allowUnfit?: boolean;
}

export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .description('compare depths and controllers on the same prompts, and say what adapting is worth')
    .option('--profile <name>', 'smoke (under 40 s), quick (under 10 minutes) or full', 'quick')
    .option(
      '--arms <list>',
      "instead of the profile's: plain, fixed:K, controllers by name, or modules, with commas; fixed:4@hybrid, fixed:4+tree:8",
    )
    .option('--prompts <file>', 'prompts as JSON lines {id, context, prompt} (default: those of the package)')
    .option('--prompts-per-kind <n>', 'the first so many prompts of each kind')
    .option('--kinds <list>', `some of ${KINDS.join(', ')}, with commas`)
    .option('-n, --max-tokens <n>', 'most tokens of a run')
    .option('--blocks <n>', 'ABBA blocks: each runs every arm twice on every prompt')
    .option('--temperature <list>', 'temperatures, with commas; the verdict is at the first')
    .option('--seed <n>', 'start of the random numbers: order, sampling, intervals', '1')
    .option('--time-limit <seconds>', 'begin nothing that would likely end later')
    .option('--out <dir>', 'write the report into this folder')
    .option('--json', 'the whole result as JSON')
    .option('--save-baseline <file>', 'keep the speeds for --compare')
    .option(
      '--compare <file>',
      'compare with a baseline; exit code 4 for a regression, 5 where that is not known',
    )
    .option('--tolerance <share>', 'slower by so much is no regression', String(TOLERANCE))
    .option('--allow-unfit', 'save and compare even where the machine was not quiet');
  addEngineFlags(command).action(run);
}

async function run(flags: BenchFlags): Promise<void> {
  const startedAt = performance.now();
  // All that can be wrong with the flags, before the models are loaded.
  const plan = await planOf(flags, startedAt);
  const engineOptions = engineOptionsFor(flags, plan);
  const baseline = flags.compare === undefined ? undefined : readBaseline(flags.compare);
  if (flags.out !== undefined) mustBeWritable('--out', flags.out, flags.out);
  if (flags.saveBaseline !== undefined)
    mustBeWritable('--save-baseline', flags.saveBaseline, dirname(flags.saveBaseline));
  const tolerance = numberIn('--tolerance', flags.tolerance, 0, 1);

  const interrupt = new Interruption();
  const abort = new AbortController();
  const engine = await createEngine(engineOptions);
  let result: BenchResult;
  try {
    mustDraft(engine, plan.arms);
    interrupt.onInterrupt = () => abort.abort();
    const progress = runProgressPrinter();
    try {
      result = await runBench(engine, plan, describe(engine, plan.prompts), {
        signal: abort.signal,
        onProgress: progress.show,
        onDifference: ({ promptId, arm, at }) =>
          progress.line(`${arm} differs from plain decoding on ${promptId} at token ${at}`),
      });
    } finally {
      progress.end();
    }
  } finally {
    interrupt.end();
    await engine.close();
  }

  if (flags.json) print(JSON.stringify(result));
  else show(result);
  if (flags.out !== undefined)
    for (const file of await renderReport(result, flags.out)) note(`wrote ${file}`);
  process.exitCode =
    result.partial?.reason === 'interrupted' ? 130 : finish(result, flags, baseline, tolerance);
}

/** Baselines, and the exit code: what weighs most comes first. */
function finish(
  result: BenchResult,
  { saveBaseline, allowUnfit = false }: BenchFlags,
  baseline: ReturnType<typeof readBaseline> | undefined,
  tolerance: number,
): number {
  if (!result.equality.equal) {
    note(`tokens differ from plain decoding's in ${result.equality.differing.length} runs`);
    return EXIT.tokensDiffer;
  }
  let code = 0;
  if (baseline) {
    const verdict = compareWithBaseline(result, baseline, { tolerance, allowUnfit });
    showComparison(verdict);
    if (verdict.status === 'regression') code = EXIT.regression;
    if (verdict.status === 'incomparable') code = EXIT.incomparable;
  }
  if (saveBaseline !== undefined) {
    if (!result.fitness.fit && !allowUnfit) {
      note(`no baseline was saved: ${result.fitness.reasons.join('; ')}`);
      return code || EXIT.incomparable;
    }
    writeFileSync(saveBaseline, `${JSON.stringify(baselineOf(result), null, 1)}\n`);
    note(`wrote ${saveBaseline}`);
  }
  return code;
}

async function planOf(flags: BenchFlags, startedAt: number): Promise<BenchPlan> {
  const profile = PROFILES[flags.profile as keyof typeof PROFILES] as Profile | undefined;
  if (!profile || !Object.hasOwn(PROFILES, flags.profile)) {
    throw usage(
      `There is no profile ${JSON.stringify(flags.profile)}`,
      `Known profiles: ${Object.keys(PROFILES).join(', ')}.`,
    );
  }
  const whole = (name: string, text: string | undefined, otherwise: number, max = 1_000_000) =>
    text === undefined ? otherwise : wholeNumber(name, text, 1, max);
  const all = flags.prompts === undefined ? defaultPrompts() : readPromptFile(flags.prompts);
  const kinds = flags.kinds === undefined ? undefined : listOf('--kinds', flags.kinds);
  const maxTokens = whole('--max-tokens', flags.maxTokens, profile.maxTokens);
  const temperatures =
    flags.temperature === undefined
      ? profile.temperatures
      : listOf('--temperature', flags.temperature).map((text) => numberOf('--temperature', text));
  if (new Set(temperatures).size < temperatures.length)
    throw usage('--temperature has a value twice', 'Give each temperature once.');
  for (const temperature of temperatures) checkRequestOptions({ prompt: 'a', temperature });
  const limit =
    flags.timeLimit === undefined
      ? profile.timeLimit
      : numberIn('--time-limit', flags.timeLimit, 0, Number.MAX_SAFE_INTEGER);
  const custom = [
    ...[flags.arms, flags.prompts, flags.promptsPerKind, flags.kinds, flags.maxTokens],
    ...[flags.blocks, flags.temperature, flags.timeLimit],
  ].some((flag) => flag !== undefined);
  return {
    profile: custom ? 'custom' : (flags.profile as BenchResult['profile']),
    command: ['adaptive-spec', ...process.argv.slice(2)].map(quoted).join(' '),
    arms: completeArms(await armsOf(flags.arms === undefined ? profile.arms : listOf('--arms', flags.arms))),
    prompts: choosePrompts(all, {
      kinds,
      perKind: whole('--prompts-per-kind', flags.promptsPerKind, profile.promptsPerKind),
    }),
    promptsFrom: flags.prompts === undefined ? DEFAULT_PROMPT_FILES.join(', ') : basename(flags.prompts),
    maxTokens,
    blocks: whole('--blocks', flags.blocks, profile.blocks, 1000),
    temperatures,
    seed: wholeNumber('--seed', flags.seed, 0, 2 ** 31),
    deadline: startedAt + 1000 * limit,
    startedAt,
  };
}

async function armsOf(names: readonly string[]): Promise<Arm[]> {
  const arms: Arm[] = [];
  for (const name of names) {
    arms.push(isControllerFile(name) ? armOfController(name, await importController(name)) : armOf(name));
  }
  return arms;
}

function engineOptionsFor(flags: BenchFlags, { arms }: BenchPlan): EngineOptions {
  const options = engineOptionsOf(flags);
  const deepest = Math.max(...arms.map(({ depth, tree }) => Math.max(depth ?? 0, tree ?? 0)));
  if (deepest > 32) options.maxDepth = 64;
  if (arms.some(({ tree }) => tree !== undefined)) options.branches = DEFAULT_BRANCHES;
  checkEngineOptions(options);
  return options;
}

function mustDraft({ info }: Engine, arms: readonly Arm[]): void {
  if (info.drafters.length > 0 || arms.every(({ depth }) => depth === 0)) return;
  throw usage(
    `${basename(info.model)} has no draft model that can be used, and ${arms.find(({ depth }) => depth !== 0)!.name} drafts`,
    'Give one with --draft, or --arms plain.',
  );
}

function describe({ info }: Engine, prompts: readonly BenchPrompt[]): Record<string, unknown> {
  return {
    ...environment(loadBinding(), [info.model, ...(info.draft === undefined ? [] : [info.draft])]),
    description: info.description,
    kernels: info.kernels,
    targetThreads: info.threads,
    draftThreads: info.draftThreads,
    contextSize: info.contextSize,
    promptsSha256: hashPrompts(prompts),
  };
}

/** A table of the arms, and the verdicts. */
function show(result: BenchResult): void {
  const { figures, comparisons, verdict, fitness, partial, settings } = result;
  print(
    `temperature ${settings.temperatures[0]}, ${settings.promptCount} prompts, tokens before the first loop`,
  );
  print(
    'arm                 t/s   95 %             all t/s   accepted   tokens/step   mean K   of best fixed',
  );
  for (const one of figures.filter(({ kind }) => kind === 'all')) {
    const { value, low, high } = one.tokensPerSecond;
    const best = comparisons.find(
      ({ arm, against, kind }) => arm === one.arm && against === BEST_FIXED && kind === 'all',
    );
    print(
      [
        one.arm.padEnd(16),
        value.toFixed(1).padStart(7),
        `  ${`${low.toFixed(1)}–${high.toFixed(1)}`.padEnd(15)}`,
        one.tokensPerSecondAll.value.toFixed(1).padStart(8),
        percent(one.acceptanceRate, 1).padStart(10),
        one.meanAcceptanceLength.toFixed(2).padStart(13),
        one.meanDepth.toFixed(1).padStart(8),
        (best ? best.ratio.value.toFixed(3) : '').padStart(15),
      ].join(''),
    );
  }
  for (const { summary } of verdict) for (const line of summary) print(line);
  for (const more of result.further ?? []) {
    for (const { summary } of more.verdict)
      for (const line of summary) print(`Temperature ${more.temperature}: ${line}`);
  }
  if (!fitness.fit) note(`unfit: ${fitness.reasons.join('; ')}`);
  if (partial)
    note(
      `partial, by ${partial.reason}: ${partial.groupsMeasured} of ${partial.groupsPlanned} prompts in blocks measured`,
    );
}

function showComparison({ status, comparisons, reasons }: BaselineVerdict): void {
  for (const { arm, temperature, ratio, regression } of comparisons) {
    const { value, low, high } = ratio;
    const mark = regression ? '  REGRESSION' : '';
    note(
      `${arm} at temperature ${temperature}: ${value.toFixed(3)} of the baseline (${low.toFixed(3)} to ${high.toFixed(3)})${mark}`,
    );
  }
  note(status === 'incomparable' ? `incomparable: ${reasons.join('; ')}` : status);
}

function listOf(flag: string, text: string): string[] {
  const values = text.split(',').map((value) => value.trim());
  if (values.some((value) => value === ''))
    throw usage(
      `${flag} is ${JSON.stringify(text)}`,
      `Give values with commas between, such as ${flag} a,b.`,
    );
  return values;
}

function numberIn(flag: string, text: string, min: number, max: number): number {
  const value = numberOf(flag, text);
  if (value >= min && value <= max) return value;
  throw usage(`${flag} is ${text}`, `Give a number from ${min} to ${max}.`);
}

function wholeNumber(flag: string, text: string, min: number, max: number): number {
  const value = numberOf(flag, text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw usage(`${flag} is ${text}`, `Give a whole number from ${min} to ${max}.`);
}

/** Makes the folder now: after an hour of runs would be late to find out that it can't be. */
function mustBeWritable(flag: string, value: string, folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
  } catch (cause) {
    throw usage(
      `${flag} is ${value}, which can't be written to: ${(cause as Error).message}`,
      'Name a folder or a file in a folder that can be written to.',
    );
  }
}

function quoted(argument: string): string {
  return /^[\w./:=,+-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

function usage(message: string, hint: string): AdaptiveSpecError {
  return new AdaptiveSpecError('INVALID_ARGUMENT', message, hint);
}
