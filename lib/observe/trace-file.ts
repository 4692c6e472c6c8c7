// Reads trace files back, checking every line. What writes them is in trace-writer.ts.

import { createReadStream } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip } from 'node:zlib';
import { AdaptiveSpecError } from '../errors.js';
import { type CheckedLine, checkLine } from './trace-check.js';
import type { TraceEnd, TraceGeneration, TraceHeader, TracePosition, TraceStep } from './trace-format.js';

/** Longest line taken, in characters: a prompt of a million tokens fits. */
const LONGEST_LINE = 2 ** 26;

/** One generation of a trace. */
export interface RecordedGeneration {
  info: TraceGeneration['generation'];
  /** With mode 'exhaustive'; otherwise empty. */
  positions: TracePosition[];
  /** With mode 'steps'; otherwise empty. */
  steps: TraceStep[];
  /** Missing where the recording stopped before the generation's end. */
  end?: TraceEnd['end'];
}

export interface Trace {
  header: TraceHeader;
  generations: RecordedGeneration[];
  /** Whether the file ends in the middle of a line or of its compression, as after a crash. */
  torn: boolean;
}

/** Reads a whole trace. Throws what `readGenerations` throws. */
export async function readTrace(path: string): Promise<Trace> {
  const reader = new TraceReader(path);
  const generations: RecordedGeneration[] = [];
  for await (const generation of reader.generations()) generations.push(generation);
  return { header: reader.header, generations, torn: reader.torn };
}

/**
 * Reads a trace generation by generation, so that a long one needn't fit in memory. `header` is there once the first
 * generation is, or the end. A torn end is not an error: the last generation lacks its `end` then.
 * Throws TRACE_FAILED where the file can't be read, TRACE_INVALID where it isn't a trace of this version, where a line
 * is damaged, or where lines contradict each other.
 */
export class TraceReader {
  readonly path: string;
  #header: TraceHeader | undefined;
  #torn = false;

  constructor(path: string) {
    this.path = path;
  }

  get header(): TraceHeader {
    if (this.#header === undefined) throw this.#invalid(1, 'nothing was read yet');
    return this.#header;
  }

  get torn(): boolean {
    return this.#torn;
  }

  async *generations(): AsyncGenerator<RecordedGeneration, void, undefined> {
    let current: RecordedGeneration | undefined;
    let number = 0;
    for await (const { text, complete } of this.#lines()) {
      number++;
      const entry = this.#parse(text, complete, number);
      if (entry === undefined) break;
      if (number === 1 || entry.type === 'header') {
        this.#takeHeader(entry, number);
        continue;
      }
      if (entry.type === 'generation') {
        if (current !== undefined) yield current;
        current = { info: entry.line.generation, positions: [], steps: [] };
        continue;
      }
      if (current === undefined || current.end !== undefined) {
        throw this.#invalid(number, 'it belongs to no generation');
      }
      const fault = this.#add(current, entry);
      if (fault !== undefined) throw this.#invalid(number, fault);
    }
    if (this.#header === undefined)
      throw this.#invalid(1, 'there is no header: the file is empty or cut short');
    if (current !== undefined) yield current;
  }

  /** Undefined for a last line that is torn. */
  #parse(text: string, complete: boolean, number: number): CheckedLine | undefined {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      if (complete) throw this.#invalid(number, 'it is no JSON');
      this.#torn = true;
      return undefined;
    }
    const entry = checkLine(value);
    if (typeof entry === 'string') throw this.#invalid(number, this.#versionFault(value, number) ?? entry);
    return entry;
  }

  #versionFault(value: unknown, number: number): string | undefined {
    if (number !== 1 || typeof value !== 'object' || value === null) return undefined;
    const { format, version } = value as Partial<TraceHeader>;
    if (format !== 'adaptive-spec-trace') return 'this is no trace file';
    return version === 1
      ? undefined
      : `its version is ${String(version).slice(0, 20)}, and this program reads 1`;
  }

  #takeHeader(entry: CheckedLine, number: number): void {
    if (entry.type !== 'header') throw this.#invalid(number, 'this is no trace file');
    if (number !== 1) throw this.#invalid(number, 'a second header');
    this.#header = entry.line;
  }

  /** Adds a line to its generation, or says why it doesn't fit. */
  #add(generation: RecordedGeneration, entry: CheckedLine): string | undefined {
    const { mode, maxDepth } = this.header;
    if (entry.type === 'end') return addEnd(generation, entry.line, mode);
    if (entry.type === 'position') {
      if (mode !== 'exhaustive') return "an output position in a trace of mode 'steps'";
      return addPosition(generation, entry.line, maxDepth);
    }
    if (entry.type === 'step') {
      if (mode !== 'steps') return "a step in a trace of mode 'exhaustive'";
      if (entry.line.drafted > maxDepth) return "its draft is longer than the header's maxDepth";
      if (entry.line.step !== generation.steps.length) return 'a step is missing before it';
      generation.steps.push(entry.line);
      return undefined;
    }
    return 'it does not belong here';
  }

  async *#lines(): AsyncGenerator<{ text: string; complete: boolean }, void, undefined> {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    for await (const chunk of this.#bytes()) {
      rest += decoder.write(chunk);
      let start = 0;
      for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', start)) {
        yield { text: rest.slice(start, end), complete: true };
        start = end + 1;
      }
      rest = rest.slice(start);
      if (rest.length > LONGEST_LINE) {
        throw new AdaptiveSpecError(
          'TRACE_INVALID',
          `The trace ${JSON.stringify(this.path)} has a line of more than ${LONGEST_LINE} characters`,
          'Is it a trace file? Record it again.',
        );
      }
    }
    rest += decoder.end();
    if (rest !== '') yield { text: rest, complete: false };
  }

  async *#bytes(): AsyncGenerator<Buffer, void, undefined> {
    const file = createReadStream(this.path);
    if (!this.path.endsWith('.gz')) {
      yield* this.#guarded(file);
      return;
    }
    const gunzip = createGunzip();
    file.on('error', (error) => gunzip.destroy(error));
    try {
      yield* this.#guarded(file.pipe(gunzip));
    } finally {
      file.destroy();
    }
  }

  async *#guarded(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    try {
      yield* stream;
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
      // zlib's word for an end that comes too early.
      if (code === 'Z_BUF_ERROR') {
        this.#torn = true;
        return;
      }
      if (code.startsWith('Z_')) {
        throw new AdaptiveSpecError(
          'TRACE_INVALID',
          `The trace ${JSON.stringify(this.path)} is not gzipped, or damaged (${code})`,
          'Name it without .gz where it is plain text; otherwise record it again.',
          { cause },
        );
      }
      throw new AdaptiveSpecError(
        'TRACE_FAILED',
        `The trace ${JSON.stringify(this.path)} can't be read (${code || 'unknown error'})`,
        'Give the path of a trace file that was written.',
        { cause },
      );
    }
  }

  #invalid(line: number, what: string): AdaptiveSpecError {
    return new AdaptiveSpecError(
      'TRACE_INVALID',
      `Line ${line} of the trace ${JSON.stringify(this.path)}: ${what}`,
      'Record it again with this version: adaptive-spec trace.',
    );
  }
}

function addPosition(
  { info, positions }: RecordedGeneration,
  position: TracePosition,
  maxDepth: number,
): string | undefined {
  if (position.i !== positions.length) return `an output position is missing before position ${position.i}`;
  if (position.i >= info.maxTokens) return 'there are more output positions than maxTokens';
  if (position.draft.length > maxDepth) return "its draft is longer than the header's maxDepth";
  positions.push(position);
  return undefined;
}

function addEnd(
  generation: RecordedGeneration,
  { end }: TraceEnd,
  mode: TraceHeader['mode'],
): string | undefined {
  const { positions, steps } = generation;
  const tokens =
    mode === 'exhaustive' ? positions.length : steps.reduce((n, step) => n + step.tokens.length, 0);
  if (tokens !== end.tokens) return `the generation has ${end.tokens} tokens, and ${tokens} are recorded`;
  const wrong = positions.find((position) => !isRight(position, positions));
  if (wrong) return `position ${wrong.i} has ${wrong.right} right, which is not what the tokens say`;
  generation.end = end;
  return undefined;
}

/** Whether `right` counts just the draft tokens that came to be; what lies beyond the end, nobody knows. */
function isRight({ i, draft, right }: TracePosition, positions: readonly TracePosition[]): boolean {
  for (let j = 0; j < right; j++) if (draft[j] !== positions[i + j]?.token) return false;
  const next = positions[i + right];
  return right === draft.length || next === undefined || draft[right] !== next.token;
}
