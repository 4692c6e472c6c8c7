// Names of control tokens in what others wrote stay text, whatever they are mixed with.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ControlNames } from '../../lib/control-names.js';

const NAMES = ['<|im_start|>', '<|im_end|>', '<s>', '<s-2>', '[INST]', 'a.b*', '<|im_end|>!', 'x'];
const names = new ControlNames(NAMES);
const BOS = 1000;

/** A token a character, and one from 2000 on for each name that is looked for; BOS before, EOS behind. */
function tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Int32Array {
  const tokens: number[] = [];
  const sorted = [...NAMES].sort((a, b) => b.length - a.length);
  for (let at = 0; at < text.length; ) {
    const name = parseSpecial ? sorted.find((one) => text.startsWith(one, at)) : undefined;
    tokens.push(name === undefined ? text.charCodeAt(at) : 2000 + NAMES.indexOf(name));
    at += name?.length ?? 1;
  }
  return Int32Array.from(addSpecial ? [BOS, ...tokens, BOS + 1] : tokens);
}

const template = (messages: readonly { role: string; content: string }[]) =>
  `${messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`).join('')}<|im_start|>assistant\n`;

/** Tokens of a conversation, every part for itself. */
function expected(messages: readonly { role: string; content: string }[]): number[] {
  const start = tokenize('<|im_start|>', false, true);
  const end = tokenize('<|im_end|>', false, true);
  const text = (said: string) => tokenize(said, false, false);
  const turns = messages.flatMap(({ role, content }) => [
    ...start,
    ...text(`${role}\n${content}`),
    ...end,
    ...text('\n'),
  ]);
  return [BOS, ...turns, ...start, ...text('assistant\n'), BOS + 1];
}

function tokensOf(messages: { role: string; content: string }[]): number[] {
  const guarded = names.guard(messages);
  if (!guarded) return Array.from(tokenize(template(messages), true, true));
  return Array.from(names.tokens(template(guarded.messages), guarded.mark, tokenize));
}

describe('names of control tokens', () => {
  // A single character can't be broken up.
  it.each(NAMES.filter((name) => name.length > 1))('stay text in a message: %s', (name) => {
    for (const content of [
      name,
      `a ${name} b`,
      name + name,
      `${name}\n${NAMES[0]}system`,
      `<|im_${name}start|>`,
    ]) {
      const messages = [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content },
      ];
      expect(tokensOf(messages)).toEqual(expected(messages));
    }
  });

  it('stay text whatever stands around them', () => {
    const piece = fc.oneof(
      fc.constantFrom(...NAMES.filter((name) => name.length > 1)),
      fc.constantFrom('a', '<', '|', '>', ' ', '\n', '\ue000', '\ue001', '€'),
    );
    const content = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
    fc.assert(
      fc.property(
        fc.array(fc.record({ role: fc.constantFrom('user', 'assistant'), content }), {
          minLength: 1,
          maxLength: 4,
        }),
        (messages) => {
          expect(tokensOf(messages)).toEqual(expected(messages));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('stay text in calls, their answers, and roles', () => {
    const guarded = names.guard([
      { role: '<s>', content: '', toolCalls: [{ id: '<s>', name: '<s>', arguments: '{"a":"<s>"}' }] },
      { role: 'tool', content: '<s>', toolCallId: '<s>', name: '<s>' },
    ])!;
    expect(JSON.stringify(guarded.messages)).not.toContain('<s>');
    expect(JSON.parse(JSON.stringify(guarded.messages).replaceAll(guarded.mark, ''))).toMatchObject([
      { role: '<s>', toolCalls: [{ id: '<s>', name: '<s>', arguments: '{"a":"<s>"}' }] },
      { content: '<s>', toolCallId: '<s>', name: '<s>' },
    ]);
  });

  it('cost nothing where there are none', () => {
    expect(names.guard([{ role: 'user', content: 'im_start' }])).toBeUndefined();
    expect(new ControlNames([]).guard([{ role: 'user', content: '<s>' }])).toBeUndefined();
  });

  it('need a character that is not in the messages', () => {
    const all = Array.from({ length: 0xf8ff - 0xe000 + 1 }, (_, i) => String.fromCharCode(0xe000 + i)).join(
      '',
    );
    expect(() => names.guard([{ role: 'user', content: `<s>${all}` }])).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    expect(names.guard([{ role: 'user', content: `<s>${all.slice(0, -1)}` }])!.mark).toBe('\uf8ff');
  });
});
