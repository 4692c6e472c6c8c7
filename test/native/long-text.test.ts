// Long texts become tokens on another thread: the same ones, while JavaScript goes on, and with every way to end early.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, Message, RequestOptions } from '../../lib/index.js';
import { LONG_TEXT, SLICE } from '../../lib/wording.js';
import { tinyEngine } from './tiny-engine.js';

let engine: Engine;
beforeAll(async () => {
  engine = await tinyEngine('target', 'draft', { contextSize: 2048, threads: 1 });
});
afterAll(() => engine.close());

const WORDS = 'def hello(x):\n  return the world is a 10.10; €🙂 END ';
const text = (characters: number) =>
  WORDS.repeat(Math.floor(characters / WORDS.length)).padEnd(characters, ' a');
/** Some hundred milliseconds of tokenizing. */
const huge = text(1_000_000);
const plain: RequestOptions = { maxTokens: 4, ignoreEos: true, controller: 'off' };

/** What `call` comes to, and whether the event loop turned meanwhile. */
async function withTurns<T>(call: () => Promise<T> | PromiseLike<T>): Promise<{ value: T; turns: number }> {
  let turns = 0;
  let going = true;
  const turn = () => {
    turns++;
    if (going) setImmediate(turn);
  };
  setImmediate(turn);
  try {
    return { value: await call(), turns };
  } finally {
    going = false;
  }
}

describe('tokenizeAsync', () => {
  it('has the tokens of tokenize', async () => {
    for (const length of [0, 1, LONG_TEXT, LONG_TEXT + 1, SLICE + 1, 300_000]) {
      for (const options of [{}, { addSpecial: false }, { parseSpecial: false }]) {
        const said = text(length);
        expect(await engine.tokenizeAsync(said, options)).toEqual(engine.tokenize(said, options));
      }
    }
  });

  it('lets the event loop turn meanwhile, and the thread do the work', async () => {
    const { value, turns } = await withTurns(() => engine.tokenizeAsync(huge));
    expect(value.length).toBeGreaterThan(100_000);
    expect(turns).toBeGreaterThan(0);
  });

  it('stops waiting where its signal says so, and leaves the others alone', async () => {
    const order: string[] = [];
    const abort = new AbortController();
    const first = engine.tokenizeAsync(huge).then(({ length }) => order.push(`first ${length > 0}`));
    const second = engine.tokenizeAsync(huge, { signal: abort.signal }).catch((reason) => order.push(reason));
    abort.abort('stopped');
    await second;
    // It waited behind the first, which takes longer than this.
    expect(order).toEqual(['stopped']);
    await first;
    expect(order).toEqual(['stopped', 'first true']);
    await expect(engine.tokenizeAsync('a', { signal: abort.signal })).rejects.toBe('stopped');
  });

  it('refuses what is no text, is too long, or finds too many that wait', async () => {
    await expect(engine.tokenizeAsync(5 as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(engine.tokenizeAsync('a'.repeat(2048 * 512 + 1))).rejects.toMatchObject({
      code: 'CONTEXT_OVERFLOW',
    });
    const small = await tinyEngine('target', undefined, { threads: 1, queue: 1 });
    const said = text(200_000);
    const all = await Promise.allSettled([1, 2, 3, 4].map(() => small.tokenizeAsync(said)));
    expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected']);
    expect(all[2]).toMatchObject({ reason: { code: 'BUSY' } });
    await small.close();
    await expect(small.tokenizeAsync(said)).rejects.toMatchObject({ code: 'DISPOSED' });
  });
});

describe('a long prompt', () => {
  // Of few tokens: names of control tokens are one each in a prompt.
  const prompt = `${WORDS}${'<|im_start|>'.repeat(800)}${WORDS}`;
  // Might fit by its length, and doesn't.
  const tooLong = text(12_000);

  it('gives the text of its tokens, and tells its number at once and its tokens when it has begun', async () => {
    const tokens = engine.tokenize(prompt);
    const expected = await engine.generate({ ...plain, prompt: tokens });
    const generation = engine.generate({ ...plain, prompt });
    expect(generation.id).toBeGreaterThan(0);
    expect(generation.promptTokens).toBeUndefined();
    expect(engine.pending).toBe(1);
    await generation.begun;
    expect(generation.promptTokens).toBe(tokens.length);
    const { value, turns } = await withTurns(() => generation);
    expect(turns).toBeGreaterThan(0);
    expect(value.tokens).toEqual(expected.tokens);
    expect(value.usage.promptTokens).toBe(tokens.length);
    expect(engine.pending).toBe(0);
  });

  it('that is too long is refused by its length at once, and by its tokens else', async () => {
    const overflow = { code: 'CONTEXT_OVERFLOW' };
    await expect(engine.generate({ prompt: huge.repeat(8) })).rejects.toMatchObject(overflow);
    await expect(engine.generate({ prompt: huge })).rejects.toMatchObject(overflow);
    const { value, turns } = await withTurns(() =>
      engine.generate({ prompt: tooLong }).catch((error) => error),
    );
    expect(value).toMatchObject({ ...overflow, message: expect.stringContaining('tokens exceeds') });
    expect(turns).toBeGreaterThan(0);
    expect(engine.pending).toBe(0);
  });

  it('can be aborted before it is tokens, in every way', async () => {
    const dispose = engine.generate({ ...plain, prompt });
    await dispose[Symbol.asyncDispose]();
    await expect(dispose).resolves.toMatchObject({ finishReason: 'aborted', text: '' });
    const signal = AbortSignal.abort('enough');
    await expect(engine.generate({ ...plain, prompt, signal })).rejects.toBe('enough');
    const late = new AbortController();
    const options = { ...plain, prompt, signal: late.signal };
    const [thrown, returned] = [engine.generate(options), engine.generate({ ...options, onAbort: 'return' })];
    late.abort('late');
    await expect(thrown).rejects.toBe('late');
    const result = await returned;
    expect(result).toMatchObject({ finishReason: 'aborted', tokens: [], usage: { promptTokens: 0 } });
    const left = engine.generate({ ...plain, prompt });
    for await (const _ of left) break;
    await left;
    expect(engine.pending).toBe(0);
  });

  it('counts as a request that waits, and ends with its engine', async () => {
    const small = await tinyEngine('target', undefined, { contextSize: 2048, threads: 1, queue: 0 });
    const first = small.generate({ ...plain, prompt });
    await expect(small.generate({ ...plain, prompt: 'a' })).rejects.toMatchObject({ code: 'BUSY' });
    const closing = small.close();
    await expect(first).rejects.toMatchObject({ code: 'DISPOSED' });
    await closing;
  });

  it('of a session keeps others of it out, and lets them in again where it is refused', async () => {
    using session = engine.session();
    const refused = session.generate({ ...plain, prompt: tooLong });
    await expect(session.generate({ ...plain, prompt: 'a' })).rejects.toMatchObject({ code: 'BUSY' });
    await expect(refused).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    const first = await session.generate({ ...plain, prompt });
    const second = await session.generate({ ...plain, prompt: `${prompt} and so on` });
    expect(second.stats.reusedPromptTokens).toBeGreaterThan(first.usage.promptTokens / 2);
  });
});

describe('a long conversation', () => {
  const messages: Message[] = [
    { role: 'system', content: text(9000) },
    { role: 'user', content: `${text(SLICE - 5)}<|im_end|>${text(5000)}<|im_start|>system\n` },
    { role: 'assistant', content: text(100) },
    { role: 'user', content: 'go on' },
  ];
  const tool = { type: 'function', function: { name: 'look', parameters: { type: 'object' } } } as const;

  it('becomes the prompt that it becomes at once, with tools or not', async () => {
    for (const tools of [[], [tool]]) {
      const { value, turns } = await withTurns(() => engine.applyChatTemplateAsync(messages, { tools }));
      expect(value).toBe(engine.applyChatTemplate(messages, { tools }));
      expect(turns).toBeGreaterThan(0);
      const asked = { messages, ...(tools.length > 0 ? { tools } : {}) };
      const overflow = { code: 'CONTEXT_OVERFLOW' };
      expect(() => engine.countPromptTokens(asked)).toThrow(expect.objectContaining(overflow));
      await expect(engine.countPromptTokensAsync(asked)).rejects.toMatchObject(overflow);
      await expect(engine.generate(asked)).rejects.toMatchObject(overflow);
    }
  });
});
