// Prompts of a benchmark: what is read, what is refused, which are chosen.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { KINDS } from '../../lib/bench/bench-result.js';
import { choosePrompts, defaultPrompts, parsePrompts, readPromptFile } from '../../lib/bench/prompts.js';

const line = (id: string, context: string) => JSON.stringify({ id, context, prompt: `Write ${id}.` });

describe('prompts', () => {
  it('of the package are eight of each kind, and published', () => {
    const prompts = defaultPrompts();
    for (const kind of KINDS) expect(prompts.filter((prompt) => prompt.kind === kind)).toHaveLength(8);
    expect(JSON.parse(readFileSync('package.json', 'utf8')).files).toContain('bench/prompts');
  });

  it('are read line by line, empty lines skipped', () => {
    expect(parsePrompts(`${line('a', 'code')}\n\n${line('b', 'switch')}\n`, 'p')).toEqual([
      { id: 'a', kind: 'code', prompt: 'Write a.' },
      { id: 'b', kind: 'switch', prompt: 'Write b.' },
    ]);
  });

  it.each([
    ['no JSON', '{', /p, line 2 is no JSON/],
    ['an unknown kind', line('b', 'poem'), /line 2 has no usable 'context': give one of code, prose/],
    ['no prompt', '{"id":"b","context":"code"}', /line 2 has no usable 'prompt'/],
    ['an empty prompt', '{"id":"b","context":"code","prompt":""}', /line 2 has no usable 'prompt'/],
    ['no object', '7', /line 2 is no object/],
    ['an id twice', line('a', 'code'), /holds the id "a" twice/],
  ])('with %s are refused', (_, second, message) => {
    expect(() => parsePrompts(`${line('a', 'code')}\n${second}`, 'p')).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(message) }),
    );
  });

  it('that are none, or no file, are refused', () => {
    expect(() => parsePrompts('\n', 'p')).toThrow(/p holds no prompts/);
    expect(() => readPromptFile('no-such-file.jsonl')).toThrow(/no-such-file\.jsonl can't be read/);
  });

  it('are chosen by kind, the first so many of each', () => {
    const prompts = defaultPrompts();
    const ids = (chosen: { id: string }[]) => chosen.map(({ id }) => id);
    expect(ids(choosePrompts(prompts, { kinds: ['math', 'code'], perKind: 2 }))).toEqual([
      'code-1',
      'code-2',
      'math-1',
      'math-2',
    ]);
    expect(choosePrompts(prompts, { perKind: 1 })).toHaveLength(KINDS.length);
    expect(() => choosePrompts(prompts, { kinds: ['verse'], perKind: 1 })).toThrow(
      /no prompts of the kind "verse"/,
    );
  });
});
