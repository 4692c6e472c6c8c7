// A request's body: valid UTF-8, JSON, and not nested without end.

import { setImmediate } from 'node:timers/promises';
import { HttpError } from './http-error.js';

/** Deep enough for any JSON schema that the engine takes. */
const MOST_NESTED = 256;
/** Reading a million of them would hold up every other request. */
const MOST_VALUES = 2 ** 18;

/** Bytes from which a body is long: reading fewer takes a millisecond or two. */
const LONG_BODY = 2 ** 18;

/** The value of a body; while a long one is read others have their turn. Rejects with HttpError 400. */
export async function readJson(body: Uint8Array): Promise<unknown> {
  const isLong = body.length > LONG_BODY;
  const refuse = (why: string): never => {
    throw new HttpError('invalid_request_error', `The body ${why}`, { code: 'INVALID_ARGUMENT' });
  };
  if (body.length === 0) return refuse('is empty; send JSON');
  if (isLong) await setImmediate();
  const { nested, values } = shapeOf(body);
  if (nested > MOST_NESTED) return refuse(`is nested more than ${MOST_NESTED} deep`);
  if (values > MOST_VALUES) return refuse(`has more than ${MOST_VALUES} values`);
  let text: string;
  if (isLong) await setImmediate();
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return refuse('is no valid UTF-8');
  }
  if (isLong) await setImmediate();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return refuse(`is no JSON: ${(error as Error).message.slice(0, 200)}`);
  }
  if (isLong) await setImmediate();
  return value;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
/** '[' and '{', ']' and '}' differ in this bit alone. */
const CURLY = 0x20;
const OPENING = 0x7b;
const CLOSING = 0x7d;

/** Most brackets that are open at once, and about how many values there are; what is in strings is left out. */
function shapeOf(body: Uint8Array): { nested: number; values: number } {
  let depth = 0;
  let nested = 0;
  let values = 1;
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]!;
    if (byte === QUOTE) i = endOfString(body, i + 1);
    else if (byte === COMMA) values++;
    else if ((byte | CURLY) === OPENING) {
      values++;
      depth++;
      if (depth > nested) nested = depth;
    } else if ((byte | CURLY) === CLOSING) depth--;
  }
  return { nested, values };
}

/** Where the quote is that ends a string: one with an even number of backslashes in front. */
function endOfString(body: Uint8Array, start: number): number {
  for (let end = start; ; end++) {
    end = body.indexOf(QUOTE, end);
    if (end < 0) return body.length;
    let first = end;
    while (first > start && body[first - 1] === BACKSLASH) first--;
    if ((end - first) % 2 === 0) return end;
  }
}
