// Texts to count tokens in: files and folders of plain text, and JSON lines with text or token ids.
import { createReadStream, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { AdaptiveSpecError } from '../errors.js';

/** A text, or token ids that some tool of the target's has made. */
export type CorpusPart = string | readonly number[];

/** Characters of a text that are handed on at once; a word that stands across two of these is seen as two. */
const PIECE = 8192;

/**
 * The parts of all files, folder by folder in the order of names. A .jsonl file has an object per line with `tokens`,
 * of which only those before `loop` count where it says where a repetition begins, or with `text`; every other file is
 * text, cut at ends of lines. Throws INVALID_ARGUMENT where there is no such file or a line is something else.
 */
export async function* corpusParts(paths: readonly string[]): AsyncGenerator<CorpusPart> {
  for (const path of paths) {
    try {
      if (statSync(path).isDirectory()) {
        const names = (await readdir(path)).sort();
        yield* corpusParts(names.map((name) => join(path, name)));
      } else yield* path.endsWith('.jsonl') ? linesOf(path) : piecesOf(path);
    } catch (cause) {
      if (cause instanceof AdaptiveSpecError) throw cause;
      throw invalid(`${path} can't be read (${(cause as NodeJS.ErrnoException).code})`, cause);
    }
  }
}

async function* piecesOf(path: string): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of createReadStream(path, 'utf8')) {
    rest += chunk;
    while (rest.length >= PIECE) {
      const end = rest.lastIndexOf('\n', PIECE) + 1 || PIECE;
      yield rest.slice(0, end);
      rest = rest.slice(end);
    }
  }
  if (rest !== '') yield rest;
}

async function* linesOf(path: string): AsyncGenerator<CorpusPart> {
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(path, 'utf8') })) {
    number += 1;
    if (line.trim() === '') continue;
    const { tokens, text, loop } = objectOf(line) ?? {};
    if (Array.isArray(tokens) && tokens.every(Number.isSafeInteger))
      yield tokens.slice(0, typeof loop === 'number' ? loop : undefined);
    else if (typeof text === 'string')
      for (let at = 0; at < text.length; at += PIECE) yield text.slice(at, at + PIECE);
    else throw invalid(`${path}:${number} has neither 'tokens' (ids) nor 'text'`);
  }
}

function objectOf(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function invalid(why: string, cause?: unknown): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `The corpus: ${why}`,
    "Give text files, folders of them, or .jsonl files with 'tokens' or 'text' on each line.",
    { cause },
  );
}
