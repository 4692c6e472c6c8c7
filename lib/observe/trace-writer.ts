// Writes a trace file as it comes about: JSON lines, gzipped where the file's name ends in .gz.

import { close, mkdirSync, openSync, write } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { AdaptiveSpecError } from '../errors.js';
import { shortestFloat32 } from './float32.js';
import { checkLine } from './trace-check.js';
import type { TraceHeader, TraceLine } from './trace-format.js';

const compress = promisify(gzip);
const writeBytes = promisify(write);
const closeFile = promisify(close);

/** Characters collected before they are compressed, off this thread, and written. */
const CHUNK = 256 * 1024;
const SIGNALS = new Set(['p', 'm', 'h', 'x']);

/**
 * A trace file being written. `write` takes lines in the order of trace-format.ts and never waits; `flush` waits until
 * all of them are in the file, which bounds memory: call it after each generation. A file that couldn't be written
 * makes every later call throw TRACE_FAILED. Each chunk is a gzip member of its own, so that a crash costs one chunk.
 */
export class TraceWriter {
  readonly path: string;
  readonly #file: number;
  readonly #gzipped: boolean;
  /** Ends when everything passed on so far is in the file, or couldn't be; never rejects. */
  #queue: Promise<void> = Promise.resolve();
  #failure: AdaptiveSpecError | undefined;
  #pending = '';
  #closed = false;

  /** Makes the file, over one that is there, and its folders. Throws TRACE_FAILED where it can't. */
  constructor(path: string, header: TraceHeader) {
    this.path = path;
    this.#gzipped = path.endsWith('.gz');
    try {
      mkdirSync(dirname(path), { recursive: true });
      this.#file = openSync(path, 'w');
    } catch (cause) {
      throw this.#failed("can't be opened", cause);
    }
    this.write(header);
  }

  /**
   * Adds a line; probabilities, margins and entropies in the fewest digits that give back the same float32.
   * Throws TRACE_INVALID for a line that no reader would take, TRACE_FAILED where the file is closed or broken.
   */
  write(line: TraceLine): void {
    this.#mustBeUsable();
    const fault = checkLine(line);
    if (typeof fault === 'string') {
      throw new AdaptiveSpecError(
        'TRACE_INVALID',
        `A line for the trace ${JSON.stringify(this.path)} is wrong: ${fault}`,
        'Record with an engine of this version.',
      );
    }
    this.#pending += `${JSON.stringify(line, shortSignals)}\n`;
    if (this.#pending.length >= CHUNK) this.#pass();
  }

  /** Waits until all lines so far are in the file. Throws TRACE_FAILED where they can't be. */
  async flush(): Promise<void> {
    this.#mustBeUsable();
    this.#pass();
    await this.#queue;
    this.#mustBeUsable();
  }

  /** Writes what is left and closes the file. May be called again. Throws TRACE_FAILED where something was lost. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#pass();
      this.#closed = true;
      this.#enqueue(() => closeFile(this.#file), "can't be closed", true);
    }
    await this.#queue;
    if (this.#failure !== undefined) throw this.#failure;
  }

  #pass(): void {
    const text = this.#pending;
    this.#pending = '';
    if (text === '') return;
    this.#enqueue(async () => {
      const bytes = this.#gzipped ? await compress(text) : Buffer.from(text);
      for (let done = 0; done < bytes.length; ) {
        done += (await writeBytes(this.#file, bytes, done, bytes.length - done)).bytesWritten;
      }
    }, "can't be written");
  }

  /** Does something after all before it; after a failure only where it has to be done all the same. */
  #enqueue(job: () => Promise<void>, fault: string, always = false): void {
    this.#queue = this.#queue.then(async () => {
      if (this.#failure !== undefined && !always) return;
      try {
        await job();
      } catch (cause) {
        this.#failure ??= this.#failed(fault, cause);
      }
    });
  }

  #mustBeUsable(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closed) throw this.#failed('is closed');
  }

  #failed(what: string, cause?: unknown): AdaptiveSpecError {
    const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
    return new AdaptiveSpecError(
      'TRACE_FAILED',
      `The trace file ${JSON.stringify(this.path)} ${what}${code}`,
      'Give the path of a file that can be written, on a disk with space.',
      { cause },
    );
  }
}

/** For JSON.stringify: the lists of signals, shortened. */
function shortSignals(key: string, value: unknown): unknown {
  return SIGNALS.has(key) && Array.isArray(value) ? value.map(shortestFloat32) : value;
}
