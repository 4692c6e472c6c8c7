// The context-kind classifier: right kinds, soon after a switch, for any way of cutting the text, at a constant cost.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { CONTEXT_KINDS, type ContextKind, ContextKindClassifier } from '../../lib/control/context-kind.js';
import type { ContextKindState } from '../../lib/control/context-kind-state.js';

interface Labelled {
  name: string;
  prompt?: string;
  parts: { kind: ContextKind; text: string }[];
}

const texts: Labelled[] = readFileSync(new URL('fixtures/context-kinds.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

function kindOf(text: string, prompt = ''): ContextKind {
  const classifier = new ContextKindClassifier();
  classifier.begin(prompt);
  classifier.push(text);
  return classifier.kind;
}

/** Text made of what the classifier looks at, so that random texts reach its corners. */
const PIECES = [
  ...'abxIZ019_ \n\t\r`~{}[]()"\':;,.!?=<>+-*/^$\\|&#%•–×π∑“é海',
  '😀',
  '𝑥',
  '```',
  '```json\n',
  '\n- ',
  '\n1. ',
  '": "',
  'return ',
  'the sum ',
  'a well-known word ',
];
const anyText = fc.array(fc.constantFrom(...PIECES), { maxLength: 300 }).map((pieces) => pieces.join(''));

describe('the kind', () => {
  it.each(texts)('follows $name', ({ prompt, parts }) => {
    const classifier = new ContextKindClassifier();
    classifier.begin(prompt ?? '');
    for (const { kind, text } of parts) {
      // What a part is can't be known before its first line or two, nor that a fence has closed before its line has.
      const late: string[] = [];
      for (let i = 0; i < text.length; i++) {
        classifier.push(text[i]!);
        if (i >= Math.min(160, text.length - 2) && i < text.length - 1 && classifier.kind !== kind) {
          late.push(`${classifier.kind} at ${JSON.stringify(text.slice(Math.max(0, i - 20), i + 1))}`);
        }
      }
      expect(late, `${kind}: ${text.slice(0, 40)}`).toEqual([]);
    }
  });

  it('is right on nearly all of those characters, once a line is read', () => {
    let right = 0;
    let all = 0;
    const classifier = new ContextKindClassifier();
    for (const { prompt, parts } of texts) {
      classifier.begin(prompt ?? '');
      for (const { kind, text } of parts) {
        for (let i = 0; i < text.length; i++) {
          classifier.push(text[i]!);
          if (i < 80) continue;
          all++;
          if (classifier.kind === kind) right++;
        }
      }
    }
    expect(all).toBeGreaterThan(5000);
    expect(right / all).toBeGreaterThan(0.97);
  });

  it('changes with a fence in the line that opens it, and back in the line that closes it', () => {
    const classifier = new ContextKindClassifier();
    classifier.push('The following lines are enough to read a file in one go:\n\n');
    expect(classifier.kind).toBe('prose');
    classifier.push('```');
    expect(classifier.kind).toBe('code');
    classifier.push('json\n');
    expect(classifier.kind).toBe('json');
    classifier.push('the words of a poem, which a fence that is tagged so should not hold\n```');
    expect(classifier.kind).toBe('json');
    classifier.push('\n');
    expect(classifier.kind).toBe('prose');
  });

  it('of fences goes by their tags, and by their content where they have none', () => {
    const words = 'One word after the other, and none of them is code or data of any sort.\n';
    expect(kindOf(`\`\`\`rust\n${words}`)).toBe('code');
    expect(kindOf(`\`\`\`JSON\n${words}`)).toBe('json');
    expect(kindOf(`~~~latex title\n${words}`)).toBe('math');
    expect(kindOf(`\`\`\`text\n${words.repeat(2)}`)).toBe('prose');
    expect(kindOf('```\n{"a": 1, "b": [2, 3],\n "c": "d"')).toBe('json');
    expect(kindOf('```\nx\n')).toBe('code');
  });

  it('is not changed by a longer fence’s content, nor by three marks that are closed in their line', () => {
    expect(kindOf('````python\nx = 1\n```\nand some more of it\n')).toBe('code');
    expect(kindOf('```python\nx = 1\n~~~\nand some more of it\n')).toBe('code');
    expect(kindOf('```span``` is what this line begins with, and it goes on in plain words.\n')).toBe(
      'prose',
    );
  });

  it('of dates is not mathematics, of arrays of numbers neither', () => {
    expect(kindOf('2024-03-02 12:00:01 INFO server started on port 8080\n'.repeat(5))).toBe('prose');
    expect(kindOf('[\n  12.5,\n  13.25,\n  14,\n  15\n')).toBe('json');
    expect(kindOf('10 - 3 = 7, 8 - 2 = 6 and 12 - 5 = 7.\n')).toBe('math');
  });

  it('survives Windows line ends', () => {
    for (const { prompt, parts } of texts) {
      const text = parts.map((part) => part.text).join('');
      expect(kindOf(text.replaceAll('\n', '\r\n'), prompt)).toBe(kindOf(text, prompt));
    }
  });

  it('before the first character is what the request asks for, and prose where it asks for nothing', () => {
    expect(kindOf('', 'Return a JSON object for an invoice. Only output JSON.')).toBe('json');
    expect(kindOf('', 'Write a Python class with doctests.')).toBe('code');
    expect(kindOf('', 'Prove that the sum of two odd numbers is even and simplify.')).toBe('math');
    expect(kindOf('', 'Give a numbered checklist.')).toBe('list');
    expect(kindOf('', 'Once upon a time')).toBe('prose');
    expect(kindOf('')).toBe('prose');
  });

  it('does not hold on to a wrong guess from the request', () => {
    const prose = 'There is no way to say this in a few words, for it depends on what you want it to do.';
    for (const request of ['JSON JSON JSON', 'Python code', 'solve the integral equation', 'bulleted list']) {
      expect(kindOf(prose, request.repeat(40))).toBe('prose');
    }
  });
});

describe('scores', () => {
  it('are shares of one, whatever the text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const classifier = new ContextKindClassifier();
        classifier.push(text);
        const scores = classifier.scores();
        expect(Object.keys(scores).sort()).toEqual([...CONTEXT_KINDS].sort());
        const values = Object.values(scores);
        for (const value of values) expect(value).toBeGreaterThanOrEqual(0);
        expect(values.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
      }),
    );
    expect(new ContextKindClassifier().scores()).toEqual({ prose: 1, code: 0, math: 0, json: 0, list: 0 });
    const prose = new ContextKindClassifier();
    prose.push('The rain had stopped, and people came out of their houses to look at the river.');
    expect(prose.scores().prose).toBeGreaterThan(0.9);
  });
});

describe('pieces', () => {
  it('of any size give the same state, halves of surrogate pairs included', () => {
    fc.assert(
      fc.property(anyText, fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 60 }), (text, sizes) => {
        const whole = new ContextKindClassifier();
        whole.push(text);
        const cut = new ContextKindClassifier();
        let at = 0;
        for (const size of sizes) {
          cut.push(text.slice(at, at + size));
          at += size;
        }
        cut.push(text.slice(at));
        expect(cut.snapshot()).toEqual(whole.snapshot());
      }),
    );
    const { parts } = texts.find(({ name }) => name.startsWith('prose, list, JSON'))!;
    const long = `${parts.map((part) => part.text).join('')}𝑥 + 𝑦 😀\n`.repeat(20);
    const whole = new ContextKindClassifier();
    whole.push(long);
    const single = new ContextKindClassifier();
    for (let i = 0; i < long.length; i++) single.push(long[i]!);
    expect(single.snapshot()).toEqual(whole.snapshot());
  });
});

describe('begin', () => {
  it('forgets the text before', () => {
    const used = new ContextKindClassifier();
    used.push('```json\n{"a": "b');
    used.begin('Write a story.');
    const fresh = new ContextKindClassifier();
    fresh.begin('Write a story.');
    expect(used.snapshot()).toEqual(fresh.snapshot());
  });

  it('reads no more than the end of a long prompt', () => {
    const end = `${'x '.repeat(600)}\nWrite a Go function.`;
    const long = new ContextKindClassifier();
    long.begin('{"a": 1}\n'.repeat(1e5) + end);
    const short = new ContextKindClassifier();
    short.begin(end);
    expect(long.snapshot()).toEqual(short.snapshot());
  });
});

describe('snapshot and restore', () => {
  it('go on as if nothing had happened, also through JSON', () => {
    fc.assert(
      fc.property(anyText, anyText, (before, after) => {
        const one = new ContextKindClassifier();
        one.begin('Give a list.');
        one.push(before);
        const state = JSON.parse(JSON.stringify(one.snapshot()));
        const two = new ContextKindClassifier();
        two.restore(state);
        one.push(after);
        two.push(after);
        expect(two.snapshot()).toEqual(one.snapshot());
        expect(two.kind).toBe(one.kind);
      }),
    );
  });

  it('share nothing with the classifier', () => {
    const classifier = new ContextKindClassifier();
    classifier.push('Some words, ');
    const state = classifier.snapshot();
    const kept = structuredClone(state);
    classifier.push('and more\n```json\n{}');
    expect(state).toEqual(kept);
    classifier.restore(state);
    classifier.push('- x');
    expect(state).toEqual(kept);
  });

  it('refuse what is no snapshot, and leave the classifier as it was', () => {
    const classifier = new ContextKindClassifier();
    classifier.push('```json\n');
    const good = classifier.snapshot();
    const wrong: Partial<Record<keyof ContextKindState, unknown>>[] = [
      { kind: 5 },
      { kind: 1.5 },
      { owner: -1 },
      { settled: -2 },
      { place: 7 },
      { points: [1, 2] },
      { points: [0, 0, 0, 0, Number.NaN] },
      { outside: [-1, 0, 0, 0, 0] },
      { depth: '1' },
      { indent: Number.POSITIVE_INFINITY },
      { word: 'x'.repeat(1e4) },
      { tag: 7 },
    ];
    const states = [undefined, null, 7, 'x', [], {}, { ...good, more: 1 }];
    for (const state of [...states, ...wrong.map((change) => ({ ...good, ...change }))]) {
      expect(() => classifier.restore(state)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT', hint: expect.stringMatching(/snapshot/) }),
      );
    }
    expect(classifier.snapshot()).toEqual(good);
  });
});

describe('hostile text', () => {
  const LENGTH = 1e6;
  const repeated = (piece: string) => piece.repeat(Math.ceil(LENGTH / piece.length)).slice(0, LENGTH);
  const plain = repeated('The quick brown fox jumps over the lazy dog, and so on.\n');

  function milliseconds(text: string): number {
    const classifier = new ContextKindClassifier();
    const before = process.cpuUsage();
    classifier.push(text);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  }

  let usual = 0;
  beforeAll(() => {
    milliseconds(plain.slice(0, 1e5));
    usual = Math.min(milliseconds(plain), milliseconds(plain));
  });

  it.each([
    ['braces', '{'],
    ['brackets and quotes', '[{"'],
    ['one word', 'x'],
    ['one number', '7'],
    ['backticks', '`'],
    ['spaces', ' '],
    ['bullets', '-'],
    ['backslashes', '\\'],
    ['line ends', '\n'],
    ['a string without an end', '{"a": "b", "c": "dddddddd'],
    ['fences', '```\n'],
    ['a tag without an end', '```x'],
    ['lone surrogates', '\ud835'],
  ])('of a million characters costs no more memory and about the same time: %s', (_, piece) => {
    const text = repeated(piece);
    const classifier = new ContextKindClassifier();
    classifier.push(text);
    // By processor time: who else has the core meanwhile makes no difference.
    expect(milliseconds(text)).toBeLessThan(10 * usual);
    expect(JSON.stringify(classifier.snapshot()).length).toBeLessThan(1000);
    // It recovers: two lines of prose after a blank one, and whatever fence is open closed.
    classifier.push('\n```\n\n');
    if (classifier.snapshot().fence > 0) classifier.push(`${'`'.repeat(LENGTH + 1)}\n\n`);
    classifier.push('Then the sea was quiet again, and the boats went out one after the other.\n'.repeat(3));
    expect(classifier.kind).toBe('prose');
  });

  it('costs as much per character at the end of a long text as at its start', () => {
    milliseconds(plain.slice(0, 1e5));
    const classifier = new ContextKindClassifier();
    const laps: number[] = [];
    for (let lap = 0; lap < 10; lap++) {
      const started = performance.now();
      for (let i = 0; i < LENGTH / 10; i++) classifier.push(plain[i]!);
      laps.push(performance.now() - started);
    }
    expect(Math.min(...laps.slice(5))).toBeLessThan(3 * Math.min(...laps.slice(0, 5)));
  });
});
