// How the scripts run other programs, say what they do, and end: on failure with a message, on Ctrl-C with 130.
import { execFileSync, spawn } from 'node:child_process';
import { realpathSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout's or package's folder. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Something that the user can mend. `message` says what is wrong, `next` is the command or advice that helps. */
export class StepFailure extends Error {
  constructor(message, next) {
    super(message);
    this.next = next;
  }
}

/** One line of progress on stderr, so that stdout stays for results. */
export function say(line) {
  process.stderr.write(`adaptive-spec: ${line}\n`);
}

// A git hook that calls us sets these for its own repository, and every git call below would obey them.
const {
  GIT_DIR: _dir,
  GIT_WORK_TREE: _tree,
  GIT_INDEX_FILE: _index,
  GIT_PREFIX: _prefix,
  ...ownEnvironment
} = process.env;

const running = new Set();
const leftovers = new Set();
let stopSignal = null;

/**
 * Runs a program in the foreground. `stdout` and `stderr` say where its output goes: 'inherit', 'ignore', or for
 * stdout 'stderr'. Resolves to its exit code; null where it could not be started or took longer than `timeout` ms.
 */
export function run(
  command,
  args,
  { cwd = root, env = {}, timeout, stdout = 'inherit', stderr = 'inherit' } = {},
) {
  return new Promise((done) => {
    const stdio = ['inherit', stdout === 'stderr' ? 2 : stdout, stderr];
    // In a group of its own, so that a signal reaches the compilers below it too, and each of them once.
    const child = spawn(command, args, { cwd, env: { ...ownEnvironment, ...env }, stdio, detached: true });
    const timer = timeout && setTimeout(() => signalGroup(child, 'SIGTERM'), timeout);
    running.add(child);
    const ended = (code) => {
      clearTimeout(timer);
      running.delete(child);
      if (stopSignal) exitFor(stopSignal);
      done(code);
    };
    child.on('error', () => ended(null));
    child.on('close', (code) => ended(code));
  });
}

/** A program's trimmed output, or null where it fails or is not there. For calls that take milliseconds. */
export function capture(command, args, { cwd = root, input = '' } = {}) {
  try {
    const stdio = ['pipe', 'pipe', 'ignore'];
    return execFileSync(command, args, { cwd, env: ownEnvironment, encoding: 'utf8', input, stdio }).trim();
  } catch {
    return null;
  }
}

/** Removes `folder` when the process ends, however it ends; returns `folder`. */
export function removeAtExit(folder) {
  leftovers.add(folder);
  return folder;
}

/** True where the module at `url` is what node was started with. */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url);
}

/**
 * Runs a script's body. A StepFailure becomes its message and the next command, exit 1; SIGINT, SIGTERM and
 * SIGHUP reach what is running, and the process ends after it, with 130, 143 or 129. A second signal does not wait.
 */
export async function main(body) {
  process.on('exit', () => {
    for (const folder of leftovers) rmSync(folder, { recursive: true, force: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (stopSignal || running.size === 0) exitFor(signal);
      stopSignal = signal;
      for (const child of running) signalGroup(child, signal);
    });
  }
  try {
    await body();
  } catch (error) {
    const next = nextAfter(error);
    if (!next) throw error;
    process.stderr.write(`\n${error.message}\n\nNext: ${next}\n`);
    process.exitCode = 1;
  }
}

/** What the user can do about an error; nothing for a fault of ours, whose stack is worth more. */
function nextAfter(error) {
  if (error instanceof StepFailure) return error.next;
  if (error.hint) return error.hint; // an AdaptiveSpecError
  if (error.syscall)
    return 'make that possible, and run again; ADAPTIVE_SPEC_CACHE names another cache folder';
}

function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It ended in this very moment.
  }
}

function exitFor(signal) {
  process.exit(128 + constants.signals[signal]);
}
