// The words of an answer in JSON must be told as they are written, in any pieces.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { saidInString } from '../../lib/structured/said.js';

const START = /^\s*\{\s*"response"\s*:\s*"/;

/** All that is told of a text that comes in these pieces. */
function told(pieces: string[]): string {
  const said = saidInString(START);
  return pieces.map((piece) => said.add(piece)).join('');
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
        expect(told(pieces)).toBe(JSON.parse(text).response);
      }),
    );
  });

  it('are told before the string is over', () => {
    const said = saidInString(START);
    const pieces = ['{"resp', 'onse": "Hel', 'lo\\', 'n\\ud83d', '\\ude00 you'];
    expect(pieces.map((piece) => said.add(piece))).toEqual(['', 'Hel', 'lo', '\n', '😀 you']);
  });

  it('are none in a call', () => {
    const text = '{"tool_call": {"name": "say", "arguments": {"response": "Hello"}}}';
    expect(told([text])).toBe('');
  });
});
