// The audit log: one JSON line for every change of K, appended to a file.

import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { AdaptiveSpecError, type ErrorCode } from '../errors.js';

/** One change of K and why it came about. */
export interface KChange {
  from: number;
  to: number;
  /** Acceptance rate at the change, 0 to 1. */
  acceptance: number;
  /** Cut to 200 characters. */
  reason: string;
}

/** One line of the log; the keys are in this order. */
export interface AuditEntry {
  /** ISO 8601, UTC, milliseconds. */
  ts: string;
  session: 'adaptive_spec';
  level: 'INFO';
  cat: 'SPEC_ADJUST';
  /** 'K: a -> b' */
  msg: string;
  /** 'acceptance=0.00, reason=…' */
  details: string;
}

export interface AuditOptions {
  /** File to append to; missing folders are made. Default: the environment variable ADAPTIVE_SPEC_AUDIT. */
  path?: string | undefined;
  /** What a line that can't be written does: 'drop' (default) counts it, 'fail' throws AUDIT_FAILED. */
  onError?: 'drop' | 'fail' | undefined;
  /** Told of the first loss under 'drop', once. What it throws is ignored. */
  onWarning?: ((warning: { code: ErrorCode; message: string }) => void) | undefined;
}

/**
 * Opens the log, or returns undefined where neither option nor environment names a file.
 * Throws INVALID_ARGUMENT for options that can't be meant, and AUDIT_FAILED under 'fail' where the file can't
 * be opened; under 'drop' such a log drops every line.
 */
export function openAuditLog(
  options: AuditOptions = {},
  environment: NodeJS.ProcessEnv = process.env,
): AuditLog | undefined {
  const { onError = 'drop', onWarning } = options;
  if (onError !== 'drop' && onError !== 'fail') {
    throw invalid("The audit log's onError is neither 'drop' nor 'fail'", "Give 'drop' or 'fail'.");
  }
  const path = options.path ?? (environment.ADAPTIVE_SPEC_AUDIT || undefined);
  if (path === undefined) return undefined;
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw invalid("The audit log's path is no file name", 'Give the path of a file, or leave it out.');
  }
  return new AuditLog(path, onError, onWarning);
}

/**
 * An open log; made by `openAuditLog`.
 *
 * Each line is one write(2) with O_APPEND, so several processes may share the file and a killed one leaves at most
 * a torn last line. Writes are synchronous: a line takes some ten microseconds, comes once in dozens of steps, and is
 * then safe from a kill -9, which a queue would not be. A stalled disk (NFS, say) stalls the controller with it;
 * the engine's deadline for plans covers that. A moved file is still written to until the log is opened anew.
 */
export class AuditLog {
  readonly path: string;
  readonly #onError: 'drop' | 'fail';
  readonly #onWarning: AuditOptions['onWarning'];
  #file: number | undefined;
  #endsInTornLine = false;
  #dropped = 0;
  #warned = false;

  /** @internal */
  constructor(path: string, onError: 'drop' | 'fail', onWarning: AuditOptions['onWarning']) {
    this.path = path;
    this.#onError = onError;
    this.#onWarning = onWarning;
    try {
      mkdirSync(dirname(path), { recursive: true });
      // O_NONBLOCK: a named pipe that nobody reads is an error then, rather than a wait for ever.
      const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = constants;
      this.#file = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o666);
      this.#endsInTornLine = endsInTornLine(this.#file, path);
    } catch (error) {
      this.#fail(`can't be opened (${reasonOf(error)})`, error);
    }
  }

  /** Lines lost so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Appends one line. Under 'fail', throws AUDIT_FAILED where it can't. */
  kChanged({ from, to, acceptance, reason }: KChange): void {
    const entry: AuditEntry = {
      ts: new Date().toISOString(),
      session: 'adaptive_spec',
      level: 'INFO',
      cat: 'SPEC_ADJUST',
      msg: `K: ${from} -> ${to}`,
      details: `acceptance=${acceptance.toFixed(2)}, reason=${reason.slice(0, 200)}`,
    };
    if (this.#file === undefined) {
      this.#dropped++;
      this.#fail("isn't open");
      return;
    }
    // The newline that a torn line lacks goes out in the same write, or another process could come between.
    const line = Buffer.from(`${this.#endsInTornLine ? '\n' : ''}${JSON.stringify(entry)}\n`);
    try {
      const written = writeSync(this.#file, line);
      if (written === line.length) {
        this.#endsInTornLine = false;
        return;
      }
      this.#endsInTornLine ||= written > 0;
      throw new Error('the disk took only a part of a line');
    } catch (error) {
      this.#dropped++;
      this.#fail(`can't be written (${reasonOf(error)})`, error);
    }
  }

  /** Closes the file; later lines count as lost. May be called again. Under 'fail', throws AUDIT_FAILED. */
  close(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    try {
      closeSync(file);
    } catch (error) {
      this.#fail(`can't be closed (${reasonOf(error)})`, error);
    }
  }

  #fail(what: string, cause?: unknown): void {
    const message = `The audit log ${JSON.stringify(this.path)} ${what}`;
    if (this.#onError === 'fail') {
      throw new AdaptiveSpecError(
        'AUDIT_FAILED',
        message,
        "Make its path a file that can be written, on a disk with space, or choose onError: 'drop'.",
        { cause },
      );
    }
    if (this.#warned) return;
    this.#warned = true;
    try {
      this.#onWarning?.({
        code: 'AUDIT_FAILED',
        message: `${message}; lines that can't be written are dropped`,
      });
    } catch {
      // A listener's own trouble is no reason to stop a generation either.
    }
  }
}

/**
 * Reads a log back. `torn` counts lines that a crash or a full disk cut short.
 * Throws AUDIT_FAILED where the file can't be read.
 */
export function readAuditLog(path: string): { entries: AuditEntry[]; torn: number } {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AdaptiveSpecError(
      'AUDIT_FAILED',
      `The audit log ${JSON.stringify(path)} can't be read (${reasonOf(cause)})`,
      'Give the path of a log that was written.',
      { cause },
    );
  }
  const entries: AuditEntry[] = [];
  let torn = 0;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    try {
      entries.push(JSON.parse(line));
    } catch {
      torn++;
    }
  }
  return { entries, torn };
}

/** Whether a crash left the file without its last newline. Only a regular file has a past to look at. */
function endsInTornLine(file: number, path: string): boolean {
  const status = fstatSync(file);
  if (!status.isFile() || status.size === 0) return false;
  let reader: number | undefined;
  try {
    // Opened again, because a log may be a file that its writer is not allowed to read.
    reader = openSync(path, constants.O_RDONLY);
    const last = Buffer.alloc(1);
    readSync(reader, last, 0, 1, status.size - 1);
    return last[0] !== 0x0a;
  } catch {
    return true; // An empty line does less harm than a line glued to a torn one.
  } finally {
    if (reader !== undefined) closeSync(reader);
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

function invalid(message: string, hint: string): AdaptiveSpecError {
  return new AdaptiveSpecError('INVALID_ARGUMENT', message, hint);
}
