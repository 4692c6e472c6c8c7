// Tells a model file from others without reading all of it.

import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { GgufInfo } from '../models/gguf-check.js';

const PART = 2 ** 16;

/**
 * 32 hex digits of a hash over the size, all metadata and tensor shapes (`id`), and the first and the last 64 KB. Not
 * the whole file's: reading one of 20 GB takes longer than the calibration that it would save. Two files that differ
 * in the middle of their weights alone take the same time.
 */
export function modelFingerprint({ path, bytes, id }: Pick<GgufInfo, 'path' | 'bytes' | 'id'>): string {
  const hash = createHash('sha256').update(`${id} ${bytes}\0`);
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(PART);
    for (const position of [0, Math.max(0, bytes - PART)]) {
      // Of a split model, `bytes` covers all parts: beyond the first one's end nothing is read, and all are in `id`.
      hash.update(buffer.subarray(0, readSync(file, buffer, 0, PART, position)));
    }
  } finally {
    closeSync(file);
  }
  return hash.digest('hex').slice(0, 32);
}

/** Places all over a file that `weightsFingerprint` looks at. */
const SAMPLES = 256;
const SAMPLE = 4096;

/** The same, and 256 parts of 4 KB all over the (first) file: it tells a model from one that was trained on from it. */
export function weightsFingerprint(model: Pick<GgufInfo, 'path' | 'bytes' | 'id'>): string {
  const hash = createHash('sha256').update(modelFingerprint(model));
  const { size } = statSync(model.path);
  const file = openSync(model.path, 'r');
  try {
    const buffer = Buffer.alloc(SAMPLE);
    for (let i = 0; i < SAMPLES; i++) {
      const position = Math.floor((i / SAMPLES) * size);
      hash.update(buffer.subarray(0, readSync(file, buffer, 0, SAMPLE, position)));
    }
  } finally {
    closeSync(file);
  }
  return hash.digest('hex').slice(0, 32);
}

/** Tells a build of the addon from another by its size and time: reading ten megabytes at every load would cost more. */
export function fileStamp(path: string): string {
  const { size, mtimeMs } = statSync(path);
  return `${size} ${Math.round(mtimeMs)}`;
}
