// Starts fixtures as processes of their own, and judges how they end.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

const fixtures = fileURLToPath(new URL('fixtures', import.meta.url));

/** How a process ended. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** When it ended, in milliseconds since 1970. */
  at: number;
}

/** Fixtures import the compiled package: without it every test would fail for a reason of its own. */
export function mustBeCompiled(): void {
  if (!existsSync(resolve('dist/index.js'))) throw new Error('dist/index.js is missing: run npx tsc first');
}

/**
 * Runs a fixture to its end with one argument, as JSON, and `env` on top of this process's environment. One that hangs is
 * killed and so ends with SIGKILL.
 */
export async function runFixture(
  name: string,
  argument: object,
  flags: string[] = [],
  env: Record<string, string> = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [...flags, join(fixtures, name), JSON.stringify(argument)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    timeout: 100_000, // before the test itself is given up, so that how it ended can be told
    killSignal: 'SIGKILL',
  });
  let at = 0;
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  child.on('exit', () => {
    at = Date.now();
  });
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => done({ code, signal, stdout, stderr, at }));
  });
}

/** No word in stderr of a kind that only a dying process says. */
export function expectNoLastWords(stderr: string, what: string): void {
  expect(stderr, what).not.toMatch(
    /FATAL ERROR|terminate called|GGML_ASSERT|pure virtual|Segmentation fault/,
  );
}
