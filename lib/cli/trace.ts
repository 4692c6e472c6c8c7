// `adaptive-spec trace`: records what the drafter would have proposed at every output position, for replay.

import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Command } from 'commander';
import { KINDS } from '../bench/bench-result.js';
import { type BenchPrompt, choosePrompts, defaultPrompts, readPromptFile } from '../bench/prompts.js';
import { createEngine, type Engine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import { RECORDED_DEPTH, recordExhaustively } from '../observe/exhaustive-recording.js';
import { traceHeader } from '../observe/trace-header.js';
import { TraceWriter } from '../observe/trace-writer.js';
import { checkEngineOptions, checkRequestOptions, type EngineOptions } from '../options.js';
import { durationOf, progressPrinterOf } from './bench-progress.js';
import { note } from './console.js';
import {
  addModelFlags,
  addTemplateFlag,
  type EngineFlags,
  engineOptionsOf,
  numberOf,
} from './engine-flags.js';
import { Interruption } from './interruption.js';

/** Long enough that no plan is late but on a machine that stands still: a late one would leave a gap. */
const PLAN_DEADLINE_MS = 60_000;

/** Positions from which on an estimate is worth showing: before, it is the prompt's reading. */
const ESTIMATE_FROM = 16;

interface TraceFlags extends EngineFlags {
  out: string;
  prompts?: string;
  promptsPerKind?: string;
  kinds?: string;
  maxTokens: string;
  drafter?: string;
}

interface RecordingProgress {
  done: number;
  total: number;
  msLeft: number | undefined;
  promptId: string;
}

export function addTrace(program: Command): void {
  const command = program
    .command('trace')
    .description('record what the drafter would have proposed at every output position, for replay')
    .requiredOption('--out <file>', 'the trace, made anew; gzipped where its name ends in .gz')
    .option('--prompts <file>', 'prompts as JSON lines {id, context, prompt} (default: those of the package)')
    .option('--prompts-per-kind <n>', 'the first so many prompts of each kind')
    .option('--kinds <list>', `some of ${KINDS.join(', ')}, with commas`)
    .option('-n, --max-tokens <n>', 'most tokens of a text', '256')
    .option('--drafter <name>', 'hybrid, model or ngram (default: the first of these that the engine has)')
    .option('--calibrate <when>', 'auto, load or off: where the costs in the header come from');
  addTemplateFlag(addModelFlags(command)).action(run);
}

async function run(flags: TraceFlags): Promise<void> {
  // All that can be wrong with the flags, before the models are loaded.
  const prompts = promptsOf(flags);
  const maxTokens = numberOf('--max-tokens', flags.maxTokens);
  checkRequestOptions({ prompt: 'a', maxTokens });
  const engineOptions: EngineOptions = {
    ...engineOptionsOf(flags),
    maxDepth: RECORDED_DEPTH,
    planDeadlineMs: PLAN_DEADLINE_MS,
  };
  checkEngineOptions(engineOptions);
  mustBeWritable(flags.out);

  const interrupt = new Interruption();
  const abort = new AbortController();
  const engine = await createEngine(engineOptions);
  try {
    const drafter = drafterOf(engine, flags.drafter);
    interrupt.onInterrupt = () => abort.abort();
    await record(engine, prompts, { out: flags.out, maxTokens, drafter, signal: abort.signal });
  } finally {
    interrupt.end();
    await engine.close();
  }
  if (interrupt.happened) process.exitCode = 130;
}

/** Writes each generation once it is there, so that an end before the last one costs only what was not recorded. */
async function record(
  engine: Engine,
  prompts: readonly BenchPrompt[],
  {
    out,
    maxTokens,
    drafter,
    signal,
  }: { out: string; maxTokens: number; drafter: string; signal: AbortSignal },
): Promise<void> {
  const depth = Math.min(RECORDED_DEPTH, engine.info.maxDepth);
  const { costs } = engine;
  const header = await traceHeader(engine.info, {
    mode: 'exhaustive',
    drafter,
    maxDepth: depth,
    ...(costs ? { costs } : {}),
  });
  const writer = new TraceWriter(out, header);
  const progress = progressPrinterOf(progressLine);
  const startedAt = performance.now();
  const total = prompts.length * maxTokens;
  let positions = 0;
  let whole = 0;
  try {
    for (const [at, prompt] of prompts.entries()) {
      if (signal.aborted) break;
      let recorded = 0;
      const onPosition = () => {
        recorded++;
        // A text that ended early leaves its share of the total behind.
        const done = at * maxTokens + recorded;
        const seen = positions + recorded;
        const msLeft =
          seen < ESTIMATE_FROM ? undefined : ((performance.now() - startedAt) / seen) * (total - done);
        progress.show({ done, total, msLeft, promptId: prompt.id });
      };
      const recording = await recordExhaustively(engine, {
        ...{ prompt, maxTokens, drafter, depth, signal, onPosition },
      });
      writer.write(recording.generation);
      for (const position of recording.positions) writer.write(position);
      if (recording.end) {
        writer.write(recording.end);
        whole++;
      }
      positions += recording.positions.length;
      await writer.flush();
    }
  } finally {
    progress.end();
    await writer.close();
  }
  note(
    `wrote ${out}: ${whole} of ${prompts.length} generations, ${positions} positions, drafted by ${drafter} up to depth ${depth}`,
  );
}

function progressLine({ done, total, msLeft, promptId }: RecordingProgress): string {
  const left = msLeft === undefined ? '' : `, ${durationOf(msLeft)} left`;
  return `position ${done} of at most ${total}${left} (${promptId})`;
}

function promptsOf({ prompts, kinds, promptsPerKind }: TraceFlags): BenchPrompt[] {
  const all = prompts === undefined ? defaultPrompts() : readPromptFile(prompts);
  const perKind =
    promptsPerKind === undefined ? Number.POSITIVE_INFINITY : numberOf('--prompts-per-kind', promptsPerKind);
  if (!(perKind >= 1)) throw usage(`--prompts-per-kind is ${promptsPerKind}`, 'Give a number from 1 on.');
  return choosePrompts(all, { kinds: kinds?.split(',').map((kind) => kind.trim()), perKind });
}

/** Replay offers policies the trace's drafter alone; 'hybrid' is what 'auto' asks for where it can. */
function drafterOf({ info }: Engine, name: string | undefined): string {
  const { drafters } = info;
  if (name === undefined) {
    const found = drafters.includes('hybrid') ? 'hybrid' : drafters[0];
    if (found !== undefined) return found;
  } else if (drafters.includes(name)) {
    if (!name.startsWith('ngram-')) return name;
    throw usage(`${name} says no probabilities, and replay plans by them`, 'Record hybrid, model or ngram.');
  }
  throw usage(
    name === undefined
      ? `${basename(info.model)} has no drafter`
      : `This engine has no drafter named ${JSON.stringify(name)}`,
    drafters.length > 0 ? `It has: ${drafters.join(', ')}.` : 'Give a draft model with --draft.',
  );
}

function mustBeWritable(file: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    accessSync(dirname(file), constants.W_OK);
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) throw new Error('it is a folder');
  } catch (cause) {
    throw usage(
      `--out is ${file}, which can't be written: ${(cause as Error).message}`,
      'Name a file in a folder that can be written to.',
    );
  }
}

function usage(message: string, hint: string): AdaptiveSpecError {
  return new AdaptiveSpecError('INVALID_ARGUMENT', message, hint);
}
