// What a cost table holds for: everything that changes what a step costs.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import type { CheckedEngineOptions } from '../options.js';
import { threadLimit } from '../options.js';

/** Values are compared as they are; a table is found where all are equal. */
export interface CacheFacts {
  /** `modelFingerprint` of target and draft; '' without a draft. */
  model: string;
  draft: string;
  quantization: string;
  threads: number;
  draftThreads: number;
  /** CPU model, a hash of its instruction sets, and how many of it this process may use. */
  cpu: string;
  cpuFlags: string;
  cpus: number;
  /** `fileStamp` of the native addon. */
  addon: string;
  kernels: string;
  numa: CheckedEngineOptions['numa'];
  flashAttention: CheckedEngineOptions['flashAttention'];
  kvCacheType: CheckedEngineOptions['kvCacheType'];
  mmap: boolean;
}

/** 32 hex digits, the same for the same facts in any order. */
export function cacheKey(facts: CacheFacts): string {
  const sorted = Object.entries(facts).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 32);
}

/** The part of the facts that is the machine's. */
export function machineFacts(): Pick<CacheFacts, 'cpu' | 'cpuFlags' | 'cpus'> {
  let flags = '';
  try {
    flags = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.trim() ?? '';
  } catch {
    // No /proc: the CPU's name has to do.
  }
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cpuFlags: createHash('sha256').update(flags).digest('hex').slice(0, 16),
    cpus: threadLimit(),
  };
}
