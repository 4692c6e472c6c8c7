// `--isolate`: the command runs in a child process, which is started again when it dies of what can't be caught.

import { type ChildProcess, spawn } from 'node:child_process';
import { note } from './console.js';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** Who has served this long has recovered: the next pause is the first again. */
const RECOVERED_MS = 60_000;

/** How long to wait after a crash, the `crashes`-th in a row, counted from 1. */
export function pauseMs(crashes: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (crashes - 1));
}

/**
 * Runs this command line without `--isolate` in a child, and answers the exit code to end with. A child that never
 * came to serve at its first start is not started again: the next one would fail likewise.
 */
export async function supervise(): Promise<number> {
  const args = process.argv.slice(1).filter((arg) => arg !== '--isolate');
  let child: ChildProcess | undefined;
  let ending: NodeJS.Signals | undefined;
  let wake = () => {};
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      ending ??= signal;
      // Not as a signal: a terminal's Ctrl-C, and systemd's SIGTERM, reach the child themselves too.
      if (child?.connected) child.send(signal, () => {});
      wake();
    });
  }
  let served = false;
  for (let crashes = 1; ; crashes++) {
    child = spawn(process.execPath, [...process.execArgv, ...args], {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    });
    let since: number | undefined;
    child.on('message', () => {
      served = true;
      since = performance.now();
    });
    const { code, signal } = await endOf(child);
    if (ending || code === 0) return code ?? 1;
    if (!served) return code ?? 1;
    if (since !== undefined && performance.now() - since > RECOVERED_MS) crashes = 1;
    const pause = pauseMs(crashes);
    note(`warning: the server has died (${signal ?? `exit code ${code}`}); it starts again in ${pause} ms`);
    await new Promise<void>((resolve) => {
      wake = resolve;
      setTimeout(resolve, pause);
    });
    if (ending) return 0;
  }
}

function endOf(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve) => {
    child.on('error', (error) => {
      note(`The server can't be started: ${error.message}`);
      resolve({ code: 1, signal: null });
    });
    // By then all that it has told is here; 'exit' may come before it.
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
}
