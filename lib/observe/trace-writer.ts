// Writes a trace file as it comes about: JSON lines, gzipped where the file's name ends in .gz.

import { createWriteStream, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { constants, createGzip, type Gzip } from 'node:zlib';
import { AdaptiveSpecError } from '../errors.js';
import { shortestFloat32 } from './float32.js';
import { checkLine } from './trace-check.js';
import type { TraceHeader, TraceLine } from './trace-format.js';

/** Characters collected before they go to the file or the compressor. */
const CHUNK = 64 * 1024;
const SIGNALS = new Set(['p', 'm', 'h']);

/**
 * A trace file being written. `write` takes lines in the order of trace-format.ts and never waits; `flush` waits until
 * all of them are in the file, which bounds memory: call it after each generation. A file that couldn't be written
 * makes every later call throw TRACE_FAILED.
 */
export class TraceWriter {
  readonly path: string;
  readonly #sink: Writable;
  readonly #gzip: Gzip | undefined;
  readonly #done: Promise<void>;
  #failure: AdaptiveSpecError | undefined;
  #pending = '';
  #closed = false;

  /** Makes the file, over one that is there, and its folders. Throws TRACE_FAILED where it can't. */
  constructor(path: string, header: TraceHeader) {
    this.path = path;
    let fd: number;
    try {
      mkdirSync(dirname(path), { recursive: true });
      fd = openSync(path, 'w');
    } catch (cause) {
      throw this.#failed("can't be opened", cause);
    }
    const file = createWriteStream(path, { fd });
    this.#gzip = path.endsWith('.gz') ? createGzip({ level: 6 }) : undefined;
    this.#sink = this.#gzip ?? file;
    const done = this.#gzip ? pipeline(this.#gzip, file) : finished(file);
    this.#done = done.catch((cause) => {
      this.#failure = this.#failed("can't be written", cause);
    });
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
    const gzip = this.#gzip;
    const written = new Promise<void>((resolve) => {
      if (gzip) gzip.flush(constants.Z_SYNC_FLUSH, () => resolve());
      else this.#sink.write('', () => resolve());
    });
    await Promise.race([written, this.#done]);
    this.#mustBeUsable();
  }

  /** Writes what is left and closes the file. May be called again. Throws TRACE_FAILED where something was lost. */
  async close(): Promise<void> {
    if (!this.#closed) {
      if (this.#failure === undefined) this.#pass();
      this.#closed = true;
      this.#sink.end();
    }
    await this.#done;
    if (this.#failure !== undefined) throw this.#failure;
  }

  #pass(): void {
    if (this.#pending === '') return;
    this.#sink.write(this.#pending);
    this.#pending = '';
  }

  #mustBeUsable(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closed) throw this.#failed('is closed', undefined);
  }

  #failed(what: string, cause: unknown): AdaptiveSpecError {
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
function shortSignals(this: unknown, key: string, value: unknown): unknown {
  return SIGNALS.has(key) && Array.isArray(value) ? value.map(shortestFloat32) : value;
}
