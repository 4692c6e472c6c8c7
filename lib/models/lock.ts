// One process at a time: a lock file that names its holder, so that a dead one's lock is taken over.

import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for the lock file at `path`, runs, and removes it. Rejects with the signal's reason while it waits. */
export async function withLock<T>(
  path: string,
  run: () => Promise<T>,
  signal?: AbortSignal | undefined,
): Promise<T> {
  while (!take(path)) {
    if (holderIsGone(path)) rmSync(path, { force: true });
    else await sleep(200, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }
  try {
    return await run();
  } finally {
    rmSync(path, { force: true });
  }
}

function take(path: string): boolean {
  try {
    const file = openSync(path, 'wx');
    writeSync(file, String(process.pid));
    closeSync(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function holderIsGone(path: string): boolean {
  try {
    const pid = Number(readFileSync(path, 'utf8'));
    // Empty: its holder is between making and writing it.
    if (!Number.isInteger(pid) || pid <= 0) return false;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
