// A request's body: valid UTF-8, JSON, and not nested without end.

import { HttpError } from './http-error.js';

/** Deep enough for any JSON schema that the engine takes. */
const MOST_NESTED = 256;

/** The value of a body. Throws HttpError 400. */
export function readJson(body: Uint8Array): unknown {
  const refuse = (why: string): never => {
    throw new HttpError('invalid_request_error', `The body ${why}`, { code: 'INVALID_ARGUMENT' });
  };
  if (body.length === 0) return refuse('is empty; send JSON');
  if (nestingOf(body) > MOST_NESTED) return refuse(`is nested more than ${MOST_NESTED} deep`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return refuse('is no valid UTF-8');
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    return refuse(`is no JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/** Most brackets that are open at once, those in strings left out. */
function nestingOf(body: Uint8Array): number {
  let depth = 0;
  let most = 0;
  let quoted = false;
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]!;
    if (quoted) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) quoted = false;
    } else if (byte === QUOTE) quoted = true;
    else if (OPENING.has(byte)) most = Math.max(most, ++depth);
    else if (CLOSING.has(byte)) depth--;
  }
  return most;
}
