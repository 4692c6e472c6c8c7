// Many requests at once: prompts are read in pieces between steps and in turn, and who finds the queue full is told so.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdaptiveSpecError, Engine, StepReport } from '../../lib/index.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

const codeOf = (error: AdaptiveSpecError) => error.code;
/** Rows of prompts that are read between two steps (native/draft/drafter.h). */
const PIECE = 64;

describe('a long prompt', () => {
  let engine: Engine;
  beforeAll(async () => {
    // Every step waits for its plan, however busy the machine is, so that the order of events is that of the rounds.
    engine = await tinyEngine('target', 'draft', { parallel: 4, planDeadlineMs: 60_000 });
  });
  afterAll(() => engine.close());

  /** Ids of the requests in the order of their steps; `start` begins more at the first step of the first. */
  async function order(controller: (report: StepReport) => number, start: () => PromiseLike<unknown>[]) {
    const events: { id: number; report: StepReport }[] = [];
    let others: PromiseLike<unknown>[] | undefined;
    const off = engine.on('step', (report, id) => {
      events.push({ id, report });
      if (report.step === 1) others ??= start();
    });
    await engine.generate({ prompt: BEGINNINGS[0]!, maxTokens: 400, ignoreEos: true, controller });
    await Promise.all(others!);
    off();
    return events;
  }
  const prompt = (length: number, id: number) => Array.from({ length }, (_, i) => (i * 7 + id) % 100);

  it('is read piece by piece, and a running stream goes on in between', async () => {
    const events = await order(
      () => 0,
      () => [engine.generate({ prompt: prompt(401, 3), maxTokens: 4 })],
    );
    const first = events[0]!.id;
    const begun = events.findIndex(({ id }) => id !== first);
    const started = events.findIndex(({ report }) => report.step === 1);
    // 400 tokens in seven pieces, a step after each but the last.
    const between = events.slice(started + 1, begun);
    expect(between.length).toBeGreaterThanOrEqual(Math.ceil(400 / PIECE) - 1);
    expect(events[begun]!.report).toMatchObject({ step: 0, contextLength: 400 });
  });

  it('leaves its turn to a shorter one that came later', async () => {
    const events = await order(
      () => 0,
      () => [
        engine.generate({ prompt: prompt(450, 1), maxTokens: 4, controller: () => 0 }),
        engine.generate({ prompt: prompt(20, 2), maxTokens: 4, controller: () => 0 }),
      ],
    );
    const readAt = (length: number) =>
      events.findIndex(({ report }) => report.step === 0 && report.contextLength === length);
    expect(readAt(19)).toBeGreaterThan(0);
    expect(readAt(19)).toBeLessThan(readAt(449));
  });

  it('is read piece by piece by the draft too', async () => {
    const steps: StepReport[] = [];
    await order(
      () => 2,
      () => {
        const parts = engine
          .generate({ prompt: prompt(401, 5), maxTokens: 30, depth: 4, drafter: 'model' })
          .events();
        return [
          (async () => {
            for await (const part of parts) if (part.type === 'step') steps.push(part.step);
          })(),
        ];
      },
    );
    const behind = steps.filter(({ drafterLag }) => drafterLag > PIECE);
    // A step reads a piece of it: it takes several to catch up, and nothing is drafted in them.
    expect(behind.length).toBeGreaterThanOrEqual(Math.floor(400 / PIECE) - 1);
    for (const { drafted } of behind) expect(drafted).toBe(0);
    expect(steps.some(({ drafted }) => drafted > 0)).toBe(true);
  });
});

describe('the queue', () => {
  it('has an end, which says BUSY at once, and goes on when a request has ended', async () => {
    await using engine = await tinyEngine('target', 'draft', { queue: 2 });
    const request = { prompt: BEGINNINGS[0]!, maxTokens: 20 };
    const running = [1, 2, 3].map(() => engine.generate(request));
    await expect(engine.generate(request).catch(codeOf)).resolves.toBe('BUSY');
    await expect(engine.session().generate(request).catch(codeOf)).resolves.toBe('BUSY');
    expect(engine.pending).toBe(3);
    await running[0];
    const next = engine.generate(request);
    const results = await Promise.all([...running, next]);
    for (const { tokens } of results) expect(tokens).toEqual(results[0]!.tokens);
  });

  it('may be none: then only what runs is taken', async () => {
    await using engine = await tinyEngine('target', 'draft', { queue: 0, parallel: 2 });
    const request = { prompt: BEGINNINGS[1]!, maxTokens: 20 };
    const running = [engine.generate(request), engine.generate(request)];
    const refused = engine.generate(request);
    await expect(refused.catch(codeOf)).resolves.toBe('BUSY');
    running[0]!.abort();
    await Promise.all(running);
    expect((await engine.generate(request)).tokens.length).toBeGreaterThan(0);
  });

  it('is first in, first out', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const begun: number[] = [];
    engine.on('step', ({ step }, id) => step === 0 && begun.push(id));
    await Promise.all(BEGINNINGS.map((prompt) => engine.generate({ prompt, maxTokens: 10 })));
    expect(begun).toEqual([...begun].sort((a, b) => a - b));
    expect(begun).toHaveLength(BEGINNINGS.length);
  });
});

describe('maxMemory', () => {
  it('is checked before anything is loaded', async () => {
    await expect(tinyEngine('target', 'draft', { maxMemory: 1000 }).catch(codeOf)).resolves.toBe(
      'OUT_OF_MEMORY',
    );
    await using engine = await tinyEngine('target', 'draft', { maxMemory: 2 ** 32 });
    expect(engine.info.drafters).toContain('model');
  });
});
