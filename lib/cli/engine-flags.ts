// Flags of the commands that load a model, and what they become.

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { AdaptiveSpecError } from '../errors.js';
import type { EngineOptions } from '../options.js';
import { note } from './console.js';
import { progressPrinter } from './progress.js';

export interface EngineFlags {
  model?: string;
  /** False with --no-draft. */
  draft?: string | false;
  threads?: string;
  draftThreads?: string;
  contextSize?: string;
  kvCacheType?: string;
  kernels?: string;
  flashAttention?: string;
  numa?: string;
  mlock?: boolean;
  mmap?: boolean;
  /** Of the same. */
  calibrate?: string;
  /** Of `generate`, `chat` and `serve`: a benchmark's runs must know nothing of each other. */
  ngramStore?: string;
  audit?: string;
  chatTemplateFile?: string;
  offline?: boolean;
}

/** Of commands that generate with controllers. */
export function addEngineFlags(command: Command): Command {
  return addTemplateFlag(addModelFlags(command).option('--audit <file>', 'append changes of K to this file'));
}

export function addTemplateFlag(command: Command): Command {
  return command.option(
    '--chat-template-file <file>',
    "a chat template in Jinja, in place of the model's own",
  );
}

/** Which models, and how they are loaded. */
export function addModelFlags(command: Command): Command {
  return command
    .option(
      '-m, --model <model>',
      'target: a path, https://…, hf:owner/repo/file.gguf (default: SmolLM2-135M)',
    )
    .option(
      '-d, --draft <model>',
      "draft model or head (EAGLE-3, DFlash), given like the target; mtp: the target's MTP layer",
    )
    .option('--no-draft', 'no draft model')
    .option('-t, --threads <n>', 'threads of the target (default: what the process may use)')
    .option('--draft-threads <n>', 'threads of the draft model')
    .option('--context-size <n>', 'tokens of prompt and output together')
    .option('--kv-cache-type <type>', 'f16, q8_0, …')
    .option('--kernels <name>', 'auto, amx, avx512, avx2 or ggml: what computes the matrix products')
    .option('--flash-attention <mode>', 'auto, on or off')
    .option('--numa <strategy>', 'none, interleave, distribute, isolate or numactl')
    .option('--mlock', 'keep the model in memory')
    .option('--no-mmap', 'read the model file rather than map it')
    .option('--offline', 'use no network');
}

/** Leaves out what was not given, so that the defaults of the library hold. */
export function engineOptionsOf(flags: EngineFlags): EngineOptions {
  const options: Record<string, unknown> = {
    model: flags.model,
    // Commander gives a flag with a --no- form the value true by default.
    draft: (flags.draft as unknown) === true ? undefined : flags.draft,
    kvCacheType: flags.kvCacheType,
    kernels: flags.kernels,
    flashAttention: flags.flashAttention,
    numa: flags.numa,
    mlock: flags.mlock,
    mmap: flags.mmap === false ? false : undefined,
    offline: flags.offline,
    chatTemplate: flags.chatTemplateFile === undefined ? undefined : templateOf(flags.chatTemplateFile),
    calibrate: flags.calibrate,
    ngramStore: flags.ngramStore === undefined ? undefined : { path: flags.ngramStore },
    audit: flags.audit === undefined ? undefined : { path: flags.audit },
    onProgress: progressPrinter(),
    onWarning: ({ code, message }: { code: string; message: string }) => note(`warning: ${code}: ${message}`),
  };
  for (const [name, flag] of [
    ['threads', '--threads'],
    ['draftThreads', '--draft-threads'],
    ['contextSize', '--context-size'],
  ] as const) {
    const value = flags[name];
    if (value !== undefined) options[name] = numberOf(flag, value);
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function templateOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The chat template ${file} can't be read: ${(cause as Error).message}`,
      'Give a text file with a Jinja template.',
      { cause },
    );
  }
}

/** A flag's value as a number. Throws INVALID_ARGUMENT where it is none. */
export function numberOf(flag: string, text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isNaN(value)) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `${flag} is ${JSON.stringify(text)}`,
      `Give a number, such as ${flag} 8.`,
    );
  }
  return value;
}
