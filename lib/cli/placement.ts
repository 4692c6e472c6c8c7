// What `doctor` says of threads, affinity, OpenMP, NUMA and locked memory: where the work and the weights will be.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import { type EngineOptions, threadLimit } from '../options.js';
import { size } from './console.js';

/** What this machine and this process have. */
export interface PlacementFacts {
  /** CPUs of the machine, and those that this process may use. */
  cpus: number;
  usable: number;
  /** The usable ones as Linux lists them, such as '0-3,8'; '' where that isn't known. */
  affinity: string;
  numaNodes: number;
  /** Bytes that this process may lock; infinite where there is no limit. */
  lockable: number;
  /** Names of variables that speak to OpenMP. */
  openmp: readonly string[];
}

export function placementFacts(env = process.env): PlacementFacts {
  return {
    cpus: cpus().length,
    usable: threadLimit(),
    affinity: /^Cpus_allowed_list:\s*(\S+)/m.exec(textOf('/proc/self/status'))?.[1] ?? '',
    numaNodes: Math.max(
      1,
      entriesOf('/sys/devices/system/node').filter((name) => /^node\d+$/.test(name)).length,
    ),
    lockable: limitOf(/^Max locked memory\s+(\S+)/m.exec(textOf('/proc/self/limits'))?.[1]),
    openmp: Object.keys(env)
      .filter((name) => /^(OMP|GOMP|KMP)_/.test(name))
      .sort(),
  };
}

/** What holds, and what to do about it where it could be better. `modelBytes` is what `mlock` would lock at least. */
export function placement(
  { threads, numa = 'none', mlock = false }: Pick<EngineOptions, 'threads' | 'numa' | 'mlock'>,
  facts: PlacementFacts,
  modelBytes: number,
): { detail: string; hints: string[] } {
  const used = Math.min(threads ?? facts.usable, facts.usable);
  const nodes = facts.numaNodes === 1 ? 'one NUMA node' : `${facts.numaNodes} NUMA nodes, numa ${numa}`;
  const where = facts.affinity === '' ? '' : ` (affinity ${facts.affinity})`;
  const detail =
    `${used} threads on ${facts.usable} of ${facts.cpus} CPUs${where}, in one pool of our own for both models: no ` +
    `OpenMP; ${nodes}${mlock ? `; ${size(modelBytes)} to lock` : ''}`;
  const hints: string[] = [];
  if (threads !== undefined && threads > facts.usable) {
    hints.push(
      `--threads ${threads} is cut to ${facts.usable}: change the affinity (taskset, cpuset) to use more.`,
    );
  }
  if (facts.openmp.length > 0) {
    hints.push(
      `${facts.openmp.join(', ')} ${facts.openmp.length > 1 ? 'have' : 'has'} no effect here: use --threads.`,
    );
  }
  if (facts.numaNodes > 1 && numa === 'none') {
    hints.push('Weights may lie on one node: try --numa interleave.');
  }
  if (mlock && facts.lockable < modelBytes) {
    hints.push(
      `Only ${size(facts.lockable)} may be locked: ulimit -l unlimited, or LimitMEMLOCK=infinity in a systemd unit.`,
    );
  }
  return { detail, hints };
}

/** Bytes of a file; 0 where it isn't there yet. */
export function bytesOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function limitOf(word: string | undefined): number {
  return word === undefined || word === 'unlimited' ? Number.POSITIVE_INFINITY : Number(word);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // Not Linux, or a sandbox without /proc.
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
