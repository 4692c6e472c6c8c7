// What a report must say of where it was made, and whether that place was quiet.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { basename } from 'node:path';

/** Waits up to a minute until hardly anything else runs; answers the load average (1 minute) then. */
export async function waitForQuiet(limit = 0.5) {
  for (let second = 0; second < 60 && loadavg()[0] > limit; second++)
    await new Promise((done) => setTimeout(done, 1000));
  return loadavg()[0];
}

/** Machine, versions and models. `binding` is the addon's, `files` are the models. */
export function environment(binding, files) {
  const flags = /^flags\s*:(.*)$/m.exec(readText('/proc/cpuinfo'))?.[1] ?? '';
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0].model.trim(),
    threads: availableParallelism(),
    features: flags
      .split(' ')
      .filter((flag) => /^(avx2|avx512f|avx512_vnni|avx512_bf16|avx_vnni|amx_int8)$/.test(flag)),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    commit: git('rev-parse', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes'),
    llamaTree: binding.llamaTree,
    addon: binding.variant,
    models: files.map((file) => ({
      file: basename(file),
      sha256: createHash('sha256').update(readFileSync(file)).digest('hex'),
    })),
  };
}

function readText(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function git(...args) {
  try {
    return execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}
