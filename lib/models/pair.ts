// From what a caller names to files that were checked: the target model, and the draft model where there is one.

import { AdaptiveSpecError } from '../errors.js';
import type { CheckedEngineOptions } from '../options.js';
import { defaultPair, resolveModel } from './download.js';
import { checkGguf, type GgufInfo } from './gguf-check.js';
import { checkMemory, estimateMemory } from './memory.js';

/** What stands for the target's own MTP layer in place of a draft model. */
const MTP = 'mtp';
/** Rows of logits that llama.cpp has for a head that reads hidden states, besides those of its draft. */
const HEAD_ROWS = 64;

/** Checked files, and the sizes that depend on them. */
export interface ModelPair {
  target: GgufInfo;
  draft?: GgufInfo;
  /** Whether the target's own MTP layer drafts. */
  mtp: boolean;
  /** Tokens per request. */
  contextSize: number;
  maxDepth: number;
}

/** Downloads what is missing, checks both files, and that they fit into memory. */
export async function openPair(options: CheckedEngineOptions): Promise<ModelPair> {
  const paths = await findFiles(options);
  const target = checkGguf(paths.target);
  if (target.vocabularySize === 0) {
    throw new AdaptiveSpecError(
      'UNSUPPORTED',
      `${target.path} has no tokenizer: it can be a draft, but no target`,
      'Give the target as the model, and this one as its draft.',
    );
  }
  const contextSize = contextSizeOf(options, target);
  // A draft never reaches past the context.
  const maxDepth = Math.min(options.maxDepth, contextSize - 1);
  const pair: ModelPair = { target, contextSize, maxDepth, mtp: options.draft === MTP };
  if (pair.mtp && !target.hasMtp) {
    throw new AdaptiveSpecError(
      'UNSUPPORTED',
      `${target.path} brings no MTP layer that could draft`,
      'Give a model with one, a draft model, or draft: false.',
    );
  }
  if (paths.draft !== undefined) pair.draft = checkGguf(paths.draft, 'draft');

  const memoryOf = (info: GgufInfo, rows: number) => ({
    path: info.path,
    memory: estimateMemory(info, {
      contextSize,
      parallel: options.parallel,
      kvCacheType: options.kvCacheType,
      rows,
      repacked: options.kernels !== 'ggml',
    }),
  });
  const models = [memoryOf(target, options.parallel * (pair.maxDepth + 1))];
  const headRows = options.parallel * (pair.maxDepth + 1) + HEAD_ROWS;
  if (pair.draft) models.push(memoryOf(pair.draft, pair.draft.readsStates ? headRows : options.parallel));
  // Interleaving needs pages of our own, and our kernels weights of another layout: then the file is not mapped.
  const mapped = options.mmap && options.numa !== 'interleave' && options.kernels === 'ggml';
  checkMemory(models, mapped, options.maxMemory);
  return pair;
}

async function findFiles(options: CheckedEngineOptions): Promise<{ target: string; draft?: string }> {
  const { model, draft, offline, onProgress } = options;
  const how = {
    offline,
    onProgress: ({ name, received, total }: { name: string; received: number; total?: number | undefined }) =>
      onProgress?.({
        phase: 'download',
        name,
        done: received,
        ...(total === undefined ? {} : { total }),
      }),
  };
  if (model === undefined && draft === undefined) return defaultPair(how);
  const target = model === undefined ? (await defaultPair(how)).target : await resolveModel(model, how);
  return draft === undefined || draft === false || draft === MTP
    ? { target }
    : { target, draft: await resolveModel(draft, how) };
}

function contextSizeOf(options: CheckedEngineOptions, target: GgufInfo): number {
  const { contextSize } = options;
  if (contextSize === undefined) return Math.min(4096, target.contextLength);
  if (contextSize <= target.contextLength) return contextSize;
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `contextSize is ${contextSize}, but ${target.path} was trained for ${target.contextLength} tokens`,
    `Give at most ${target.contextLength}.`,
  );
}
