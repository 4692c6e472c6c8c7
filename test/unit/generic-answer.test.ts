// What is told of calls in our own form, in any pieces, must be the whole answer, with its arguments as they were written.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ToldAnswer } from '../../lib/structured/answer-reader.js';
import { GenericAnswer } from '../../lib/structured/generic-answer.js';

/** All that is told of a text in pieces, which must be what the end says. */
function told(pieces: string[]): ToldAnswer {
  const reader = new GenericAnswer();
  const told = new ToldAnswer();
  for (const piece of pieces) {
    reader.add(piece);
    told.tell(reader.read());
  }
  const { content, calls, rest } = reader.end();
  told.tell(rest);
  expect({ content, calls }).toEqual({ content: told.content, calls: told.calls });
  return told;
}

function inPieces(text: string, lengths: number[]): string[] {
  const pieces: string[] = [];
  let rest = text;
  for (const length of lengths) {
    pieces.push(rest.slice(0, length));
    rest = rest.slice(length);
  }
  return [...pieces, rest];
}

const space = fc.constantFrom('', ' ', '\n', '\n\t ');
const string = fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', 'é', '😀', '{', '}', ']', ',', ' ') });
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    string,
    fc.constantFrom(0, -1.5e300, true, null),
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(string, tie('any'), { maxKeys: 3 }),
  ),
})).any;
const lengths = fc.array(fc.nat(6), { maxLength: 40 });

describe('calls in our own form', () => {
  const call = fc.record({ name: fc.stringMatching(/^[a-z_.-]{1,8}$/), value, space, indent: fc.nat(2) });

  it('are told with their arguments as they were written', () => {
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 3 }), lengths, (calls, lengths) => {
        const written = calls.map(({ value, indent }) => JSON.stringify(value, null, indent));
        const texts = calls.map(
          ({ name, space: s }, i) => `{${s}"name"${s}: "${name}",${s}"arguments":${s}${written[i]}${s}}`,
        );
        const text =
          calls.length === 1 ? `{"tool_call": ${texts[0]}}` : `{"tool_calls": [${texts.join(', ')}]}`;
        const { content, calls: read } = told(inPieces(text, lengths));
        expect(content).toBe('');
        expect(read).toEqual(calls.map(({ name }, i) => ({ id: '', name, arguments: written[i] })));
      }),
    );
  });

  it('are told as far as they go where they are cut', () => {
    fc.assert(
      fc.property(call, fc.nat(), lengths, ({ name, value }, cut, lengths) => {
        const written = JSON.stringify(value);
        const text = `{"tool_call": {"name": "${name}", "arguments": ${written}}}`;
        const { calls } = told(inPieces(text.slice(0, cut % text.length), lengths));
        for (const one of calls) {
          expect(one.name).toBe(name);
          expect(written.startsWith(one.arguments)).toBe(true);
        }
      }),
    );
  });

  it('are told before they are whole', () => {
    const reader = new GenericAnswer();
    const pieces = ['{"tool_c', 'all": {"name": "look", "argu', 'ments": {"a', '": "\\', '""}', '}}'];
    const deltas = pieces.map((piece) => {
      reader.add(piece);
      return reader.read();
    });
    expect(deltas).toEqual([
      [],
      [],
      [
        { call: 0, id: '', name: 'look', text: '' },
        { call: 0, text: '{"a' },
      ],
      [{ call: 0, text: '": "' }],
      [{ call: 0, text: '\\""}' }],
      [],
    ]);
  });
});

it('words in our own form are told, and no calls within them', () => {
  const said = 'Say {"name": "x", "arguments": {}} é "…"';
  const text = JSON.stringify({ response: said });
  fc.assert(
    fc.property(lengths, (lengths) => {
      const { content, calls } = told(inPieces(text, lengths));
      expect(content).toBe(said);
      expect(calls).toEqual([]);
    }),
  );
});
