// Steps of plain decoding cross together: none may be lost, come twice, or say anything else than one told by itself.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, RequestOptions, StepReport } from '../../lib/index.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

const numbersTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);
/** A report as it may be kept. */
const kept = (report: StepReport) => ({ ...report, tokens: [...report.tokens] });

describe('plain steps', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await tinyEngine('target', 'draft', { parallel: 4, planDeadlineMs: 60_000 });
  });
  afterAll(() => engine.close());

  const request = (i: number, options: Partial<RequestOptions>): RequestOptions => ({
    prompt: BEGINNINGS[i % BEGINNINGS.length]!,
    maxTokens: 300,
    ignoreEos: true,
    ...options,
  });
  /** A controller that plans nothing for so many steps, and keeps what it is told. */
  function plain(steps: number) {
    const heard: ReturnType<typeof kept>[] = [];
    const controller = {
      name: 'plain',
      nextPlan(report: StepReport) {
        heard.push(kept(report));
        return { depth: 0, steps };
      },
      observe: (report: StepReport) => void heard.push(kept(report)),
    };
    return { heard, controller };
  }

  it('are all told to a controller, in order, where nobody follows', async () => {
    const requests = [1, 3, 64, 256].map(plain);
    const results = await Promise.all(
      requests.map(({ controller }, i) => engine.generate(request(i, { controller }))),
    );
    for (const [i, { heard }] of requests.entries()) {
      const { tokens, text } = results[i]!;
      // All but the last step, after which no plan is wanted.
      expect(heard.map(({ step }) => step)).toEqual([0, ...numbersTo(299)]);
      expect(heard.flatMap((report) => report.tokens)).toEqual(tokens.slice(0, -1));
      expect(text.startsWith(heard.map((report) => report.text).join(''))).toBe(true);
      for (const report of heard.slice(1)) {
        const { step, position, contextLength, rows, drafted, verifyMs, drafter, late } = report;
        expect({ position, rows, drafted, drafter, late }).toEqual({
          ...{ position: step, rows: 1, drafted: 0, drafter: '', late: false },
        });
        expect(contextLength).toBe(heard[0]!.contextLength + step);
        expect(verifyMs).toBeGreaterThan(0);
      }
    }
  });

  it('are told to listeners as they are to a controller', async () => {
    const { heard, controller } = plain(100);
    const told: ReturnType<typeof kept>[] = [];
    const off = engine.on('step', (report) => told.push(kept(report)));
    const generation = engine.generate(request(0, { controller }));
    const parts: string[] = [];
    let texts = '';
    for await (const part of generation.events()) {
      parts.push(part.type);
      if (part.type === 'text') texts += part.text;
    }
    off();
    expect(told.slice(0, -1)).toEqual(heard);
    expect(told.at(-1)).toMatchObject({ step: 300, position: 300 });
    const { text } = await generation;
    expect(texts).toBe(text);
    expect(told.map((report) => report.text).join('')).toBe(text);
    // A step's text comes behind its report, and in front of the next one's.
    const wanted = told.flatMap((report) => (report.text === '' ? ['step'] : ['step', 'text']));
    expect(parts).toEqual([...wanted, 'finish']);
  });

  it('keep their text for who comes late', async () => {
    const generation = engine.generate(request(1, { controller: 'off' }));
    const { text } = await generation;
    let late = '';
    for await (const piece of generation) late += piece;
    expect(late).toBe(text);
  });

  it('outlive a controller that takes the exchange away between two of them', async () => {
    const { heard, controller } = plain(50);
    const thief = {
      ...controller,
      observe(report: StepReport) {
        heard.push(kept(report));
        // Takes the memory away, as posting it to a worker does.
        structuredClone(report.tokens.buffer, { transfer: [report.tokens.buffer as ArrayBuffer] });
      },
    };
    const { tokens } = await engine.generate(request(2, { controller: thief }));
    expect(heard.flatMap((report) => report.tokens)).toEqual(tokens.slice(0, -1));
  });

  it('are the same text under a held plan as without a controller', async () => {
    const [held, off] = await Promise.all([
      engine.generate(request(3, { controller: plain(256).controller })),
      engine.generate(request(3, { controller: 'off' })),
    ]);
    expect(held.tokens).toEqual(off.tokens);
  });
});

it('a plan holds no longer than the load that it was made for', async () => {
  await using engine = await tinyEngine('target', 'draft', { parallel: 4, planDeadlineMs: 60_000 });
  const loads: number[] = [];
  const patient = engine.generate({
    prompt: BEGINNINGS[0]!,
    maxTokens: 250,
    ignoreEos: true,
    controller: (report: StepReport) => {
      loads.push(report.load.running);
      return { depth: 0, steps: 256 };
    },
  });
  const others = [1, 2, 3].map((i) =>
    engine.generate({ prompt: BEGINNINGS[i]!, maxTokens: 4, ignoreEos: true, controller: 'off' }),
  );
  await Promise.all([patient, ...others]);
  // Never asked again by its plan alone, whose 256 steps are more than the request has; by its neighbours' end it is.
  expect(Math.max(...loads)).toBeGreaterThan(1);
  expect(loads.at(-1)).toBe(1);
});
