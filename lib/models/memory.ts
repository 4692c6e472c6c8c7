// Whether a model can fit into memory at all, found out before llama.cpp tries: its answer would be the OOM killer's.

import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { AdaptiveSpecError } from '../errors.js';
import type { KvCacheType } from '../options.js';
import type { GgufInfo } from './gguf-check.js';

/** Bytes that a loaded model takes. */
export interface MemoryEstimate {
  weights: number;
  kvCache: number;
  /** Logits and the graph's buffers. */
  compute: number;
  total: number;
}

const BYTES_PER_ELEMENT: Record<KvCacheType, number> = {
  f32: 4,
  f16: 2,
  bf16: 2,
  q8_0: 34 / 32,
  q5_1: 24 / 32,
  q5_0: 22 / 32,
  q4_1: 20 / 32,
  q4_0: 18 / 32,
  iq4_nl: 18 / 32,
};
/** Scratch of a batch of the prompt, in 32-bit floats per row and embedding element; measured on llama models. */
const SCRATCH = 16;
/** Rows of the graphs that are kept beside the largest batch's: eight shapes, most of few rows. */
const KEPT_ROWS = 36;

/** An upper estimate: sliding-window layers, whose cache is smaller, are counted in full. */
export function estimateMemory(
  info: GgufInfo,
  {
    contextSize,
    parallel,
    kvCacheType,
    rows,
    repacked,
  }: {
    contextSize: number;
    parallel: number;
    kvCacheType: KvCacheType;
    /** Rows with logits in one batch. */
    rows: number;
    /** Whether our kernels take the weights: into a layout of up to 3 % more, and a tied output matrix apart. */
    repacked: boolean;
  },
): MemoryEstimate {
  const weights = repacked ? 1.03 * info.weightBytes + info.tiedBytes : info.weightBytes;
  const kvCache = contextSize * parallel * info.cacheElements * BYTES_PER_ELEMENT[kvCacheType];
  const compute =
    4 * ((rows + KEPT_ROWS) * info.vocabularySize + (512 + KEPT_ROWS) * SCRATCH * info.embeddingLength);
  return { weights, kvCache, compute, total: weights + kvCache + compute };
}

/** Bytes that this process could have: all of the machine's, or its control group's limit. */
export function memoryLimit(): number {
  const limit = process.constrainedMemory?.() ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** Bytes that can be taken now without swapping: /proc/meminfo's MemAvailable, or the limit where there is none. */
export function memoryAvailable(): number {
  try {
    const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
    return Math.min(memoryLimit(), Number(kib) * 1024 || memoryLimit());
  } catch {
    return memoryLimit();
  }
}

/**
 * Throws OUT_OF_MEMORY where the models together can't run. Weights that are mapped from a file may exceed what is
 * free now, since the system reads them again when it must; caches and buffers may not. `cap` is the caller's own limit of
 * all of it.
 */
export function checkMemory(
  models: { path: string; memory: MemoryEstimate }[],
  mmap: boolean,
  cap = Number.POSITIVE_INFINITY,
  available = memoryAvailable(),
  limit = memoryLimit(),
): void {
  let total = 0;
  let fixed = 0;
  for (const { memory } of models) {
    total += memory.total;
    fixed += memory.total - (mmap ? memory.weights : 0);
  }
  if (total <= Math.min(limit, cap) && fixed <= available) return;
  const parts = models.map(
    ({ path, memory }) =>
      `${path}: ${gib(memory.weights)} of weights, ${gib(memory.kvCache)} of KV cache, ${gib(memory.compute)} of buffers`,
  );
  throw new AdaptiveSpecError(
    'OUT_OF_MEMORY',
    total > cap
      ? `${gib(total)} needed, more than maxMemory allows: ${gib(cap)} (${parts.join('; ')})`
      : `Not enough memory: ${gib(total)} needed, ${gib(available)} available of ${gib(limit)} (${parts.join('; ')})`,
    'Use a smaller contextSize or parallel, a smaller kvCacheType such as q8_0, or a smaller model.',
  );
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
