// What an answer says must be told as it is written, in any pieces, and nothing of a call with it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GENERIC_RESPONSE } from '../../lib/structured/generic-tools.js';
import { type Said, saidAtEnd, saidBefore, saidInString } from '../../lib/structured/said.js';

/** All that is told of a text that comes in these pieces. */
function told(said: Said, pieces: string[], content?: string): string {
  return pieces.map((piece) => said.add(piece)).join('') + said.end(content);
}

/** A text in pieces. */
const cut = (text: fc.Arbitrary<string>) =>
  fc.tuple(text, fc.array(fc.nat(5))).map(([text, lengths]) => {
    const pieces: string[] = [];
    let rest = text;
    for (const length of lengths) {
      pieces.push(rest.slice(0, length));
      rest = rest.slice(length);
    }
    return { text, pieces: [...pieces, rest] };
  });

describe('words before a call', () => {
  const WORDS = ['<tool_call>', '<function='];
  const text = fc.stringMatching(/^([a-c <>=\n]|<tool_|<fun){0,12}$/);

  it('are told whole where no call comes', () => {
    fc.assert(
      fc.property(cut(text), ({ text, pieces }) => {
        expect(told(saidBefore(WORDS), pieces)).toBe(text);
      }),
    );
  });

  it('are told without the call and the space before it', () => {
    const call = fc.tuple(text, fc.constantFrom(...WORDS), text);
    fc.assert(
      fc.property(cut(call.map((parts) => parts.join(''))), ({ text, pieces }) => {
        const at = Math.min(...WORDS.map((word) => `${text}${word}`.indexOf(word)));
        expect(told(saidBefore(WORDS), pieces)).toBe(text.slice(0, at).trimEnd());
      }),
    );
  });

  it('are told at once where no call can begin', () => {
    const said = saidBefore(WORDS);
    expect(['a b', ' c', ' <', 'd', '<tool', '_call>{'].map((piece) => said.add(piece))).toEqual([
      'a b',
      ' c',
      '',
      ' <d',
      '',
      '',
    ]);
  });
});

describe('the words of an answer in JSON', () => {
  it('are told as they are meant, in any pieces', () => {
    const spaces = fc.stringMatching(/^[ \n]{0,3}$/);
    const text = fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', 'é', '😀', 'ud83d', '/') });
    const answer = fc.tuple(text, spaces, fc.boolean()).map(([text, space, isEscaped]) => {
      const plain = JSON.stringify(text);
      const string = isEscaped
        ? plain.replaceAll(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
        : plain;
      return `${space}{${space}"response"${space}:${space}${string}${space}}`;
    });
    fc.assert(
      fc.property(cut(answer), ({ text, pieces }) => {
        expect(told(saidInString(GENERIC_RESPONSE), pieces)).toBe(JSON.parse(text).response);
      }),
    );
  });

  it('are told before the string is over', () => {
    const said = saidInString(GENERIC_RESPONSE);
    const pieces = ['{"resp', 'onse": "Hel', 'lo\\', 'n\\ud83d', '\\ude00 you'];
    expect(pieces.map((piece) => said.add(piece))).toEqual(['', 'Hel', 'lo', '\n', '😀 you']);
  });

  it('are none in a call', () => {
    const text = '{"tool_call": {"name": "say", "arguments": {"response": "Hello"}}}';
    expect(told(saidInString(GENERIC_RESPONSE), [text])).toBe('');
  });
});

it('is told in the end where a call could begin with anything', () => {
  expect(told(saidAtEnd(), ['Hel', 'lo'], 'Hello')).toBe('Hello');
});
