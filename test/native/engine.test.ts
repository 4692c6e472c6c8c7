// Engines: what they refuse, what they say about it, and that nothing a caller passes brings the process down.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AdaptiveSpecError, createEngine, generate, unload } from '../../lib/index.js';
import { type TinyModelName, tinyModels } from '../tiny-models.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

const prompt = BEGINNINGS[0]!;

const OF_LLAMA_CPP = ['ngram-simple', 'ngram-map-k', 'ngram-map-k4v', 'ngram-mod', 'ngram-cache'];

describe('a draft that does not fit its target', () => {
  const CASES: [TinyModelName, RegExp][] = [
    ['draftTooBig', /200|128/],
    ['draftOtherTexts', /token \d+.*~other|~other.*token \d+/is],
    ['draftOtherBos', /BOS/i],
    ['draftHotBadMap', /draft_to_target/],
    ['draftHotBadReverse', /target_to_draft/],
    ['draftHotShort', /target_to_draft/],
    ['noTokenizer', /tokenizer|vocabulary/i],
  ];
  it.each(CASES)('is refused with the difference named: %s', async (draft, expected) => {
    const error = await tinyEngine('target', draft).then(
      (engine) => engine.close(),
      (error) => error,
    );
    expect(error).toBeInstanceOf(AdaptiveSpecError);
    expect(error.code).toBe('VOCAB_MISMATCH');
    expect(error.message).toMatch(expected);
    expect(error.hint).not.toBe('');
  });

  it('is accepted with up to 128 ids more or less, whose texts are equal otherwise', async () => {
    for (const pair of [
      ['target', 'draftPadded'],
      ['targetPadded', 'draft'],
    ] as const) {
      await using engine = await tinyEngine(...pair);
      expect(engine.info.drafters).toEqual(['model', 'ngram', 'hybrid', ...OF_LLAMA_CPP]);
    }
  });
});

describe('a model whose state cannot be rolled back', () => {
  it.each(['recurrent', 'hybrid'] as const)(
    'runs without speculation, with a warning: %s',
    async (target) => {
      const warnings: string[] = [];
      await using engine = await tinyEngine(target, 'draft', { warnings });
      expect(warnings.join()).toMatch(/can't be rolled back/);
      expect(engine.info.drafters).toEqual([]);
      const plain = await engine.generate({ prompt, maxTokens: 40, controller: 'off' });
      expect(plain.tokens).toHaveLength(40);
      for (const controller of [() => 8, 'adaptive'] as const) {
        const result = await engine.generate({ prompt, maxTokens: 40, controller });
        expect(result.tokens).toEqual(plain.tokens);
        expect(result.stats.draftTokens).toBe(0);
      }
    },
  );

  it('as a draft is not used, with a warning', async () => {
    const warnings: string[] = [];
    await using engine = await tinyEngine('target', 'recurrent', { warnings });
    expect(engine.info.drafters).toEqual(['ngram', ...OF_LLAMA_CPP]);
    expect(warnings.join()).toMatch(/draft is a recurrent/);
  });
});

describe('the drafter that a request names', () => {
  it('must be one that the engine has', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const error = await engine.generate({ prompt, maxTokens: 4, drafter: 'nope' }).then(
      () => undefined,
      (reason) => reason,
    );
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(error.message).toMatch(/no drafter named "nope"/);
    expect(error.hint).toBe(`It has: ${['model', 'ngram', 'hybrid', ...OF_LLAMA_CPP].join(', ')}.`);
    await expect(
      engine.generate({ prompt, maxTokens: 4, drafter: 7 as unknown as string }),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it("drafts for plans that name none, and gives way to a plan's own", async () => {
    await using engine = await tinyEngine('target', 'draft');
    const named = new Set<string>();
    await engine.generate({
      prompt,
      maxTokens: 120,
      drafter: 'ngram',
      controller: (report) => {
        if (report.drafted > 0) named.add(`${report.step % 2} ${report.drafter}`);
        return report.step % 2 === 0 ? { depth: 4, drafter: 'hybrid' } : 4;
      },
    });
    expect([...named].sort()).toEqual(['0 ngram', '1 hybrid']);
  });

  it('is the n-grams where there is no draft model', async () => {
    await using engine = await tinyEngine('target');
    expect(engine.info.drafters).toEqual(['ngram', ...OF_LLAMA_CPP]);
    const plain = await engine.generate({ prompt, maxTokens: 300, controller: 'off' });
    for (const drafter of [undefined, 'ngram']) {
      const { tokens, stats } = await engine.generate({
        ...{ prompt, maxTokens: 300, depth: 5 },
        ...(drafter === undefined ? {} : { drafter }),
      });
      expect(tokens).toEqual(plain.tokens);
      expect(stats.acceptedTokens).toBeGreaterThan(0);
    }
    await expect(engine.generate({ prompt, maxTokens: 4, drafter: 'model' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      hint: `It has: ${['ngram', ...OF_LLAMA_CPP].join(', ')}.`,
    });
  });

  it('cannot be any where the target runs without speculation', async () => {
    await using engine = await tinyEngine('recurrent');
    expect(engine.info.drafters).toEqual([]);
    await expect(engine.generate({ prompt, maxTokens: 4, drafter: 'ngram' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      hint: 'Its target runs without speculation.',
    });
  });
});

describe('a model whose logits are NaN', () => {
  it('ends the request with BAD_LOGITS and a hint, and the engine answers the next one', async () => {
    await using engine = await tinyEngine('targetNan', 'draft');
    const plain = await engine.generate({ prompt, maxTokens: 40, controller: 'off' });
    for (const controller of ['off', () => 4] as const) {
      const error = await engine
        .generate({ prompt: 'a ~', maxTokens: 40, controller })
        .catch((error) => error);
      expect(error).toBeInstanceOf(AdaptiveSpecError);
      expect(error.code).toBe('BAD_LOGITS');
      expect(error.hint).toMatch(/download/);
      const next = await engine.generate({ prompt, maxTokens: 40, controller });
      expect(next.tokens).toEqual(plain.tokens);
    }
  });

  it('as a draft drafts nothing, and the text is right', async () => {
    await using engine = await tinyEngine('target', 'draftNan');
    const plain = await engine.generate({ prompt: 'a ~', maxTokens: 40, controller: 'off' });
    const result = await engine.generate({ prompt: 'a ~', maxTokens: 40, controller: () => 4 });
    expect(result.tokens).toEqual(plain.tokens);
    expect(result.stats.draftTokens).toBe(0);
  });
});

describe('wrong options', () => {
  const WRONG: [object, RegExp][] = [
    [{ promt: 'x' }, /no option "promt"/],
    [{ prompt: 7 }, /prompt is 7/],
    [{ prompt: 'x', messages: [{ role: 'user', content: 'x' }] }, /both/],
    [{}, /neither/],
    [{ prompt: 'x', maxTokens: 1.5 }, /maxTokens is 1.5/],
    [{ prompt: 'x', temperature: Number.NaN }, /temperature is NaN/],
    [{ prompt: 'x', topP: 2 }, /topP is 2/],
    [{ prompt: 'x', acceptance: 'typical' }, /acceptance is "typical"/],
    [{ prompt: 'x', stop: '' }, /stop/],
    [{ prompt: 'x', stop: ['a', ''] }, /stop/],
    [{ prompt: 'x', seed: -1 }, /seed is -1/],
    [{ prompt: 'x', controller: 'clever' }, /clever/],
    [
      {
        prompt: 'x',
        controller: class {
          nextPlan() {}
        },
      },
      /class/,
    ],
    [{ prompt: 'x', controller: {} }, /controller/],
    [{ prompt: 'x', depth: 65 }, /depth is 65/],
    [{ prompt: 'x', depth: 4, controller: 'off' }, /depth/],
    [{ prompt: 'x', signal: {} }, /signal is an object/],
    [{ prompt: [] }, /no tokens/],
    [{ prompt: '' }, /no tokens/],
    [{ prompt: [0.5] }, /no id/],
    [{ prompt: [-1] }, /no id/],
    [{ prompt: [1, 2, 1e6] }, /Token 2 /],
    [{ prompt: ['1'] }, /no id/],
    [{ messages: [{ role: 'user' }] }, /messages\.0\.content/],
  ];
  it.each(WRONG)('reject with INVALID_ARGUMENT and lose nothing: %o', async (options, expected) => {
    const models = await tinyModels();
    const error = await generateWith(models.target, options);
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(error.message).toMatch(expected);
    expect(error.hint).not.toBe('');
  });

  async function generateWith(model: string, options: object) {
    const all = Object.defineProperties(
      { model, contextSize: 512 },
      Object.getOwnPropertyDescriptors(options),
    );
    return generate(all as never).then(
      () => expect.unreachable(),
      (error) => error,
    );
  }

  it('that throw when they are read are wrong too', async () => {
    const options = Object.defineProperty({}, 'prompt', {
      enumerable: true,
      get() {
        throw new Error('boo');
      },
    });
    await expect(generate(options)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('name the engine option that was meant', async () => {
    await expect(createEngine({ modell: 'x' } as never)).rejects.toMatchObject({
      hint: "Did you mean 'model'?",
    });
  });

  it.each([null, 7, 'x', []])('that are no object: %o', async (options) => {
    await expect(generate(options as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('ask for a depth beyond the largest, with a draft model or without', async () => {
    for (const draft of ['draft', undefined] as const) {
      await using engine = await tinyEngine('target', draft, { maxDepth: 6 });
      await expect(engine.generate({ prompt, depth: 7 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      expect((await engine.generate({ prompt, maxTokens: 5, depth: 6 })).tokens).toHaveLength(5);
    }
  });

  it("ask for kernels that this CPU can't run", async () => {
    const error = await tinyEngine('target', undefined, { kernels: 'amx' }).then(
      async (engine) => {
        await engine.close();
        return engine.info.kernels; // a CPU with AMX
      },
      (error) => error,
    );
    if (error === 'amx') return;
    expect(error).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringMatching(/'amx'/) });
    expect(error.hint).toMatch(/^Use auto, .*ggml\.$/);
  });

  it('ask for more context than the model has, or for impossible memory', async () => {
    await expect(tinyEngine('target', undefined, { contextSize: 1e6 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(
      tinyEngine('target', undefined, { contextSize: 2048, parallel: 64, maxDepth: 64, batchSize: 8192 }),
    ).resolves.toBeTruthy();
  });

  it('name a prompt that is longer than the context, at any length', async () => {
    await using engine = await tinyEngine('target');
    for (const long of ['x'.repeat(2000), 'x'.repeat(5e6), Array(600).fill(5), new Array(4e9)])
      await expect(engine.generate({ prompt: long as string })).rejects.toMatchObject({
        code: 'CONTEXT_OVERFLOW',
      });
  });
});

describe('a prompt of few and long tokens', () => {
  it('is not refused by its length where it fits, and is where it can not', async () => {
    await using engine = await tinyEngine('target');
    const { contextSize, vocabularySize } = engine.info;
    const pieces = Array.from({ length: vocabularySize }, (_, id) => engine.detokenize([id]));
    const longest = pieces.reduce((most, piece) => (piece.length > most.length ? piece : most));
    let prompt = longest;
    while (engine.tokenize(prompt + longest).length < contextSize) prompt += longest;
    expect(prompt.length).toBeGreaterThan(contextSize);
    const generation = engine.generate({ prompt, maxTokens: 1 });
    expect(generation.promptTokens).toBe(engine.tokenize(prompt).length);
    await generation;
    // Without an answer from the tokenizer, which would tell their number.
    await expect(engine.generate({ prompt: prompt.repeat(100) })).rejects.toMatchObject({
      code: 'CONTEXT_OVERFLOW',
      message: expect.stringMatching(/characters/),
    });
  });
});

describe('text of every kind', () => {
  it('goes through the tokenizer and back', async () => {
    await using engine = await tinyEngine('target');
    for (const text of ['héllo — 😀', ' \n\t', '\0', 'a\0b', '日本語', 'x'.repeat(400)])
      expect(engine.detokenize(engine.tokenize(text)), JSON.stringify(text)).toBe(text);
    // A lone surrogate is no character; it becomes the one that stands for such.
    expect(engine.detokenize(engine.tokenize('\ud800'))).toBe('\uFFFD');
    expect(engine.tokenize('<|im_end|>')).toHaveLength(1);
    expect(engine.tokenize('<|im_end|>', { parseSpecial: false }).length).toBeGreaterThan(1);
  });

  it("goes through the model's chat template", async () => {
    await using engine = await tinyEngine('target');
    const words = engine.applyChatTemplate([{ role: 'user', content: 'hello' }]);
    expect(words).toBe('<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n');
    const byMessages = await engine.generate({
      messages: [{ role: 'user', content: 'hello' }],
      maxTokens: 20,
    });
    expect(byMessages.tokens).toEqual((await engine.generate({ prompt: words, maxTokens: 20 })).tokens);
  });
});

describe('a closed engine', () => {
  it('answers every use with DISPOSED, and closing again is no error', async () => {
    const engine = await tinyEngine('target', 'draft');
    const running = engine.generate({ prompt, maxTokens: 400 });
    const closing = engine.close();
    await expect(running).rejects.toMatchObject({ code: 'DISPOSED' });
    await Promise.all([closing, engine.close()]);
    await expect(engine.generate({ prompt })).rejects.toMatchObject({ code: 'DISPOSED' });
    for (const use of [
      () => engine.tokenize('x'),
      () => engine.detokenize([1]),
      () => engine.applyChatTemplate([{ role: 'user', content: 'x' }]),
    ])
      expect(use).toThrow(AdaptiveSpecError);
  });

  it('is what `await using` leaves behind', async () => {
    let engine: Awaited<ReturnType<typeof tinyEngine>>;
    {
      await using inner = await tinyEngine('target');
      engine = inner;
    }
    await expect(engine.generate({ prompt })).rejects.toMatchObject({ code: 'DISPOSED' });
  });
});

describe('listeners', () => {
  it('hear steps and finishes of every request, until they are taken off', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const heard: string[] = [];
    const off = engine.on('step', (report, id) => heard.push(`${id}:${report.step}`));
    engine.on('finish', (result, id) => heard.push(`${id} ${result.finishReason}`));
    await engine.generate({ prompt, maxTokens: 1, depth: 3 });
    expect(heard).toEqual(['1:0', '1:1', '1 length']);
    off();
    await engine.generate({ prompt, maxTokens: 1 });
    expect(heard).toHaveLength(4);
    let closed = false;
    engine.on('close', () => {
      closed = true;
    });
    await engine.close();
    expect(closed).toBe(true);
  });
});

describe('generate()', () => {
  it('loads an engine once, keeps it, and loads anew after unload()', async () => {
    const models = await tinyModels();
    const loads: number[] = [];
    const options = {
      model: models.target,
      draft: models.draft,
      prompt,
      maxTokens: 10,
      onProgress: ({ done }: { done: number }) => loads.push(done),
    };
    const results = await Promise.all([generate(options), generate(options), generate(options)]);
    expect(results[1]!.tokens).toEqual(results[0]!.tokens);
    expect(loads.filter((done) => done === 1)).toHaveLength(2); // target and draft
    await unload();
    await generate(options);
    expect(loads.filter((done) => done === 1)).toHaveLength(4);
    await unload();
  });

  it('can be aborted while its engine loads', async () => {
    const models = await tinyModels();
    const controller = new AbortController();
    const generation = generate({ model: models.target, prompt, signal: controller.signal });
    controller.abort(new Error('changed my mind'));
    await expect(generation).rejects.toThrow('changed my mind');
    await unload();
  });

  it('makes room for a depth that is asked for by number', async () => {
    const models = await tinyModels();
    const result = await generate({
      model: models.target,
      draft: models.draftPerfect,
      prompt,
      maxTokens: 129,
      depth: 64,
      steps: true,
    });
    expect(result.steps![0]).toEqual({ depth: 64, drafted: 64, accepted: 64 });
    await unload();
  });
});

describe('threads', () => {
  it('are no more than the process may use', async () => {
    await using engine = await tinyEngine('target', 'draft', { threads: 4096, draftThreads: 4096 });
    const limit = (await import('node:os')).availableParallelism();
    expect(engine.info.threads).toBe(limit);
    expect(engine.info.draftThreads).toBe(limit);
  });

  it('do not change the text', async () => {
    const texts: number[][] = [];
    for (const threads of [1, 2]) {
      await using engine = await tinyEngine('target', 'draft', { threads, draftThreads: 3 - threads });
      texts.push((await engine.generate({ prompt, maxTokens: 100, depth: 4 })).tokens);
    }
    expect(texts[1]).toEqual(texts[0]);
  });
});

describe('a measurement', () => {
  it('is as many times as were asked for, and leaves texts as they are', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const before = await engine.generate({ prompt, maxTokens: 50, depth: 4 });
    for (const [rows, options] of [
      [1, {}],
      [33, { repeats: 3 }],
      [5, { contextLength: 100, repeats: 4, logits: 'last' }],
    ] as const) {
      const ms = await engine.measure(rows, options);
      expect(ms).toHaveLength('repeats' in options ? options.repeats : 1);
      for (const one of ms) expect(one).toBeGreaterThan(0);
    }
    // One that is asked for while a request runs waits for its end.
    const [during, ms] = await Promise.all([
      engine.generate({ prompt, maxTokens: 50, depth: 4 }),
      engine.measure(3, { contextLength: 10 }),
    ]);
    expect(during.tokens).toEqual(before.tokens);
    expect(ms).toHaveLength(1);
  });

  it.each([
    [0, {}, /rows is 0/],
    [1.5, {}, /rows is 1\.5/],
    [34, {}, /rows is 34/],
    [1, { contextLength: 1e9 }, /contextLength is/],
    [1, { repeats: Number.NaN }, /repeats is NaN/],
    [1, { logits: 'some' as 'all' }, /logits is some/],
  ])('that the engine was not made for is refused: %s rows, %j', async (rows, options, message) => {
    await using engine = await tinyEngine('target', 'draft');
    expect(() => engine.measure(rows, options)).toThrow(message);
  });

  it('that is cut short by close is rejected', async () => {
    const engine = await tinyEngine('target', 'draft');
    const measurement = engine.measure(9, { repeats: 10_000 });
    const refused = expect(measurement).rejects.toMatchObject({ code: 'DISPOSED' });
    await engine.close();
    await refused;
  });
});

describe('memory options', () => {
  it.each([
    { mmap: false },
    { mlock: true },
    { flashAttention: 'on' },
    { kvCacheType: 'f32' },
    { flashAttention: 'off' },
    { batchSize: 16 },
    { contextSize: 64, batchSize: 512 },
    { numa: 'distribute' },
  ] as const)('give a text with and without drafts: %o', async (options) => {
    await using engine = await tinyEngine('target', 'draft', { ...options, warnings: [] });
    const plain = await engine.generate({ prompt, maxTokens: 40, controller: 'off' });
    expect(plain.tokens).toHaveLength(40);
    expect((await engine.generate({ prompt, maxTokens: 40, depth: 5 })).tokens).toEqual(plain.tokens);
  });

  it('interleave weights and caches over the NUMA nodes', async () => {
    // In a process of its own: ggml's NUMA strategies above are set once per process.
    const { target, draft } = await tinyModels();
    const script = `
      import { createEngine } from ${JSON.stringify(join(process.cwd(), 'dist/index.js'))};
      import { readFileSync } from 'node:fs';
      const count = () => readFileSync('/proc/self/numa_maps', 'utf8').split('\\n').filter((l) => / interleave/.test(l)).length;
      const before = count();
      const engine = await createEngine({ model: ${JSON.stringify(target)}, draft: ${JSON.stringify(draft)}, numa: 'interleave', contextSize: 512 });
      const { tokens } = await engine.generate({ prompt: 'the', maxTokens: 20, depth: 4 });
      console.log(JSON.stringify({ before, after: count(), tokens: tokens.length }));
      await engine.close();`;
    try {
      readFileSync('/proc/self/numa_maps');
    } catch {
      return; // A kernel without NUMA cannot show where memory is.
    }
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    const { before, after, tokens } = JSON.parse(output);
    expect(tokens).toBe(20);
    expect(before).toBe(0);
    expect(after).toBeGreaterThan(0);
  });
});
