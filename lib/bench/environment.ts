// What a report must say of where it was made: the machine, the versions, and the models by their hashes.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, realpathSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { basename } from 'node:path';
import { type NativeBinding, packageRoot } from '../binding.js';

/** Machine, versions and models. `files` are the paths of the models; only their names are told. */
export function environment(binding: NativeBinding, files: readonly string[]): Record<string, unknown> {
  const flags = /^flags\s*:(.*)$/m.exec(readText('/proc/cpuinfo'))?.[1] ?? '';
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    threads: availableParallelism(),
    features: flags
      .split(' ')
      .filter((flag) => /^(avx2|avx512f|avx512_vnni|avx512_bf16|avx_vnni|amx_int8)$/.test(flag)),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    version: JSON.parse(readFileSync(`${packageRoot}/package.json`, 'utf8')).version,
    commit: commit(),
    llamaTree: binding.llamaTree,
    addon: binding.variant,
    models: files.map((file) => ({ file: basename(file), sha256: sha256OfFile(file) })),
  };
}

/** Read in pieces: a model may be larger than a buffer can be. */
function sha256OfFile(path: string): string {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(2 ** 22);
  const file = openSync(path, 'r');
  try {
    for (let read = 1; read > 0; ) {
      read = readSync(file, piece);
      hash.update(piece.subarray(0, read));
    }
  } finally {
    closeSync(file);
  }
  return hash.digest('hex');
}

/** Of a checkout of this package; an installed one lies in a repository that is not ours, if in any. */
function commit(): string {
  if (git('rev-parse', '--show-toplevel') !== realpathSync(packageRoot)) return 'unknown';
  return git('rev-parse', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes');
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function git(...args: string[]): string {
  try {
    return execFileSync('git', args, {
      cwd: packageRoot,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}
