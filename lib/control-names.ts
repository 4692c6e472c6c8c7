// Keeps what others wrote from being read as control tokens: '<|im_start|>' in a message is text, not a turn.

import { AdaptiveSpecError } from './errors.js';
import type { CheckedRequest, Message } from './options.js';
import { pause, SLICE, tokensOf, type Wording, wholeCharacters } from './wording.js';

/** Messages that no control token can come from. */
export interface GuardedMessages {
  messages: NonNullable<CheckedRequest['messages']>;
  /** A character that stands within each name, and nowhere else. */
  mark: string;
}

/** Unicode's private use area, of which the mark is taken. */
const PRIVATE = { first: 0xe000, last: 0xf8ff };

/**
 * The names of a model's control tokens. The chat template puts messages and its own control tokens into one text, in
 * which a name within a message looks like any other: so it gets a mark before, and the text is cut up behind.
 */
export class ControlNames {
  readonly #pattern: RegExp | undefined;
  readonly #longest: number;

  constructor(names: readonly string[]) {
    // The longest first, as llama.cpp looks for them. A mark finds no place within a single character.
    const sorted = names.filter((name) => name.length > 1).sort((a, b) => b.length - a.length);
    const escaped = sorted.map((name) => name.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
    this.#longest = sorted[0]?.length ?? 0;
    if (escaped.length > 0) this.#pattern = new RegExp(escaped.join('|'), 'gu');
  }

  /** The messages with a mark in every name; undefined where there is none. Throws INVALID_ARGUMENT. */
  *guard(messages: readonly Message[]): Wording<GuardedMessages | undefined> {
    const texts = messages.flatMap(textsOf);
    const found = new Map<string, readonly Place[]>();
    for (const text of texts) {
      const places = yield* this.#find(text);
      if (places.length > 0) found.set(text, places);
    }
    if (found.size === 0) return undefined;
    const mark = unusedCharacter(texts);
    const broken = (text: string) => marked(text, found.get(text) ?? [], mark);
    return {
      mark,
      messages: messages.map(({ role, content, toolCalls, toolCallId, name }) => ({
        role: broken(role),
        content: broken(content),
        ...(toolCalls && {
          toolCalls: toolCalls.map((call) => ({
            id: broken(call.id),
            name: broken(call.name),
            arguments: broken(call.arguments),
          })),
        }),
        ...(toolCallId !== undefined && { toolCallId: broken(toolCallId) }),
        ...(name !== undefined && { name: broken(name) }),
      })),
    };
  }

  /** Tokens of a prompt made of guarded messages: where a mark stands, text is only text. */
  *tokens(prompt: string, mark: string): Wording<Int32Array> {
    const pieces: { text: string; guarded: boolean }[] = [];
    const add = (text: string) => {
      const guarded = text.includes(mark);
      const last = pieces.at(-1);
      if (last && !last.guarded && !guarded) last.text += text;
      else pieces.push({ text: text.replaceAll(mark, ''), guarded });
    };
    let at = 0;
    for (const { start, end } of yield* this.#find(prompt)) {
      add(prompt.slice(at, start));
      add(prompt.slice(start, end));
      at = end;
    }
    add(prompt.slice(at));
    const { before, after } = yield* around();
    const parts = [before];
    for (const { text, guarded } of pieces) parts.push(yield* tokensOf(text, false, !guarded));
    return joined([...parts, after]);
  }

  /** Where names stand in a text, which is looked through in pieces. */
  *#find(text: string): Wording<Place[]> {
    const places: Place[] = [];
    const pattern = this.#pattern;
    if (pattern === undefined) return places;
    for (let at = 0; at < text.length; ) {
      const end = wholeCharacters(text, Math.min(at + SLICE, text.length));
      // Names that begin in this piece may end behind it.
      const piece = text.slice(at, wholeCharacters(text, Math.min(end + this.#longest, text.length)));
      let last = end;
      for (const { 0: name, index } of piece.matchAll(pattern)) {
        if (at + index >= end) break;
        last = Math.max(end, at + index + name.length);
        places.push({ start: at + index, end: at + index + name.length });
      }
      at = last;
      yield* pause();
    }
    return places;
  }
}

/** Of a name in a text. */
interface Place {
  start: number;
  end: number;
}

/** The text with a mark behind the first character of every name. */
function marked(text: string, places: readonly Place[], mark: string): string {
  const parts: string[] = [];
  let at = 0;
  for (const { start } of places) {
    const behind = wholeCharacters(text, start + 1);
    parts.push(text.slice(at, behind), mark);
    at = behind;
  }
  parts.push(text.slice(at));
  return parts.join('');
}

function joined(parts: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function textsOf({ role, content, toolCalls = [], toolCallId = '', name = '' }: Message): string[] {
  const calls = toolCalls.flatMap((call) => [call.id, call.name, call.arguments]);
  return [role, content, toolCallId, name, ...calls];
}

function unusedCharacter(texts: readonly string[]): string {
  const used = new Set(texts.join('').match(/[\ue000-\uf8ff]/g));
  for (let code = PRIVATE.first; code <= PRIVATE.last; code++) {
    const character = String.fromCharCode(code);
    if (!used.has(character)) return character;
  }
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    "The messages hold names of control tokens, and every character of Unicode's private use area",
    'Leave one of these characters out.',
  );
}

/** What the model wants at the beginning and at the end of every text. */
function* around(): Wording<{ before: Int32Array; after: Int32Array }> {
  const whole = yield* tokensOf('a', true, true);
  const bare = (yield* tokensOf('a', false, true)).join();
  for (let start = 0; start < whole.length; start++) {
    for (let end = start + 1; end <= whole.length; end++) {
      if (whole.subarray(start, end).join() === bare) {
        return { before: whole.subarray(0, start), after: whole.subarray(end) };
      }
    }
  }
  return { before: new Int32Array(0), after: new Int32Array(0) };
}
