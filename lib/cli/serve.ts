// `adaptive-spec serve`: an engine behind HTTP, until a signal ends it.

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Controller } from '../control/controller.js';
import { controllerNames } from '../control/controllers.js';
import { createEngine, type Engine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import { checkEngineOptions, type EngineOptions } from '../options.js';
import { checkServerOptions, type RequestDefaults, type ServerOptions } from '../serve/options.js';
import { createServer, type Server } from '../serve/server.js';
import { ServerState } from '../serve/state.js';
import { warmUp } from '../serve/warm-up.js';
import { note, print } from './console.js';
import { importController, isControllerFile } from './controller-flag.js';
import { addEngineFlags, type EngineFlags, engineOptionsOf, numberOf } from './engine-flags.js';
import { supervise } from './supervise.js';

interface Flags extends EngineFlags {
  host?: string;
  port?: string;
  apiKeyFile?: string;
  modelName?: string;
  controller?: string;
  depth?: string;
  drafter?: string;
  parallel?: string;
  maxDepth?: string;
  queue?: string;
  batchSize?: string;
  maxMemory?: string;
  bodyLimit?: string;
  maxMessages?: string;
  maxTokens?: string;
  temperature?: string;
  topK?: string;
  topP?: string;
  minP?: string;
  seed?: string;
  /** False with the --no- form. */
  thinking: boolean;
  slots: boolean;
  verbose?: boolean;
  allowedHost?: string[];
  cachePrompt: boolean;
  drain?: string;
  isolate?: boolean;
}

export function addServe(program: Command): void {
  const command = program
    .command('serve')
    .description(
      "serve OpenAI's and llama-server's endpoints over HTTP; the depth still changes at every step",
    )
    .option('--host <address>', 'address to listen on; any but loopback needs a key (default: 127.0.0.1)')
    .option('--port <port>', 'port to listen on; 0 takes a free one (default: 8080)')
    .option('--api-key-file <file>', 'a file with API keys, one a line (or one in ADAPTIVE_SPEC_API_KEY)')
    .option('--model-name <name>', "what the model is called (default: its file's name)")
    .option('-c, --controller <name|file>', `${controllerNames.join(', ')}, or a module's default export`)
    .option('-k, --depth <k>', 'the same depth at every step, for requests that say nothing else')
    .option('--drafter <name>', "who drafts in requests that don't say it: model, ngram, hybrid, …")
    .option(
      '--ngram-store <file>',
      "draft from earlier requests' texts too, whoever sent them, and keep them in this file",
    )
    .option('--parallel <n>', 'requests that generate at once (default: 1)')
    .option('--max-depth <k>', 'largest depth that requests may ask for (default: 32)')
    .option('--queue <n>', 'requests that may wait; more are refused (default: 64)')
    .option('--batch-size <n>', 'prompt tokens per batch (default: 512)')
    .option(
      '--max-memory <bytes>',
      'what weights, caches and buffers may take (default: what the machine has)',
    )
    .option('--body-limit <bytes>', 'largest body of a request (default: 4 MiB)')
    .option('--max-messages <n>', 'most messages of a request (default: 1024)')
    .option(
      '-n, --max-tokens <n>',
      "most tokens of requests that don't say it (default: what the context holds)",
    )
    .option('--temperature <t>', "of requests that don't say it (default: 0, the likeliest token)")
    .option('--top-k <n>', "draw among so many likeliest tokens, in requests that don't say it")
    .option('--top-p <p>', 'the likeliest tokens that hold this probability, likewise')
    .option('--min-p <p>', "tokens at least this probable, of the likeliest's, likewise")
    .option('--seed <n>', 'start of the random numbers, likewise (default: a new one)')
    .option('--no-thinking', 'models answer at once where their chat template knows how, likewise')
    .option('--no-slots', '/slots tells nothing')
    .option('--verbose', 'answers say what the model was given, as llama-server does in __verbose')
    .option('--allowed-host <name...>', "names in the Host header that are this server's")
    .option('--no-cache-prompt', 'read every prompt whole, whatever earlier requests have read of it')
    .option('--drain <seconds>', 'how long running requests may go on after SIGTERM (default: 30)')
    .option('--calibrate <when>', 'auto, load or off: where controllers have the costs of a step from')
    .option('--isolate', 'run in a child process, which is started again when it crashes');
  addEngineFlags(command).action(run);
}

async function run(flags: Flags): Promise<void> {
  const engineOptions = engineOptionsOf(flags);
  for (const [name, flag] of [
    ['parallel', '--parallel'],
    ['batchSize', '--batch-size'],
    ['maxDepth', '--max-depth'],
    ['maxMemory', '--max-memory'],
  ] as const) {
    const value = flags[name];
    if (value !== undefined) engineOptions[name] = numberOf(flag, value);
  }
  const serverOptions = await serverOptionsOf(flags);
  // Before the models are loaded, so that a slip of the keyboard costs nothing.
  checkEngineOptions(engineOptions);
  checkServerOptions(serverOptions);
  const { controller = 'auto', depth } = serverOptions;
  new ServerState(depth === undefined ? { controller } : { controller, depth });
  if (flags.isolate) process.exitCode = await supervise();
  else await serve(engineOptions, serverOptions);
}

async function serve(engineOptions: EngineOptions, serverOptions: ServerOptions): Promise<void> {
  const signals = new EndSignals();
  let engine: Engine | undefined;
  let server: Server | undefined;
  try {
    engine = await createEngine(engineOptions);
    // Where this machine has no loopback there is nothing lost but the first refusals' speed.
    await warmUp(engine).catch(() => {});
    server = createServer(engine, serverOptions);
    const address = await server.listen();
    // Tells the parent of `--isolate` that there is something to start again, before anybody else can know.
    process.send?.('listening');
    print(`listening on ${address}`);
    const signal = await signals.first;
    note(`${signal}: no requests are taken any more (running: ${server.state.running})`);
    process.exitCode = signal === 'SIGINT' ? 130 : 0;
  } finally {
    await server?.close();
    await engine?.close();
    signals.end();
  }
}

/**
 * The first signal ends the server in good order, the second at once; so does the end of who started it. Under `--isolate`
 * the parent tells of its signals, and the child's own begin the end but don't hasten it: they are mostly the same.
 */
class EndSignals {
  readonly first: Promise<string>;
  readonly #off: () => void;

  constructor() {
    let seen = false;
    let resolve!: (signal: string) => void;
    this.first = new Promise((done) => {
      resolve = done;
    });
    const hear = (signal: string) => {
      if (seen) process.exit(signal === 'SIGINT' ? 130 : 1);
      seen = true;
      resolve(signal);
    };
    const isChild = process.send !== undefined;
    const own = (signal: string) => {
      if (!seen || !isChild) hear(signal);
    };
    let toldBefore = false;
    const told = (signal: unknown) => {
      if (!seen || toldBefore) hear(String(signal));
      toldBefore = true;
    };
    const orphaned = () => hear('the parent has gone');
    process.on('SIGTERM', own);
    process.on('SIGINT', own);
    process.on('message', told);
    process.on('disconnect', orphaned);
    this.#off = () => {
      process.off('SIGTERM', own);
      process.off('SIGINT', own);
      process.off('message', told);
      process.off('disconnect', orphaned);
      if (process.connected) process.disconnect();
    };
  }

  end(): void {
    this.#off();
  }
}

async function serverOptionsOf(flags: Flags): Promise<ServerOptions> {
  const options: ServerOptions = {
    onError: (error, id) =>
      note(`error: request ${id}: ${error instanceof Error ? error.stack : String(error)}`),
  };
  const keys = keysOf(flags);
  if (keys.length > 0) options.apiKey = keys;
  if (flags.host !== undefined) options.host = flags.host;
  if (flags.port !== undefined) options.port = numberOf('--port', flags.port);
  if (flags.modelName !== undefined) options.modelName = flags.modelName;
  if (flags.controller !== undefined) options.controller = await controllerOf(flags.controller);
  if (flags.depth !== undefined) {
    options.controller ??= 'fixed';
    options.depth = numberOf('--depth', flags.depth);
  }
  options.defaults = defaultsOf(flags);
  if (!flags.slots) options.slots = false;
  if (flags.verbose) options.verbose = true;
  for (const [name, flag] of [
    ['queue', '--queue'],
    ['bodyLimit', '--body-limit'],
    ['maxMessages', '--max-messages'],
  ] as const) {
    const value = flags[name];
    if (value !== undefined) options[name] = numberOf(flag, value);
  }
  if (flags.allowedHost !== undefined) options.allowedHosts = flags.allowedHost;
  if (!flags.cachePrompt) options.cachePrompt = false;
  if (flags.drain !== undefined) options.drainMs = Math.round(1000 * numberOf('--drain', flags.drain));
  return options;
}

/** What requests get that don't say otherwise. */
function defaultsOf(flags: Flags): RequestDefaults {
  const defaults: RequestDefaults = {};
  for (const [name, flag] of [
    ['maxTokens', '--max-tokens'],
    ['temperature', '--temperature'],
    ['topK', '--top-k'],
    ['topP', '--top-p'],
    ['minP', '--min-p'],
    ['seed', '--seed'],
  ] as const) {
    const value = flags[name];
    if (value !== undefined) defaults[name] = numberOf(flag, value);
  }
  if (!flags.thinking) defaults.enableThinking = false;
  if (flags.drafter !== undefined) defaults.drafter = flags.drafter;
  return defaults;
}

/** Not from a flag, which everybody on the machine could read. */
function keysOf({ apiKeyFile }: Flags): string[] {
  const { ADAPTIVE_SPEC_API_KEY: fromEnvironment } = process.env;
  const keys = fromEnvironment ? [fromEnvironment] : [];
  if (apiKeyFile === undefined) return keys;
  let text: string;
  try {
    text = readFileSync(apiKeyFile, 'utf8');
  } catch (cause) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The key file ${apiKeyFile} can't be read: ${(cause as Error).message}`,
      'Give a text file with a key on each line.',
    );
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const fromFile = lines.filter((line) => line !== '');
  if (fromFile.length > 0) return [...keys, ...fromFile];
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `The key file ${apiKeyFile} is empty`,
    'Write a key into it, such as what `openssl rand -hex 32` gives.',
  );
}

async function controllerOf(value: string): Promise<Controller | string> {
  return isControllerFile(value) ? importController(value) : value;
}
