// A test engine must do what an engine does: a user's test that passes on it says something of the real one.
import { describe, expect, it, vi } from 'vitest';
import { AdaptiveSpecError, type GenerationPart, type StepReport } from '../../lib/index.js';
import { createTestEngine } from '../../lib/testing/index.js';
import { SimulatedNative } from '../../lib/testing/simulated-native.js';

const prompt = 'Say something';
const messages = [{ role: 'user', content: 'What is the weather in Paris?' }];
const tools = [{ type: 'function', function: { name: 'get_weather' } }] as const;
const TEXT = 'one two three four five six seven eight nine ten';

const codeOf = (promise: PromiseLike<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof AdaptiveSpecError ? error.code : error),
  );

describe('text', () => {
  it('is the reply, whole and in pieces, with figures that add up', async () => {
    const engine = await createTestEngine({ replies: [TEXT, TEXT] });
    const generation = engine.generate({ prompt, steps: true, depth: 3 });
    let streamed = '';
    for await (const text of generation) streamed += text;
    const { text, tokens, finishReason, usage, stats, steps } = await generation;
    expect(streamed).toBe(TEXT);
    expect(text).toBe(TEXT);
    expect(finishReason).toBe('stop');
    expect(usage).toEqual({ promptTokens: 2, completionTokens: 11, totalTokens: 13 });
    expect(engine.detokenize(tokens)).toBe(TEXT);
    expect(stats.acceptedTokens + stats.steps).toBe(11);
    expect(steps).toHaveLength(stats.steps);
    expect(steps!.reduce((sum, { drafted }) => sum + drafted, 0)).toBe(stats.draftTokens);
    expect(stats.steps).toBeLessThan(11);
    expect((await engine.generate({ prompt, depth: 0 })).stats).toMatchObject({ steps: 11, draftTokens: 0 });
  });

  it('is the same on every run, and at every depth', async () => {
    const run = async (depth: number) => {
      const engine = await createTestEngine({ seed: 7, acceptance: 0.5 });
      const { text, steps } = await engine.generate({ prompt, depth, steps: true });
      return { text, steps };
    };
    expect(await run(4)).toEqual(await run(4));
    expect((await run(4)).text).toBe((await run(0)).text);
    expect((await run(4)).steps).not.toEqual((await run(2)).steps);
  });

  it.each([
    [0, 0],
    [1, 1],
  ])('is drafted as the acceptance says: %d', async (acceptance, rate) => {
    const engine = await createTestEngine({ acceptance, replies: [TEXT] });
    const { stats } = await engine.generate({ prompt, depth: 4 });
    expect(stats.acceptanceRate).toBe(rate);
    expect(stats.draftTokens).toBeGreaterThan(0);
  });

  it('ends where maxTokens, the context or a stop string end it', async () => {
    const engine = await createTestEngine({ reply: () => TEXT, contextSize: 16 });
    expect(await engine.generate({ prompt, maxTokens: 3 })).toMatchObject({
      text: 'one two three',
      finishReason: 'length',
    });
    const crowded = await engine.generate({ prompt: 'a b c d e f g h i j k l' });
    expect(crowded).toMatchObject({ text: 'one two three four', finishReason: 'length' });
    const generation = engine.generate({ prompt, stop: ['eight', 'ee f'], depth: 8 });
    let streamed = '';
    for await (const text of generation) streamed += text;
    expect(await generation).toMatchObject({ text: 'one two thr', finishReason: 'stop', stopString: 'ee f' });
    expect(streamed).toBe('one two thr');
  });
});

describe('replies', () => {
  it('are made from the request, and counted', async () => {
    const engine = await createTestEngine({
      reply: async ({ prompt, maxTokens }, index) => `${index}: ${prompt} ${maxTokens}`,
    });
    expect((await engine.generate({ prompt: 'a' })).text).toBe('0: a 256');
    expect((await engine.generate({ prompt: 'b', maxTokens: 9 })).text).toBe('1: b 9');
  });

  it('that no model could give are refused', async () => {
    const call = { toolCalls: [{ name: 'get_weather' }] };
    const engine = await createTestEngine({ replies: [call, call, 'no JSON', { text: 'a', json: 1 }] });
    expect(await codeOf(engine.generate({ messages }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(engine.generate({ messages, tools, toolChoice: 'none' }))).toBe('INVALID_ARGUMENT');
    const json = { messages, responseFormat: { type: 'json_object' } } as const;
    expect(await codeOf(engine.generate(json))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(engine.generate(json))).toBe('INVALID_ARGUMENT');
    await expect(engine.generate({ prompt })).rejects.toThrow('4 replies, and this is request 5');
    const twice = await createTestEngine({
      reply: () => ({ toolCalls: [...call.toolCalls, ...call.toolCalls] }),
    });
    expect(await codeOf(twice.generate({ messages, tools }))).toBe('INVALID_ARGUMENT');
  });

  it('have tool calls, with ids and words beside them', async () => {
    const toolCalls = [
      { name: 'get_weather', arguments: { city: 'Paris' } },
      { name: 'get_weather', arguments: '{"city": "Rome"}' },
    ];
    const engine = await createTestEngine({ replies: [{ text: 'Let me look.', toolCalls }] });
    const generation = engine.generate({ messages, tools, parallelToolCalls: true });
    const parts: GenerationPart[] = [];
    for await (const part of generation.events()) parts.push(part);
    expect(await generation).toMatchObject({
      finishReason: 'tool_calls',
      content: 'Let me look.',
      toolCalls: [
        { id: 'call_0', name: 'get_weather', parsed: { city: 'Paris' } },
        { id: 'call_1', name: 'get_weather', parsed: { city: 'Rome' } },
      ],
    });
    const said = parts.map((part) => (part.type === 'content' ? part.text : '')).join('');
    expect(said).toBe('Let me look.');
    const calls = parts.filter((part) => part.type === 'call');
    expect(calls).toEqual([
      { type: 'call', index: 0, id: 'call_0', name: 'get_weather' },
      { type: 'call', index: 1, id: 'call_1', name: 'get_weather' },
    ]);
    const written = ['', ''];
    for (const part of parts) if (part.type === 'arguments') written[part.index] += part.text;
    expect(written).toEqual(['{"city":"Paris"}', '{"city": "Rome"}']);
  });

  it('have a call as far as it goes where a limit cuts it', async () => {
    const toolCalls = [{ name: 'get_weather', arguments: '{"city": "a long name of a city"}' }];
    const engine = await createTestEngine({ reply: () => ({ text: 'Look:', toolCalls }) });
    for (let maxTokens = 1; maxTokens < 13; maxTokens++) {
      const generation = engine.generate({ messages, tools, maxTokens });
      let [content, written, names] = ['', '', 0];
      for await (const part of generation.events()) {
        if (part.type === 'content') content += part.text;
        if (part.type === 'arguments') written += part.text;
        if (part.type === 'call') names++;
      }
      const result = await generation;
      expect(result.finishReason).toBe(maxTokens < 12 ? 'length' : 'tool_calls');
      expect(result.content).toBe(content);
      expect(result.toolCalls).toHaveLength(names);
      expect(result.toolCalls![0]?.arguments ?? '').toBe(written);
      if (maxTokens < 11) expect(result.toolCalls![0]?.parsed).toBeUndefined();
    }
  });

  it('have JSON', async () => {
    const engine = await createTestEngine({ replies: [{ json: { age: 36 } }] });
    const { json } = await engine.generate({ messages, responseFormat: { type: 'json_object' } });
    expect(json).toEqual({ age: 36 });
  });

  it('fail where they say so, after their text', async () => {
    const overflow = new AdaptiveSpecError('BAD_LOGITS', 'A row is NaN', 'Use another model.');
    const engine = await createTestEngine({
      replies: [{ text: 'So far', error: overflow }, { error: new Error('gone') }, TEXT],
    });
    const generation = engine.generate({ prompt });
    let streamed = '';
    const reading = (async () => {
      for await (const text of generation) streamed += text;
    })();
    expect(await codeOf(reading)).toBe('BAD_LOGITS');
    expect(streamed).toBe('So far');
    await expect(engine.generate({ prompt })).rejects.toMatchObject({
      code: 'NATIVE_FAILURE',
      message: 'gone',
    });
    expect((await engine.generate({ prompt })).text).toBe(TEXT);
  });
});

describe('an engine', () => {
  it('checks requests as ever', async () => {
    const engine = await createTestEngine({ contextSize: 16 });
    expect(await codeOf(engine.generate({ prompt: 5 } as never))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(engine.generate({ prompt, temprature: 1 } as never))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(engine.generate({ prompt: 'word '.repeat(17) }))).toBe('CONTEXT_OVERFLOW');
    expect(await codeOf(engine.generate({ prompt, depth: 33 }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(engine.generate({ prompt, drafter: 'ngram' }))).toBe('INVALID_ARGUMENT');
  });

  it('asks controllers, and tells them and its listeners of every step', async () => {
    const engine = await createTestEngine({ replies: [TEXT] });
    const heard: StepReport[] = [];
    engine.on('step', (report) => heard.push(report));
    const depths: number[] = [];
    const { stats } = await engine.generate({
      prompt,
      controller: ({ step }) => {
        depths.push(step % 3);
        return step % 3;
      },
    });
    expect(heard.map(({ step }) => step)).toEqual(Array.from({ length: stats.steps + 1 }, (_, i) => i));
    expect(heard.slice(1).map(({ depth }) => depth)).toEqual(depths);
    expect(heard.map(({ text }) => text).join('')).toBe(TEXT);
    expect(stats.controller.calls).toBe(depths.length);
  });

  it('tells native code whether somebody waits for steps or text', async () => {
    const told: boolean[] = [];
    const spy = vi
      .spyOn(SimulatedNative.prototype, 'setFollowed')
      .mockImplementation((isFollowed) => void told.push(isFollowed));
    const engine = await createTestEngine({ reply: () => TEXT });
    await engine.generate({ prompt });
    expect(told).toEqual([]);
    const two = [engine.generate({ prompt }), engine.generate({ prompt })];
    await Promise.all(
      two.map(async (generation) => {
        for await (const text of generation) expect(text).not.toBe('');
      }),
    );
    expect(told).toEqual([true, false]);
    // Text that is there already is waited for by nobody.
    for await (const _ of two[0]!.events()) expect(told).toEqual([true, false]);
    const off = engine.on('step', () => {});
    expect(told).toEqual([true, false, true]);
    off();
    expect(told).toEqual([true, false, true, false]);
    spy.mockRestore();
  });

  it('heeds what a plan says of drafter, verification and steps', async () => {
    const engine = await createTestEngine({ replies: [TEXT], acceptance: 1, drafters: ['model', 'ngram'] });
    const heard: StepReport[] = [];
    engine.on('step', (report) => heard.push(report));
    let asked = 0;
    const plans = [{ depth: 3, verify: 1 }, { depth: 2, drafter: 'model', steps: 2 }, 0];
    await engine.generate({ prompt, drafter: 'ngram', controller: () => plans[asked++] ?? 1 });
    const told = heard.map(({ drafted, verified, accepted, drafter }) => [
      drafted,
      verified,
      accepted,
      drafter,
    ]);
    expect(told.slice(1, 5)).toEqual([
      [3, 1, 1, 'ngram'],
      [2, 2, 2, 'model'],
      [2, 2, 2, 'model'],
      [0, 0, 0, ''],
    ]);
  });

  it('runs every built-in controller', async () => {
    const { controllerNames } = await import('../../lib/index.js');
    const engine = await createTestEngine({ reply: () => TEXT });
    for (const controller of controllerNames) {
      const depth = controller === 'fixed' ? { depth: 3 } : {};
      expect((await engine.generate({ prompt, controller, ...depth })).text, controller).toBe(TEXT);
    }
  });

  it('survives a controller that throws', async () => {
    const warnings: string[] = [];
    const engine = await createTestEngine({
      replies: [TEXT],
      onWarning: ({ code }) => warnings.push(code),
    });
    const broken = () => {
      throw new Error('broken');
    };
    expect((await engine.generate({ prompt, controller: broken })).text).toBe(TEXT);
    expect(warnings).toEqual(['CONTROLLER_INVALID']);
  });

  it('stops at once when told to, in each of the ways', async () => {
    const engine = await createTestEngine({ reply: () => 'word '.repeat(1000) });
    const left = engine.generate({ prompt, maxTokens: 1000, controller: 'off' });
    for await (const _ of left) break;
    expect((await left).finishReason).toBe('aborted');
    expect((await left).stats.steps).toBeLessThan(10);

    const abort = new AbortController();
    const { signal } = abort;
    const controller = ({ step }: StepReport) => {
      if (step === 3) abort.abort(new Error('enough'));
      return 0;
    };
    await expect(engine.generate({ prompt, maxTokens: 1000, signal, controller })).rejects.toThrow('enough');
    const kept = engine.generate({ prompt, onAbort: 'return', signal: AbortSignal.abort() });
    expect(await kept).toMatchObject({ finishReason: 'aborted', text: '' });
  });

  it('runs so many requests at once and lets the others wait', async () => {
    let replied = 0;
    const engine = await createTestEngine({ parallel: 2, reply: () => `${TEXT} ${replied++}` });
    const loads: number[] = [];
    engine.on('step', ({ load }) => loads.push(load.running * 10 + load.waiting));
    const results = await Promise.all(Array.from({ length: 5 }, () => engine.generate({ prompt })));
    expect(results.map(({ text }) => text)).toEqual([0, 1, 2, 3, 4].map((i) => `${TEXT} ${i}`));
    expect(Math.max(...loads)).toBe(23);
    expect(loads.every((load) => load <= 23)).toBe(true);
    expect(engine.pending).toBe(0);
  });

  it('waits for what it was told to, and can be aborted meanwhile', async () => {
    const engine = await createTestEngine({ stepMs: 60_000 });
    const generation = engine.generate({ prompt });
    setImmediate(() => generation.abort());
    expect((await generation).finishReason).toBe('aborted');
  });

  it('ends what runs and what waits when it is closed', async () => {
    const engine = await createTestEngine({ stepMs: 60_000 });
    const codes = [codeOf(engine.generate({ prompt })), codeOf(engine.generate({ prompt }))];
    await engine.close();
    expect(await Promise.all(codes)).toEqual(['DISPOSED', 'DISPOSED']);
    expect(await codeOf(engine.generate({ prompt }))).toBe('DISPOSED');
    await engine.close();
  });

  it('says what it is', async () => {
    const engine = await createTestEngine({ drafters: ['model', 'ngram'] });
    expect(engine.info).toMatchObject({
      variant: 'simulated',
      drafters: ['model', 'ngram'],
      contextSize: 4096,
      hasChatTemplate: true,
    });
    expect(await engine.measure(3, { repeats: 2 })).toEqual([11.5, 11.5]);
    const none = await createTestEngine({ drafters: [], replies: [TEXT] });
    expect((await none.generate({ prompt, controller: () => 4 })).stats.draftTokens).toBe(0);
  });
});

describe('options', () => {
  it.each([
    [{ acceptance: 2 }],
    [{ acceptance: Number.NaN }],
    [{ seed: 0.5 }],
    [{ stepMs: -1 }],
    [{ drafters: 'model' }],
    [{ replies: 'Hello' }],
    [{ reply: 'Hello' }],
    [{ replies: [], reply: () => '' }],
    [{ reples: [] }],
    [{ contextSize: 0 }],
  ])('that are wrong are refused: %o', async (options) => {
    expect(await codeOf(createTestEngine(options as never))).toBe('INVALID_ARGUMENT');
  });
});
