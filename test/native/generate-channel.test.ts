// The diagnostics channel of generations: what a tracer hears and when, and that the text is the same without one.
import { AsyncLocalStorage } from 'node:async_hooks';
import { type TracingChannelSubscribers, tracingChannel } from 'node:diagnostics_channel';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, GenerateTrace } from '../../lib/index.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

let engine: Engine;
beforeAll(async () => {
  engine = await tinyEngine('target', 'draft');
});
afterAll(() => engine.close());

const channel = tracingChannel<string, GenerateTrace>('adaptive-spec:generate');

/** Everything that the channel tells while `run` runs, and until its generations' ends have been told. */
async function told(run: () => Promise<unknown>): Promise<{ event: string; trace: GenerateTrace }[]> {
  const heard: { event: string; trace: GenerateTrace }[] = [];
  const hear = (event: string) => (trace: GenerateTrace) =>
    heard.push({ event, trace: structuredClone(plain(trace)) });
  const subscribers: TracingChannelSubscribers<GenerateTrace> = {
    start: hear('start'),
    end: hear('end'),
    asyncStart: hear('asyncStart'),
    asyncEnd: hear('asyncEnd'),
    error: hear('error'),
  };
  channel.subscribe(subscribers);
  try {
    await run();
    await new Promise((done) => setImmediate(done));
  } finally {
    channel.unsubscribe(subscribers);
  }
  return heard;
}

/** What can be cloned: an abort's reason can't. */
const plain = ({ name, attributes, error, result }: GenerateTrace) => ({
  name,
  attributes,
  ...(error === undefined ? {} : { error: String(error) }),
  ...(result === undefined ? {} : { result }),
});

describe('a generation', () => {
  it('is told of at its start and its end, by the names of OpenTelemetry', async () => {
    const request = { prompt: BEGINNINGS[0]!, maxTokens: 24, depth: 4, seed: 7, stop: ['never', 'ever'] };
    const result = await engine.generate(request);
    const heard = await told(async () => {
      // Whoever listens gets no other text.
      expect((await engine.generate(request)).tokens).toEqual(result.tokens);
    });
    expect(heard.map(({ event }) => event)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
    const [start] = heard;
    const model = start!.trace.attributes['gen_ai.request.model'];
    expect(start!.trace.name).toBe(`text_completion ${model}`);
    expect(model).not.toMatch(/\/|gguf/);
    expect(start!.trace.attributes).toMatchObject({
      'gen_ai.operation.name': 'text_completion',
      'gen_ai.provider.name': 'adaptive_spec',
      'gen_ai.request.max_tokens': 24,
      'gen_ai.request.temperature': 0,
      'gen_ai.request.seed': 7,
      'gen_ai.request.stop_sequences': ['never', 'ever'],
      'gen_ai.output.type': 'text',
    });
    expect(start!.trace.attributes).not.toHaveProperty('gen_ai.usage.input_tokens');
    const end = heard.at(-1)!.trace;
    expect(end.attributes).toMatchObject({
      'gen_ai.usage.input_tokens': result.usage.promptTokens,
      'gen_ai.usage.output_tokens': result.usage.completionTokens,
      'gen_ai.response.finish_reasons': [result.finishReason],
      'adaptive_spec.controller': 'fixed',
      'adaptive_spec.steps': result.stats.steps,
      'adaptive_spec.draft_tokens': result.stats.draftTokens,
      'adaptive_spec.accepted_tokens': result.stats.acceptedTokens,
    });
    expect(end.attributes).not.toHaveProperty('error.type');
    expect(end.result?.tokens).toEqual(result.tokens);
    expect(JSON.stringify(end.attributes)).not.toContain(result.text.trim().slice(0, 12));
  });

  it('of messages is a chat', async () => {
    const messages = [{ role: 'user', content: 'hello' }];
    const [start] = await told(() => engine.generate({ messages, maxTokens: 2 }).finally());
    expect(start!.trace.attributes['gen_ai.operation.name']).toBe('chat');
  });

  it('that is refused, or aborted, tells its error before its end', async () => {
    const refused = await told(() => engine.generate({ prompt: 'x '.repeat(4000) }).catch(() => {}));
    expect(refused.map(({ event }) => event)).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd']);
    expect(refused.at(-1)!.trace.attributes['error.type']).toBe('CONTEXT_OVERFLOW');

    const aborted = await told(async () => {
      const signal = AbortSignal.abort();
      await engine.generate({ prompt: BEGINNINGS[1]!, signal }).catch(() => {});
    });
    expect(aborted.at(-1)!.trace.attributes['error.type']).toBe('AbortError');
  });

  it('that its caller stops ends without an error', async () => {
    const heard = await told(async () => {
      const generation = engine.generate({ prompt: BEGINNINGS[1]!, maxTokens: 400, ignoreEos: true });
      for await (const _ of generation) break;
      await generation;
    });
    expect(heard.map(({ event }) => event)).not.toContain('error');
    expect(heard.at(-1)!.trace.attributes['gen_ai.response.finish_reasons']).toEqual(['aborted']);
  });

  it('starts within a store that a tracer binds to it, and leaves no unhandled rejection', async () => {
    const spans = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    channel.start.bindStore(spans, ({ name }) => name);
    const end = () => seen.push(spans.getStore());
    channel.end.subscribe(end);
    try {
      await expect(engine.generate({ prompt: '' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      await engine.generate({ prompt: BEGINNINGS[0]!, maxTokens: 1 });
    } finally {
      channel.start.unbindStore(spans);
      channel.end.unsubscribe(end);
    }
    expect(seen.length).toBeGreaterThan(0);
    for (const name of seen) expect(name).toMatch(/^text_completion /);
  });

  it('of our own making, as a calibration runs, is told to nobody', async () => {
    expect(await told(() => engine.calibrate({ budgetMs: 300 }))).toEqual([]);
  });
});

describe('the code of docs/tracing.md', () => {
  // Stands for @opentelemetry/api, which is no dependency: it keeps what would have been exported.
  const STANDIN = `
    export const SpanKind = { INTERNAL: 0 };
    export const SpanStatusCode = { ERROR: 2 };
    export const exported = [];
    export const trace = { getTracer: () => ({ startSpan: (name, { attributes }) => ({
      span: { name, attributes: { ...attributes } },
      setStatus(status) { this.span.status = status; },
      setAttributes(more) { Object.assign(this.span.attributes, more); },
      end() { exported.push(this.span); },
    }) }) };`;
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-tracing-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('makes a span of every generation, with its error where it has one', async () => {
    const api = join(folder, 'node_modules/@opentelemetry/api');
    mkdirSync(api, { recursive: true });
    writeFileSync(join(api, 'package.json'), '{ "type": "module", "exports": "./index.js" }');
    writeFileSync(join(api, 'index.js'), STANDIN);
    const page = readFileSync(resolve(import.meta.dirname, '../../docs/tracing.md'), 'utf8');
    writeFileSync(join(folder, 'spans.mjs'), /^```js\n(.*?)^```$/ms.exec(page)![1]!);
    await import(/* @vite-ignore */ pathToFileURL(join(folder, 'spans.mjs')).href);
    const { exported } = await import(/* @vite-ignore */ pathToFileURL(join(api, 'index.js')).href);

    const { usage } = await engine.generate({ prompt: BEGINNINGS[0]!, maxTokens: 8 });
    await engine.generate({ prompt: '' }).catch(() => {});
    await new Promise((done) => setImmediate(done));
    expect(exported).toHaveLength(2);
    expect(exported[0].attributes).toMatchObject({ 'gen_ai.usage.output_tokens': usage.completionTokens });
    expect(exported[0].status).toBeUndefined();
    expect(exported[1].attributes).toMatchObject({ 'error.type': 'INVALID_ARGUMENT' });
    expect(exported[1].status).toMatchObject({ code: 2, message: expect.stringContaining('no tokens') });
  });
});
