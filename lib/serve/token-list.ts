// The answer of `/tokenize`, written in pieces: a list of a million tokens takes longer to word than others should wait.

import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { ServedEngine } from './served-engine.js';

/** Tokens that are worded at once, and with what they stand for. */
const AT_ONCE = 4096;
const PIECES_AT_ONCE = 512;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `{"tokens": […]}` as JSON: ids, or with `pieces` ids and what each stands for. */
export function tokenList(engine: ServedEngine, tokens: Int32Array, pieces: boolean): Readable {
  const word = pieces ? (some: Int32Array) => withPieces(engine, some) : (some: Int32Array) => some.join(',');
  return Readable.from(written(tokens, word, pieces ? PIECES_AT_ONCE : AT_ONCE));
}

async function* written(tokens: Int32Array, word: (some: Int32Array) => string, atOnce: number) {
  yield '{"tokens":[';
  for (let at = 0; at < tokens.length; at += atOnce) {
    yield (at === 0 ? '' : ',') + word(tokens.subarray(at, at + atOnce));
    await setImmediate();
  }
  yield ']}';
}

function withPieces(engine: ServedEngine, tokens: Int32Array): string {
  const pieces = engine.pieces(tokens);
  const list = Array.from(tokens, (id, i) => JSON.stringify({ id, piece: pieceOf(pieces[i]!) }));
  return list.join(',');
}

/** A token as text, and as bytes where it is no whole characters, as llama-server has it. */
function pieceOf(bytes: Uint8Array): string | number[] {
  try {
    return decoder.decode(bytes);
  } catch {
    return [...bytes];
  }
}
