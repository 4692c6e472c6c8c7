// A request must go on from the conversation that it continues, never from another cache's, and not spoil more than it must.
import { expect, it } from 'vitest';
import type { NativeResult } from '../../lib/binding.js';
import { PrefixCache } from '../../lib/prefix-cache.js';

function cacheOf(most: number) {
  let next = 1;
  const forgotten: number[] = [];
  const cache = new PrefixCache(
    most,
    () => next++,
    (id) => forgotten.push(id),
  );
  /** Begins a request; answers its session and how it ends. */
  const begin = (name: string, prompt: number[]) => {
    const tokens = Int32Array.from(prompt);
    const request = cache.request(name, tokens);
    request?.begin();
    const end = (emitted: number[], reason: NativeResult['reason'] = 'stop') =>
      request!.over(tokens, { reason, tokens: Int32Array.from(emitted) } as NativeResult);
    return { id: request?.id, end };
  };
  const run = (name: string, prompt: number[], emitted: number[] = []) => {
    const { id, end } = begin(name, prompt);
    end(emitted);
    return id;
  };
  return { begin, run, forgotten };
}

it('goes on with the conversation that stands in the prompt', () => {
  const { run, forgotten } = cacheOf(3);
  const first = run('', [1, 2, 3], [4]);
  const second = run('', [9, 8, 7], [6]);
  expect(second).not.toBe(first);
  expect(run('', [1, 2, 3, 4, 5], [5])).toBe(first);
  expect(run('', [9, 8, 7, 6, 5], [5])).toBe(second);
  expect(forgotten).toEqual([]);
});

it('leaves a conversation alone that has little in common, while there is room', () => {
  const { run, forgotten } = cacheOf(2);
  const first = run('', [1, 2, 3, 4, 5, 6]);
  const second = run('', [1, 2, 30, 40, 50]);
  expect(second).not.toBe(first);
  // Now there is none: what is in common is worth more than what comes after it.
  expect(run('', [1, 2, 3, 99])).toBe(first);
  expect(forgotten).toEqual([]);
});

it('gives up what was used least recently', () => {
  const { run, forgotten } = cacheOf(2);
  const first = run('', [1, 1]);
  const second = run('', [2, 2]);
  run('', [1, 1, 1]);
  run('', [3, 3]);
  expect(forgotten).toEqual([second]);
  expect(run('', [1, 1, 1, 1])).toBe(first);
});

it('never goes on from the text of another cache', () => {
  const { run, forgotten } = cacheOf(2);
  const mine = run('a', [1, 2, 3]);
  const yours = run('b', [1, 2, 3, 4]);
  expect(yours).not.toBe(mine);
  const theirs = run('c', [1, 2, 3, 4]);
  expect([mine, yours]).not.toContain(theirs);
  expect(forgotten).toEqual([mine]);
});

it('gives a conversation to one request at a time', () => {
  const { begin, run } = cacheOf(2);
  const first = begin('', [1, 2]);
  const second = begin('', [1, 2]);
  expect(second.id).not.toBe(first.id);
  expect(begin('', [1, 2]).id).toBeUndefined();
  first.end([3]);
  expect(run('', [1, 2, 3, 4])).toBe(first.id);
});

it('expects nothing of a conversation that failed', () => {
  const { begin, run, forgotten } = cacheOf(1);
  const first = begin('', [1, 2, 3]);
  first.end([], 'error');
  expect(run('', [1, 2, 3])).not.toBe(first.id);
  expect(forgotten).toEqual([first.id]);
});
