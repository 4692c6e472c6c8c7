// Keeps what others wrote from being read as control tokens: '<|im_start|>' in a message is text, not a turn.

import { AdaptiveSpecError } from './errors.js';
import type { CheckedRequest, Message } from './options.js';

/** Turns text into tokens; names of control tokens become those tokens where `parseSpecial` says so. */
export type Tokenize = (text: string, addSpecial: boolean, parseSpecial: boolean) => Int32Array;

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

  constructor(names: readonly string[]) {
    // The longest first, as llama.cpp looks for them. A mark finds no place within a single character.
    const sorted = names.filter((name) => name.length > 1).sort((a, b) => b.length - a.length);
    const escaped = sorted.map((name) => name.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
    if (escaped.length > 0) this.#pattern = new RegExp(`(${escaped.join('|')})`, 'u');
  }

  /** The messages with a mark in every name; undefined where there is none. Throws INVALID_ARGUMENT. */
  guard(messages: readonly Message[]): GuardedMessages | undefined {
    const pattern = this.#pattern;
    const texts = messages.flatMap(textsOf);
    if (pattern === undefined || !texts.some((text) => pattern.test(text))) return undefined;
    const mark = unusedCharacter(texts);
    const every = new RegExp(pattern, 'gu');
    const broken = (text: string) => text.replace(every, (name) => name.replace(/^./su, `$&${mark}`));
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
  tokens(prompt: string, mark: string, tokenize: Tokenize): Int32Array {
    const pieces: { text: string; guarded: boolean }[] = [];
    for (const text of prompt.split(this.#pattern!)) {
      const guarded = text.includes(mark);
      const last = pieces.at(-1);
      if (last && !last.guarded && !guarded) last.text += text;
      else pieces.push({ text: text.replaceAll(mark, ''), guarded });
    }
    const { before, after } = around(tokenize);
    const tokens = pieces.flatMap(({ text, guarded }) => Array.from(tokenize(text, false, !guarded)));
    return Int32Array.from([...before, ...tokens, ...after]);
  }
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
function around(tokenize: Tokenize): { before: Int32Array; after: Int32Array } {
  const whole = tokenize('a', true, true);
  const bare = tokenize('a', false, true).join();
  for (let start = 0; start < whole.length; start++) {
    for (let end = start + 1; end <= whole.length; end++) {
      if (whole.subarray(start, end).join() === bare) {
        return { before: whole.subarray(0, start), after: whole.subarray(end) };
      }
    }
  }
  return { before: new Int32Array(0), after: new Int32Array(0) };
}
