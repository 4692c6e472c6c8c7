// Sessions: what a conversation has read is reused, and no text may tell that it was; a file is whole and this engine's, or
// it is refused.
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdaptiveSpecError, Engine, EngineOptions, RequestOptions } from '../../lib/index.js';
import type { TinyModelName } from '../tiny-models.js';
import { BEGINNINGS, random, tinyEngine } from './tiny-engine.js';

const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-sessions-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Tokens that two texts begin with alike, the prompt's last one left out. */
function commonPrefix(cached: readonly number[], prompt: readonly number[]): number {
  let same = 0;
  while (same < Math.min(cached.length, prompt.length - 1) && cached[same] === prompt[same]) same++;
  return same;
}

const codeOf = (error: AdaptiveSpecError) => error.code;

/** A conversation that goes on, goes back and begins anew, with settings that change from turn to turn. */
async function converse(
  engine: Engine,
  fresh: Engine,
  seed: number,
  { turns, branches = 0 }: { turns: number; branches?: number },
): Promise<{ reused: number; drafted: number }> {
  const next = random(seed);
  const below = (n: number) => Math.floor(next() * n);
  const session = engine.session();
  let text: number[] = [];
  let cached: number[] = [];
  const sum = { reused: 0, drafted: 0 };
  for (let turn = 0; turn < turns; turn++) {
    // Go back now and then, to any place.
    if (next() < 0.3) text = text.slice(0, below(text.length + 1));
    text.push(...engine.tokenize(BEGINNINGS[below(BEGINNINGS.length)]!, { addSpecial: text.length === 0 }));
    for (let i = below(90); i > 0; i--) text.push(below(100));
    if (text.length > 380) text = text.slice(0, 40 + below(200));
    const drafters = ['model', 'ngram', 'hybrid'];
    const request: RequestOptions = {
      prompt: text,
      maxTokens: 1 + below(90),
      ignoreEos: next() < 0.5,
      controller: () => ({ depth: below(20), drafter: drafters[below(3)]! }),
      ...(branches > 0 ? { tree: below(10) } : {}),
      ...(next() < 0.4 ? { temperature: 0.8, topK: 30, seed: turn } : {}),
    };
    const result = await session.generate(request);
    const { tree: _tree, ...plainRequest } = request;
    const plain = await fresh.generate({ ...plainRequest, controller: 'off' });
    expect(result.tokens, `seed ${seed}, turn ${turn}`).toEqual(plain.tokens);
    expect(result.usage).toEqual(plain.usage);
    const reused = result.stats.reusedPromptTokens;
    const most = commonPrefix(cached, text);
    // What was accepted beside a chain last is not in order in the cache, and is read again; else all but the last.
    expect(reused, `seed ${seed}, turn ${turn}`).toBeLessThanOrEqual(most);
    expect(reused).toBeGreaterThanOrEqual(Math.min(most, cached.length - 1 - (branches > 0 ? 16 : 0)));
    expect(plain.stats.reusedPromptTokens).toBe(0);
    sum.reused += reused;
    sum.drafted += result.stats.draftTokens;
    text = [...text, ...result.tokens];
    cached = [...text];
  }
  session.close();
  return sum;
}

const PAIRS: [TinyModelName, TinyModelName, EngineOptions][] = [
  ['target', 'draft', {}],
  ['target', 'draftPerfect', { flashAttention: 'off' }],
  ['target', 'draft', { branches: 4 }],
  ['target', 'draft', { batchSize: 32, kvCacheType: 'f32' }],
  ['targetWithEog', 'draftWithEog', {}],
  ['swa', 'swaDraft', {}],
];

describe.each(PAIRS)('a conversation on %s with %s, %j', (target, draft, options) => {
  it('has the text of plain decoding from nothing, token for token, wherever it goes on', async () => {
    await using engine = await tinyEngine(target, draft, options);
    await using fresh = await tinyEngine(target, undefined, { ...options, branches: 0 });
    const sum = { reused: 0, drafted: 0 };
    for (let seed = 1; seed <= 4; seed++) {
      const { reused, drafted } = await converse(engine, fresh, seed, { turns: 9, ...options });
      sum.reused += reused;
      sum.drafted += drafted;
    }
    expect(sum.reused).toBeGreaterThan(1000);
    expect(sum.drafted).toBeGreaterThan(100);
  });
});

describe('sessions of one engine', () => {
  it('keep as many texts as there are slots, and the one used least recently makes room', async () => {
    await using engine = await tinyEngine('target', 'draft', { parallel: 2 });
    const prompts = BEGINNINGS.map((text) => [...engine.tokenize(text.repeat(4))]);
    const [a, b, c] = [engine.session(), engine.session(), engine.session()];
    const reusedBy = async (session: typeof a, prompt: number[]) =>
      (await session.generate({ prompt, maxTokens: 8 })).stats.reusedPromptTokens;
    expect(await reusedBy(a, prompts[0]!)).toBe(0);
    expect(await reusedBy(b, prompts[1]!)).toBe(0);
    expect(await reusedBy(a, prompts[0]!)).toBe(prompts[0]!.length - 1);
    expect(await reusedBy(b, prompts[1]!)).toBe(prompts[1]!.length - 1);
    // Takes the place of a.
    expect(await reusedBy(c, prompts[2]!)).toBe(0);
    expect(await reusedBy(b, prompts[1]!)).toBe(prompts[1]!.length - 1);
    expect(await reusedBy(a, prompts[0]!)).toBe(0);
    // A request without a session takes the place of b, which a's made the least recently used.
    expect(await reusedBy(b, prompts[1]!)).toBe(prompts[1]!.length - 1);
    await engine.generate({ prompt: prompts[3]!, maxTokens: 4 });
    expect(await reusedBy(b, prompts[1]!)).toBe(prompts[1]!.length - 1);
    expect(await reusedBy(a, prompts[0]!)).toBe(0);
  });

  it('give their cells back when they are closed, while a request runs too', async () => {
    await using engine = await tinyEngine('target', 'draft', { parallel: 2 });
    const prompt = BEGINNINGS[0]!;
    const kept = engine.session();
    await kept.generate({ prompt, maxTokens: 4 });
    const closed = engine.session();
    const running = closed.generate({ prompt: BEGINNINGS[1]!, maxTokens: 50, ignoreEos: true });
    closed.close();
    expect((await running).tokens).toHaveLength(50);
    await expect(closed.generate({ prompt }).catch(codeOf)).resolves.toBe('DISPOSED');
    // There is room beside the other one again.
    await engine.generate({ prompt: BEGINNINGS[2]!, maxTokens: 4 });
    expect((await kept.generate({ prompt, maxTokens: 4 })).stats.reusedPromptTokens).toBeGreaterThan(0);
  });

  it('run one request each at a time', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const session = engine.session();
    const first = session.generate({ prompt: BEGINNINGS[0]!, maxTokens: 30 });
    expect(session.isRunning).toBe(true);
    await expect(session.generate({ prompt: BEGINNINGS[0]! }).catch(codeOf)).resolves.toBe('BUSY');
    await expect(session.save(join(folder, 'busy')).catch(codeOf)).resolves.toBe('BUSY');
    await first;
    expect(session.isRunning).toBe(false);
    expect(session.length).toBeGreaterThan(30);
    // What is wrong with a request leaves the session free.
    await expect(session.generate({ prompt: [-1] }).catch(codeOf)).resolves.toBe('INVALID_ARGUMENT');
    await expect(session.generate({} as RequestOptions).catch(codeOf)).resolves.toBe('INVALID_ARGUMENT');
    await session.generate({ prompt: BEGINNINGS[0]!, maxTokens: 3 });
  });

  it('go on after an abort, a measurement and a request without a session', async () => {
    await using engine = await tinyEngine('target', 'draft');
    await using fresh = await tinyEngine('target');
    const session = engine.session();
    const prompt = [...engine.tokenize(BEGINNINGS.join(' '))];
    const expected = (await fresh.generate({ prompt, maxTokens: 60 })).tokens;
    const aborted = session.generate({ prompt, maxTokens: 400, ignoreEos: true, depth: 5 });
    for await (const part of aborted.events()) if (part.type === 'step' && part.step.step > 3) break;
    await aborted;
    const after = await session.generate({ prompt, maxTokens: 60, depth: 5 });
    expect(after.stats.reusedPromptTokens).toBe(prompt.length - 1);
    expect(after.tokens).toEqual(expected);
    await engine.measure(4, { contextLength: 20 });
    const measured = await session.generate({ prompt, maxTokens: 60, depth: 5 });
    expect(measured.stats.reusedPromptTokens).toBe(0);
    expect(measured.tokens).toEqual(expected);
    await engine.generate({ prompt: BEGINNINGS[3]!, maxTokens: 30, depth: 5 });
    expect((await session.generate({ prompt, maxTokens: 60, depth: 5 })).tokens).toEqual(expected);
  });

  it('lose what they have read with a request that fails', async () => {
    await using engine = await tinyEngine('targetNan', 'draft');
    const session = engine.session();
    const prompt = BEGINNINGS[0]!;
    const { tokens } = await session.generate({ prompt, maxTokens: 20 });
    await expect(session.generate({ prompt: `${prompt} ~ x` }).catch(codeOf)).resolves.toBe('BAD_LOGITS');
    const after = await session.generate({ prompt, maxTokens: 20 });
    expect(after.stats.reusedPromptTokens).toBe(0);
    expect(after.tokens).toEqual(tokens);
  });

  it('read every prompt whole where the state of a part is not to be had', async () => {
    const warnings: string[] = [];
    await using engine = await tinyEngine('recurrent', undefined, { warnings });
    expect(engine.info.sessions).toBe('none');
    await using sliding = await tinyEngine('swa', undefined, { parallel: 2 });
    expect(sliding.info.sessions).toBe('none');
    for (const each of [engine, sliding]) {
      const session = each.session();
      const prompt = BEGINNINGS[0]!;
      const first = await session.generate({ prompt, maxTokens: 20 });
      const second = await session.generate({ prompt, maxTokens: 20 });
      expect(second.tokens).toEqual(first.tokens);
      expect(second.stats.reusedPromptTokens).toBe(0);
      await expect(session.save(join(folder, 'none')).catch(codeOf)).resolves.toBe('UNSUPPORTED');
      await expect(each.session({ restore: join(folder, 'none') }).catch(codeOf)).resolves.toBe(
        'UNSUPPORTED',
      );
    }
    await using alone = await tinyEngine('swa');
    expect(alone.info.sessions).toBe('reuse');
  });
});

describe('a saved session', () => {
  const path = join(folder, 'session');
  let prompt: number[];
  let engine: Engine;

  beforeAll(async () => {
    engine = await tinyEngine('target', 'draft');
    prompt = [...engine.tokenize(BEGINNINGS.join(' '))];
    const session = engine.session();
    const { tokens } = await session.generate({ prompt, maxTokens: 40, depth: 4, drafter: 'model' });
    prompt.push(...tokens);
    const { length } = prompt;
    prompt.push(...engine.tokenize(BEGINNINGS[1]!, { addSpecial: false }));
    await session.save(path);
    // Saving is no part of the conversation.
    const after = await session.generate({ prompt, maxTokens: 30 });
    expect(after.stats.reusedPromptTokens).toBe(length);
  });
  afterAll(() => engine.close());

  it('goes on in another engine, with both caches and the text of plain decoding', async () => {
    const expected = (await engine.generate({ prompt, maxTokens: 60, controller: 'off' })).tokens;
    await using other = await tinyEngine('target', 'draft', { parallel: 2 });
    const session = await other.session({ restore: path });
    const saved = session.length;
    const generation = session.generate({ prompt, maxTokens: 60, depth: 4, drafter: 'model' });
    const reports = [];
    for await (const part of generation.events()) if (part.type === 'step') reports.push(part.step);
    const result = await generation;
    expect(result.tokens).toEqual(expected);
    expect(result.stats.reusedPromptTokens).toBe(saved);
    // The draft has what it had read: the prompt's new part and a few tokens are all that it lacks.
    expect(reports[0]!.drafterLag).toBeLessThan(prompt.length - saved + 8);
    // And saved again, after others have taken its place.
    await Promise.all(BEGINNINGS.map((text) => other.generate({ prompt: text, maxTokens: 5 })));
    await session.save(join(folder, 'again'));
    const again = await engine.session({ restore: join(folder, 'again') });
    expect(again.length).toBe(prompt.length + 60);
    expect(statSync(join(folder, 'again')).mode & 0o777).toBe(0o600);
  });

  it.each([
    ['another model', 'targetPadded', 'draft', {}],
    ['another draft', 'target', 'draftBad', {}],
    ['no draft', 'target', undefined, {}],
    ['another cache type', 'target', 'draft', { kvCacheType: 'f32' }],
    ['other kernels', 'target', 'draft', { kernels: 'ggml' }],
    ['another attention', 'target', 'draft', { flashAttention: 'off' }],
  ] as const)('is refused by an engine with %s', async (_, target, draft, options) => {
    await using other = await tinyEngine(target, draft, options);
    await expect(other.session({ restore: path }).catch(codeOf)).resolves.toBe('SESSION_INVALID');
  });

  it('is refused by an engine with too small a context', async () => {
    await using other = await tinyEngine('target', 'draft', { contextSize: 32 });
    await expect(other.session({ restore: path }).catch(codeOf)).resolves.toBe('SESSION_INVALID');
  });

  it('is refused where a byte of it is another, or any of it is missing', async () => {
    const whole = readFileSync(path);
    const damaged = join(folder, 'damaged');
    const next = random(3);
    // The beginning, where all lengths are, and places all over.
    const places = [
      ...Array(420).keys(),
      ...Array.from({ length: 60 }, () => Math.floor(next() * whole.length)),
    ];
    for (const place of [...places, whole.length - 1]) {
      const bytes = Buffer.from(whole);
      bytes[place]! ^= 1 << Math.floor(next() * 8);
      writeFileSync(damaged, bytes);
      const code = await Promise.resolve(engine.session({ restore: damaged })).then(() => 'none', codeOf);
      expect(code, `byte ${place}`).toBe('SESSION_INVALID');
    }
    for (const length of [0, 10, 27, 28, 200, 500, whole.length - 1]) {
      writeFileSync(damaged, whole);
      truncateSync(damaged, length);
      await expect(engine.session({ restore: damaged }).catch(codeOf)).resolves.toBe('SESSION_INVALID');
    }
    writeFileSync(damaged, Buffer.concat([whole, Buffer.alloc(1)]));
    await expect(engine.session({ restore: damaged }).catch(codeOf)).resolves.toBe('SESSION_INVALID');
    expect((await engine.generate({ prompt, maxTokens: 3 })).tokens).toHaveLength(3);
  });

  it('has a place that can be read and written', async () => {
    const missing = join(folder, 'missing/session');
    await expect(engine.session({ restore: missing }).catch(codeOf)).resolves.toBe('SESSION_FAILED');
    await expect(engine.session({ restore: folder }).catch(codeOf)).resolves.toBe('SESSION_FAILED');
    const session = engine.session();
    await expect(session.save(path).catch(codeOf)).resolves.toBe('INVALID_ARGUMENT');
    await session.generate({ prompt, maxTokens: 3 });
    await expect(session.save(missing).catch(codeOf)).resolves.toBe('SESSION_FAILED');
    await expect(session.save('').catch(codeOf)).resolves.toBe('INVALID_ARGUMENT');
    expect(() => engine.session({ restor: path } as never)).toThrow(/restor/);
    await expect(engine.session({ restore: '' }).catch(codeOf)).resolves.toBe('INVALID_ARGUMENT');
  });
});
