// `adaptive-spec generate`: text on stdout as it comes, or one JSON object at the end.

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Controller } from '../control/controller.js';
import { controllerNames, resolveController } from '../control/controllers.js';
import { createEngine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import {
  checkEngineOptions,
  checkRequestOptions,
  DEFAULT_BRANCHES,
  type RequestOptions,
} from '../options.js';
import { percent } from '../percent.js';
import type { GenerationResult } from '../result.js';
import { note } from './console.js';
import { importController, isControllerFile } from './controller-flag.js';
import { addEngineFlags, type EngineFlags, engineOptionsOf, numberOf } from './engine-flags.js';
import { Interruption } from './interruption.js';
import { LiveView } from './live-view.js';

interface Flags extends EngineFlags {
  prompt?: string;
  promptFile?: string;
  chat?: boolean;
  controller?: string;
  depth?: string;
  drafter?: string;
  tree?: string;
  maxTokens?: string;
  temperature?: string;
  acceptance?: string;
  topK?: string;
  topP?: string;
  minP?: string;
  seed?: string;
  stop?: string[];
  ignoreEos?: boolean;
  jsonSchema?: string;
  grammar?: string;
  tools?: string;
  toolChoice?: string;
  json?: boolean;
  steps?: boolean;
  trace?: string;
}

export function addGenerate(program: Command): void {
  const command = program
    .command('generate')
    .description('generate text')
    .option('-p, --prompt <text>', 'the prompt')
    .option('-f, --prompt-file <file>', 'a file with the prompt; - is stdin')
    .option('--chat', "put the prompt into words by the model's chat template, as the user's message")
    .option('-c, --controller <name|file>', `${controllerNames.join(', ')}, or a module's default export`)
    .option('-k, --depth <k>', 'the same depth at every step; 0 is plain decoding')
    .option(
      '--drafter <name>',
      'model, ngram, hybrid, eagle3, mtp, dflash or one of llama.cpp’s n-grams (ngram-cache, …), where a plan names none',
    )
    .option(
      '--ngram-store <file>',
      'draft from the texts that earlier runs left in this file, and add this one',
    )
    .option('--tree <nodes>', 'verify guesses beside the draft too, up to so many tokens with it')
    .option('-n, --max-tokens <n>', 'most tokens to emit (default: 256)')
    .option('--temperature <t>', '0 takes the likeliest token (default: 0)')
    .option(
      '--acceptance <method>',
      'compare or rejection, of draft tokens above temperature 0 (default: compare)',
    )
    .option('--top-k <n>', 'draw among so many likeliest tokens')
    .option('--top-p <p>', 'draw among the likeliest tokens that hold this probability')
    .option('--min-p <p>', "draw among tokens at least this probable, of the likeliest's")
    .option('--seed <n>', 'start of the random numbers')
    .option('--stop <text...>', 'end before this text')
    .option('--ignore-eos', "go on past the model's own end")
    .option('--json-schema <schema|file>', 'a JSON schema that the text keeps to')
    .option('--grammar <gbnf|file>', 'a GBNF grammar that the text keeps to')
    .option('--tools <json|file>', "functions that the model may call, in OpenAI's form; with --chat")
    .option('--tool-choice <choice>', 'auto, none, required, or the name of a tool')
    .option('--calibrate <when>', 'auto, load or off: where controllers have the costs of a step from')
    .option('--json', 'one JSON object: text, tokens, finishReason, stats')
    .option('--steps', 'depth, drafted and accepted of every step, in the JSON or on stderr')
    .option('--trace <file>', 'every step as JSON lines, in a file made anew; gzipped where it ends in .gz');
  addEngineFlags(command).action(run);
}

async function run(flags: Flags): Promise<void> {
  const engineOptions = engineOptionsOf(flags);
  const request = await requestOf(flags);
  // Before the models are loaded, so that a slip of the keyboard costs nothing.
  checkRequestOptions(request);
  resolveController(request.controller, { depth: request.depth });
  if (Math.max(request.depth ?? 0, request.tree ?? 0) > 32) engineOptions.maxDepth ??= 64;
  if ((request.tree ?? 0) > 0) engineOptions.branches ??= DEFAULT_BRANCHES;
  checkEngineOptions(engineOptions);

  const interrupt = new Interruption();
  const engine = await createEngine(engineOptions);
  try {
    const generation = engine.generate(request);
    interrupt.onInterrupt = () => generation.abort();
    const result = flags.json ? await generation : await stream(generation);
    if (interrupt.happened) {
      process.exitCode = 130;
      if (flags.json) return;
    }
    if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else summarise(result);
  } finally {
    interrupt.end();
    await engine.close();
  }
}

async function requestOf(flags: Flags): Promise<RequestOptions> {
  const text = promptOf(flags);
  const request: RequestOptions = {
    ...(flags.chat ? { messages: [{ role: 'user', content: text }] } : { prompt: text }),
    onAbort: 'return',
  };
  if (flags.controller !== undefined) request.controller = await controllerOf(flags.controller);
  if (flags.depth !== undefined) request.depth = numberOf('--depth', flags.depth);
  if (flags.drafter !== undefined) request.drafter = flags.drafter;
  if (flags.tree !== undefined) request.tree = numberOf('--tree', flags.tree);
  if (flags.maxTokens !== undefined) request.maxTokens = numberOf('--max-tokens', flags.maxTokens);
  if (flags.temperature !== undefined) request.temperature = numberOf('--temperature', flags.temperature);
  if (flags.acceptance !== undefined)
    request.acceptance = flags.acceptance as NonNullable<RequestOptions['acceptance']>;
  if (flags.topK !== undefined) request.topK = numberOf('--top-k', flags.topK);
  if (flags.topP !== undefined) request.topP = numberOf('--top-p', flags.topP);
  if (flags.minP !== undefined) request.minP = numberOf('--min-p', flags.minP);
  if (flags.seed !== undefined) request.seed = numberOf('--seed', flags.seed);
  if (flags.stop !== undefined) request.stop = flags.stop;
  if (flags.ignoreEos) request.ignoreEos = true;
  Object.assign(request, formOf(flags));
  if (flags.steps) request.steps = true;
  if (flags.trace !== undefined) request.trace = flags.trace;
  return request;
}

/** What the flags say of the text's form. A value that isn't itself JSON or GBNF names a file. */
function formOf({ jsonSchema, grammar, tools, toolChoice }: Flags): Partial<RequestOptions> {
  const form: Record<string, unknown> = {};
  if (jsonSchema !== undefined) {
    form.responseFormat = { type: 'json_schema', schema: jsonOf('--json-schema', jsonSchema) };
  }
  if (grammar !== undefined) form.grammar = grammar.includes('::=') ? grammar : fileOf('--grammar', grammar);
  if (tools !== undefined) form.tools = jsonOf('--tools', tools);
  if (toolChoice !== undefined) {
    const isWord = ['auto', 'none', 'required'].includes(toolChoice);
    form.toolChoice = isWord ? toolChoice : { name: toolChoice };
  }
  return form;
}

function jsonOf(flag: string, value: string): unknown {
  const isJson = /^\s*[[{]/.test(value);
  try {
    return JSON.parse(isJson ? value : fileOf(flag, value));
  } catch (cause) {
    if (cause instanceof AdaptiveSpecError) throw cause;
    throw usage(`${flag} is no JSON: ${(cause as Error).message}`, 'Give JSON, or a file that holds it.');
  }
}

function fileOf(flag: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw usage(
      `${flag}: ${path} can't be read: ${(cause as Error).message}`,
      'Give the path of a file, or its text.',
    );
  }
}

function promptOf({ prompt, promptFile }: Flags): string {
  if ((prompt === undefined) === (promptFile === undefined)) {
    throw usage(
      prompt === undefined ? 'There is no prompt' : 'There are both a prompt and a prompt file',
      "Give --prompt 'Once upon a time' or --prompt-file FILE.",
    );
  }
  if (prompt !== undefined) return prompt;
  try {
    return readFileSync(promptFile === '-' ? 0 : promptFile!, 'utf8');
  } catch (cause) {
    throw usage(
      `The prompt file ${promptFile} can't be read: ${(cause as Error).message}`,
      'Give a text file, or - for stdin.',
    );
  }
}

/** A built-in controller's name, or what a module exports by default. */
async function controllerOf(value: string): Promise<Controller | string> {
  return isControllerFile(value) ? importController(value) : value;
}

/** Writes text as it comes; a text that ends without a newline gets one. */
async function stream(generation: ReturnType<Awaited<ReturnType<typeof createEngine>>['generate']>) {
  const view = new LiveView();
  try {
    for await (const part of generation.events()) {
      if (part.type === 'text') view.text(part.text);
      else if (part.type === 'step') view.step(part.step);
    }
  } finally {
    view.end();
  }
  return await generation;
}

function summarise({ stats, steps, usage, finishReason, toolCalls }: GenerationResult): void {
  for (const [i, step] of (steps ?? []).entries())
    note(`step ${i + 1}: K ${step.depth}, drafted ${step.drafted}, accepted ${step.accepted}`);
  const accepted =
    stats.draftTokens > 0 ? `, ${percent(stats.acceptanceRate)} of ${stats.draftTokens} accepted` : '';
  for (const call of toolCalls ?? []) note(`calls ${call.name}(${call.arguments})`);
  note(
    `${usage.completionTokens} tokens in ${stats.steps} steps, ${stats.tokensPerSecond.toFixed(1)} t/s${accepted} (${finishReason})`,
  );
}

function usage(message: string, hint: string): AdaptiveSpecError {
  return new AdaptiveSpecError('INVALID_ARGUMENT', message, hint);
}
