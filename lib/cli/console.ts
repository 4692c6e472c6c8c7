// How commands speak: results on stdout, all else on stderr, and the exit codes of errors and signals.

import { writeSync } from 'node:fs';
import pc from 'picocolors';
import { AdaptiveSpecError } from '../errors.js';

/** Colours for a stream: on a terminal, or where FORCE_COLOR asks for them; never against NO_COLOR. */
export function coloursFor(
  stream: NodeJS.WriteStream,
  env = process.env,
): ReturnType<typeof pc.createColors> {
  // Not picocolors' own answer, which colours files and pipes too wherever CI is set.
  const terminal = stream.isTTY === true && env.TERM !== 'dumb';
  return pc.createColors(!env.NO_COLOR && (Boolean(env.FORCE_COLOR) || terminal));
}

/** Wrong usage is the caller's to mend; everything else may be the machine's. */
export function exitCodeOf(error: unknown): number {
  return error instanceof AdaptiveSpecError && error.code === 'INVALID_ARGUMENT' ? 2 : 1;
}

/** Prints `CODE: message` and the hint; a fault of ours shows its stack, which is worth more than a word. */
export function reportError(error: unknown): void {
  const { red } = coloursFor(process.stderr);
  if (error instanceof AdaptiveSpecError) {
    note(`${red(error.code)}: ${error.message}`);
    note(error.hint);
  } else {
    note(
      `${red('NATIVE_FAILURE')}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    note('This is a defect of adaptive-spec: please report it with the lines above.');
  }
}

let writeNote = toStderr;

/** One line on stderr; while text streams to the same terminal, between two lines of it. */
export function note(line: string): void {
  writeNote(line);
}

/** Gives notes to who writes to the terminal meanwhile. Answers how that ends. */
export function divertNotes(write: (line: string) => void): () => void {
  writeNote = write;
  return () => {
    if (writeNote === write) writeNote = toStderr;
  };
}

function toStderr(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** One line on stdout. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Ends quietly when the reader of our output has gone, as `head` does, and with a word where it can't be written. */
export function endWithClosedPipe(): void {
  const end = (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    // Not through the stream, which may be the one that fails.
    tryWrite(2, `The output can't be written: ${error.message}\n`);
    process.exit(1);
  };
  for (const stream of [process.stdout, process.stderr]) stream.on('error', end);
}

function tryWrite(file: number, text: string): void {
  try {
    writeSync(file, text);
  } catch {
    // Nobody can be told.
  }
}

/** Bytes as people read them. */
export function size(bytes: number): string {
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  return `${(bytes / 2 ** 20).toFixed(bytes < 100 * 2 ** 20 ? 1 : 0)} MiB`;
}
