// `adaptive-spec chat`: a conversation in the terminal, with K and speed in a line below while an answer is written.

import type { Command } from 'commander';
import { MAX_DEPTH } from '../control/controller.js';
import { controllerNames } from '../control/controllers.js';
import { drafterIndex } from '../control/drafter-names.js';
import { createEngine, type Engine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import type { Generation } from '../generation.js';
import { checkEngineOptions, type RequestOptions } from '../options.js';
import { percent } from '../percent.js';
import type { Statistics } from '../result.js';
import { coloursFor, exitCodeOf, note, reportError } from './console.js';
import { importController, isControllerFile } from './controller-flag.js';
import { COMMANDS, Conversation } from './conversation.js';
import { addEngineFlags, type EngineFlags, engineOptionsOf, numberOf } from './engine-flags.js';
import { LineReader } from './line-reader.js';
import { LiveView } from './live-view.js';

interface Flags extends EngineFlags {
  system?: string;
  controller?: string;
  depth?: string;
  drafter?: string;
  maxTokens?: string;
  temperature?: string;
  topP?: string;
  seed?: string;
}

export function addChat(program: Command): void {
  const command = program
    .command('chat')
    .description('talk with a model in the terminal; /help lists what can be changed meanwhile')
    .option('--system <text>', 'what the model is told first')
    .option('-c, --controller <name|file>', `${controllerNames.join(', ')}, or a module's default export`)
    .option('-k, --depth <k>', 'the same depth at every step; 0 is plain decoding')
    .option('--drafter <name>', 'who drafts where a plan names none: model, ngram, hybrid, …')
    .option(
      '--ngram-store <file>',
      'draft from the texts that earlier chats left in this file, and add this one',
    )
    .option('-n, --max-tokens <n>', 'most tokens of an answer (default: 1024)')
    .option('--temperature <t>', '0 takes the likeliest token (default: 0)')
    .option('--top-p <p>', 'draw among the likeliest tokens that hold this probability')
    .option('--seed <n>', 'start of the random numbers')
    .option('--calibrate <when>', 'auto, load or off: where controllers have the costs of a step from');
  addEngineFlags(command).action(run);
}

async function run(flags: Flags): Promise<void> {
  const conversation = new Conversation(await settingsOf(flags), flags.system);
  const engineOptions = engineOptionsOf(flags);
  if (flags.depth !== undefined && numberOf('--depth', flags.depth) > 32)
    engineOptions.maxDepth ??= MAX_DEPTH;
  checkEngineOptions(engineOptions);

  let answer: Generation | undefined;
  let isAborted = false;
  let reader: LineReader | undefined;
  const onInterrupt = () => {
    if (answer && !isAborted) {
      isAborted = true;
      answer.abort();
    } else if (!reader?.interrupt()) process.exit(130);
  };
  process.on('SIGINT', onInterrupt);
  let engine: Engine | undefined;
  try {
    engine = await createEngine(engineOptions);
    mustChat(engine);
    drafterIndex(engine.info.drafters, flags.drafter);
    conversation.maxDepth = engine.info.maxDepth;
    // So that an answer reads no more than what was said since the last.
    const session = engine.session();
    reader = new LineReader(
      process.stdin,
      process.stdout,
      COMMANDS.map(([name, takes]) => (takes === '' ? name : `${name} `)),
    );
    if (reader.isTerminal) note(coloursFor(process.stderr).dim(`${engine.info.description}; /help, /exit`));
    for (;;) {
      const read = await reader.next('> ');
      if (read === 'interrupt') process.exitCode = 130;
      if (read === 'interrupt' || read === 'end') {
        // The shell's prompt shall not stand behind ours.
        if (reader.isTerminal) process.stdout.write('\n');
        break;
      }
      if (read.line.trim() === '') continue;
      try {
        const heard = await conversation.hear(read.line);
        if (heard.type === 'leave') break;
        if (heard.type === 'said') {
          for (const line of heard.lines) note(line);
          continue;
        }
        isAborted = false;
        answer = session.generate(conversation.requestFor(heard.text));
        const text = await show(answer);
        // A model that is told of an empty answer of its own tends to give another.
        if (text.trim() !== '') conversation.answered(heard.text, text);
      } catch (error) {
        // The conversation goes on without what failed; a script is told by the exit code.
        reportError(hinted(error));
        if (!reader.isTerminal) process.exitCode = exitCodeOf(error);
      } finally {
        answer = undefined;
      }
    }
  } finally {
    process.off('SIGINT', onInterrupt);
    reader?.close();
    await engine?.close();
  }
}

async function settingsOf(flags: Flags): Promise<RequestOptions> {
  const settings: RequestOptions = { maxTokens: 1024, onAbort: 'return' };
  const { controller } = flags;
  if (controller !== undefined)
    settings.controller = isControllerFile(controller) ? await importController(controller) : controller;
  if (flags.depth !== undefined) settings.depth = numberOf('--depth', flags.depth);
  if (flags.drafter !== undefined) settings.drafter = flags.drafter;
  if (flags.maxTokens !== undefined) settings.maxTokens = numberOf('--max-tokens', flags.maxTokens);
  if (flags.temperature !== undefined) settings.temperature = numberOf('--temperature', flags.temperature);
  if (flags.topP !== undefined) settings.topP = numberOf('--top-p', flags.topP);
  if (flags.seed !== undefined) settings.seed = numberOf('--seed', flags.seed);
  return settings;
}

function mustChat({ info }: Engine): void {
  if (info.hasChatTemplate) return;
  throw new AdaptiveSpecError(
    'UNSUPPORTED',
    `${info.model} has no chat template`,
    "Take an 'Instruct' model, or adaptive-spec generate.",
  );
}

/** Writes an answer as it comes, then a line on how it went. */
async function show(answer: Generation): Promise<string> {
  const view = new LiveView();
  let text = '';
  try {
    for await (const part of answer.events()) {
      if (part.type === 'text') {
        view.text(part.text);
        text += part.text;
      } else if (part.type === 'step') view.step(part.step);
    }
  } finally {
    view.end();
  }
  const { stats, usage, finishReason } = await answer;
  const end = finishReason === 'stop' ? '' : ` (${finishReason})`;
  note(coloursFor(process.stderr).dim(`${usage.completionTokens} tokens${end}   ${summaryOf(stats)}`));
  return text;
}

/** K is what a step verified, on the average, as in the line that stood there before. */
function summaryOf(stats: Statistics): string {
  const k = stats.steps > 0 ? (stats.verifiedTokens / stats.steps).toFixed(1) : '–';
  const accepted = stats.draftTokens > 0 ? `${percent(stats.acceptanceRate)} of ${stats.draftTokens}` : '–';
  return `${stats.tokensPerSecond.toFixed(1)} t/s   K ${k}   accepted ${accepted}   by ${stats.controller.name}`;
}

/** A context that is full is the one error that a conversation runs into by itself. */
function hinted(error: unknown): unknown {
  if (!(error instanceof AdaptiveSpecError) || error.code !== 'CONTEXT_OVERFLOW') return error;
  return new AdaptiveSpecError(
    error.code,
    error.message,
    'Forget what was said with /reset, or start with a larger --context-size.',
    { cause: error },
  );
}
