// One process at a time: a lock file that its holder touches now and then, so that a dead one's lock is taken over.

import { closeSync, openSync, readFileSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 200;
const TOUCH_MS = 2000;

/**
 * Waits for the lock file at `path`, runs, and removes it. Rejects with the signal's reason while it waits.
 * A lock that nobody touches for `leftOverMs` belongs to nobody.
 */
export async function withLock<T>(
  path: string,
  run: () => Promise<T>,
  signal?: AbortSignal | undefined,
  leftOverMs = 15_000,
): Promise<T> {
  let touched = 0;
  let since = performance.now();
  while (!take(path)) {
    const now = touchedAt(path);
    if (now !== touched) since = performance.now();
    touched = now;
    if (holderIsGone(path) || performance.now() - since > leftOverMs) rmSync(path, { force: true });
    else await sleep(POLL_MS, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }
  const timer = setInterval(() => touch(path), TOUCH_MS);
  try {
    return await run();
  } finally {
    clearInterval(timer);
    rmSync(path, { force: true });
  }
}

function take(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  try {
    writeSync(file, holder(process.pid));
    return true;
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

/** Process ids mean something on their own machine, or in their own container, only. */
function holder(pid: number): string {
  return `${pid} ${hostname()}`;
}

function holderIsGone(path: string): boolean {
  try {
    const text = readFileSync(path, 'utf8');
    const pid = Number.parseInt(text, 10);
    if (!(pid > 0) || text !== holder(pid)) return false;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

function touchedAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function touch(path: string): void {
  try {
    utimesSync(path, new Date(), new Date());
  } catch {
    // Removed by hand: whoever waits goes on, and the run's own end is no worse for it.
  }
}
