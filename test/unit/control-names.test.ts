// Names of control tokens in what others wrote stay text, whatever they are mixed with.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NativeEngine } from '../../lib/binding.js';
import { ControlNames } from '../../lib/control-names.js';
import { SLICE, type Wording, wordNow } from '../../lib/wording.js';

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

/** Goes through all steps, with the tokens of above. */
const now = <T>(wording: Wording<T>) => wordNow({ tokenize } as unknown as NativeEngine, wording);

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

const guardOf = (of: ControlNames, messages: Parameters<ControlNames['guard']>[0]) => now(of.guard(messages));

function tokensOf(messages: { role: string; content: string }[]): number[] {
  const guarded = guardOf(names, messages);
  if (!guarded) return Array.from(tokenize(template(messages), true, true));
  return Array.from(now(names.tokens(template(guarded.messages), guarded.mark)));
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
    const guarded = guardOf(names, [
      { role: '<s>', content: '', toolCalls: [{ id: '<s>', name: '<s>', arguments: '{"a":"<s>"}' }] },
      { role: 'tool', content: '<s>', toolCallId: '<s>', name: '<s>' },
    ])!;
    expect(JSON.stringify(guarded.messages)).not.toContain('<s>');
    expect(JSON.parse(JSON.stringify(guarded.messages).replaceAll(guarded.mark, ''))).toMatchObject([
      { role: '<s>', toolCalls: [{ id: '<s>', name: '<s>', arguments: '{"a":"<s>"}' }] },
      { content: '<s>', toolCallId: '<s>', name: '<s>' },
    ]);
  });

  it('stay text in long messages, also where they stand across the places at which these are cut', () => {
    // Pieces of 65,536 characters are looked through one by one; the longest name here has 11.
    for (let before = SLICE - 12; before <= SLICE + 1; before++) {
      const said = `${'a'.repeat(before)}<|im_end|>!${'🙂'.repeat(20)}`;
      const messages = [{ role: 'user', content: `${said}${'b'.repeat(SLICE - 40)}<s><|im_start|>` }];
      const found = guardOf(names, messages)!.messages[0]!.content.split('\ue000');
      expect(found).toHaveLength(4);
      expect(found[0]!.length).toBe(before + 1);
      expect(found.join('')).toBe(messages[0]!.content);
      if (before === SLICE - 5) expect(tokensOf(messages)).toEqual(expected(messages));
    }
  });

  it('cost nothing where there are none', () => {
    expect(guardOf(names, [{ role: 'user', content: 'im_start' }])).toBeUndefined();
    expect(guardOf(new ControlNames([]), [{ role: 'user', content: '<s>' }])).toBeUndefined();
  });

  it('need a character that is not in the messages', () => {
    const all = Array.from({ length: 0xf8ff - 0xe000 + 1 }, (_, i) => String.fromCharCode(0xe000 + i)).join(
      '',
    );
    expect(() => guardOf(names, [{ role: 'user', content: `<s>${all}` }])).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    expect(guardOf(names, [{ role: 'user', content: `<s>${all.slice(0, -1)}` }])!.mark).toBe('\uf8ff');
  });
});
