// The dashboard without a browser: its routes and their guards, what it is told, and the estimate of regret.

import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DashboardFeed, type FeedEvents, windowFigures } from '../../lib/serve/dashboard/feed.js';
import { RegretEstimate } from '../../lib/serve/dashboard/regret.js';
import { createServer, type Server } from '../../lib/serve/index.js';
import { ServerState } from '../../lib/serve/state.js';
import { COSTS, SampleEngine, sampleReports, tellingRequest, tellRequest } from './dashboard-sample.js';
import { stepReport } from './step-report.js';

const pageFolder = resolve(import.meta.dirname, '../../lib/serve/dashboard/page');

describe('the routes', () => {
  let engine: SampleEngine;
  let server: Server;
  let origin: string;
  beforeEach(async () => {
    engine = new SampleEngine();
    server = createServer(engine, { port: 0, apiKey: 'key' });
    origin = await server.listen();
  });
  afterEach(() => server.close());
  const withKey = { authorization: 'Bearer key' };
  const get = (path: string, headers: Record<string, string> = withKey) =>
    fetch(`${origin}${path}`, { headers });

  it('give every file of the page, with its type and a policy that allows nothing inline', async () => {
    const files = readdirSync(pageFolder).filter((name) => name !== 'index.html');
    for (const path of ['/dashboard', ...files.map((name) => `/dashboard/${name}`)]) {
      const answer = await get(path);
      expect(answer.status, path).toBe(200);
      const policy = answer.headers.get('content-security-policy')!;
      expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
      expect(policy).not.toContain('unsafe');
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
      expect(answer.headers.get('content-type')).toMatch(
        /^(text\/(html|css|javascript); charset=utf-8|image\/svg\+xml)$/,
      );
      expect((await answer.text()).length).toBeGreaterThan(100);
    }
  });

  it.each([
    '/dashboard/../package.json',
    '/dashboard/%2e%2e/feed.ts',
    '/dashboard/nothing.js',
    '/dashboard/index.html',
  ])('give no other file: %s', async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  it('want the key, which a browser may send as a password', async () => {
    const paths = ['/dashboard', '/dashboard/main.js', '/dashboard/events'];
    const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });
    for (const path of paths) {
      expect((await get(path, {})).status).toBe(401);
      expect((await get(path, basic('key:wrong'))).status).toBe(401);
      const answer = await get(path, basic('me:key'));
      expect(answer.status).toBe(200);
      await answer.body!.cancel();
    }
    // A browser sends a password it knows wherever a page of another origin tells it to: not to the API.
    const elsewhere = await get('/v1/models', basic('me:key'));
    expect(elsewhere.status).toBe(401);
    expect(elsewhere.headers.get('www-authenticate')).toBe('Bearer');
  });

  const post = (body: unknown, headers: Record<string, string> = withKey) =>
    fetch(`${origin}/dashboard/controller`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });

  it('switch the controller', async () => {
    expect(await (await post({ controller: 'fixed', depth: 5 })).json()).toEqual({
      controller: 'fixed',
      depth: 5,
    });
    expect(server.state.policy).toEqual({ controller: 'fixed', depth: 5 });
    expect(await (await post({ controller: 'off', depth: null })).json()).toEqual({
      controller: 'off',
      depth: null,
    });
    expect(server.state.policy).toEqual({ controller: 'off' });
  });

  it.each([
    [{ controller: 'nobody' }, 400],
    [{ controller: 'fixed' }, 400],
    [{ controller: 'auto', depth: 3 }, 400],
    [{ controller: 'fixed', depth: 33 }, 400],
    [{ controller: 'fixed', depth: -1 }, 400],
    [{ controller: 7 }, 400],
    [[], 400],
  ])('refuse %j, and leave the controller as it is', async (body, status) => {
    const answer = await post(body);
    expect(answer.status).toBe(status);
    expect((await answer.json()).error.message).toEqual(expect.any(String));
    expect(server.state.policy).toEqual({ controller: 'auto' });
  });

  it('refuse a page of another origin, and a form', async () => {
    expect((await post({ controller: 'off' }, { ...withKey, origin: 'http://evil.example' })).status).toBe(
      403,
    );
    expect((await post({ controller: 'off' }, { ...withKey, 'content-type': 'text/plain' })).status).toBe(
      415,
    );
    expect((await post({ controller: 'off' }, {})).status).toBe(401);
    expect(server.state.policy).toEqual({ controller: 'auto' });
  });

  it('stream a snapshot first, then what happens', async () => {
    const abort = new AbortController();
    const answer = await fetch(`${origin}/dashboard/events`, { headers: withKey, signal: abort.signal });
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const seen: string[] = [];
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    const until = async (event: string) => {
      while (!seen.join('').includes(`event: ${event}\n`)) seen.push((await reader.read()).value!);
    };
    await until('snapshot');
    const [, data] = /^event: snapshot\ndata: (.*)\n\n/.exec(seen.join(''))!;
    expect(JSON.parse(data!)).toMatchObject({
      model: { description: 'llama 135M Q4_1', maxDepth: 32 },
      policy: { controller: 'auto' },
      queue: { running: 0, waiting: 0, parallel: 2 },
      requests: [],
      steps: [],
    });
    tellRequest(server.state, 'a', sampleReports(engine, 1));
    await until('steps');
    server.state.set({ controller: 'off' });
    await until('policy');
    expect(seen.join('').indexOf('event: request')).toBeLessThan(seen.join('').indexOf('event: steps'));
    abort.abort();
  });
});

describe('the feed', () => {
  let engine: SampleEngine;
  let state: ServerState;
  let feed: DashboardFeed;
  let told: { [Name in keyof FeedEvents]: FeedEvents[Name][] };
  beforeEach(() => {
    vi.useFakeTimers();
    engine = new SampleEngine();
    state = new ServerState({ controller: 'auto' });
    feed = new DashboardFeed(engine, state);
    told = { request: [], steps: [], figures: [], queue: [], policy: [] };
    feed.listen((event, data) => (told[event] as unknown[]).push(structuredClone(data)));
  });
  afterEach(() => {
    feed.close();
    vi.useRealTimers();
  });

  it('tells of steps together, with the text cut where the draft ends', () => {
    const reports = [...sampleReports(engine, 1)].slice(0, 20);
    for (const _ of tellingRequest(state, 'a', reports));
    const steps = told.steps.flat();
    expect(told.steps).toHaveLength(1);
    expect(steps).toHaveLength(20);
    steps.forEach((step, i) => {
      const { text, tokens, accepted, verified, draftTokens, depth } = reports[i]!;
      expect(step).toMatchObject({ request: 1, step: i + 1, text, accepted, depth });
      expect(text.slice(0, text.length - step.own)).toBe(engine.detokenize(tokens.subarray(0, accepted)));
      const wrong = accepted < verified ? engine.detokenize(draftTokens.subarray(accepted)) : '';
      expect(step.rejected).toBe(wrong.slice(0, 80));
    });
    expect(new Set(steps.map(({ kind }) => kind))).toContain('prose');
    expect(told.request.map(({ end, tokens }) => [end, tokens])).toEqual([
      [undefined, 0],
      ['stop', reports.reduce((sum, { tokens }) => sum + tokens.length, 0)],
    ]);
  });

  it('does not cut text that is not its tokens, and survives an engine that closes', () => {
    const [report] = [...sampleReports(engine, 1, [[1, 'some text to draft']])];
    const held = { ...report!, text: report!.text.slice(1) };
    for (const _ of tellingRequest(state, 'a', [held]));
    expect(told.steps.flat()[0]).toMatchObject({ text: held.text, own: -1 });
    engine.detokenize = () => {
      throw new Error('closed');
    };
    for (const _ of tellingRequest(state, 'b', [report!]));
    expect(told.steps.flat()[1]).toMatchObject({ text: report!.text, own: -1, rejected: '' });
  });

  it('gives who comes later what is kept, once, and no more than that', () => {
    const third = tellingRequest(state, 'a', sampleReports(engine, 1));
    for (let i = 0; i < 5; i++) third.next();
    expect(feed.snapshot().steps).toHaveLength(5);
    vi.advanceTimersByTime(100);
    expect(told.steps.flat()).toHaveLength(5);
    for (const _ of third);
    for (let request = 0; request < 20; request++)
      for (const _ of tellingRequest(state, `more ${request}`, sampleReports(engine, request)));
    const { steps, requests } = feed.snapshot();
    expect(steps).toHaveLength(500);
    expect(requests).toHaveLength(12);
    expect(requests.at(-1)!.number).toBe(21);
  });

  it('takes figures twice a second while there are steps, and then no more', () => {
    for (const _ of tellingRequest(state, 'a', sampleReports(engine, 1)));
    vi.advanceTimersByTime(500);
    const tokens = [...sampleReports(engine, 1)].reduce((sum, report) => sum + report.tokens.length, 0);
    expect(told.figures).toHaveLength(1);
    expect(told.figures[0]!.tokensPerSecond).toBeCloseTo(2 * tokens, 0);
    expect(told.figures[0]!.plainPerSecond).toBeCloseTo(1000 / (8.35 + 0.3), 5);
    expect(told.figures[0]!.costs!.rows).toEqual([1, 2, 4, 8, 9, 16, 17, 33]);
    expect(told.figures[0]!.costs!.verifyMs).toHaveLength(33);
    vi.advanceTimersByTime(60_000);
    expect(told.figures.length).toBeLessThan(10);
    expect(told.figures.at(-1)!.tokensPerSecond).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has no costs where the engine has none', () => {
    (engine as { costs: unknown }).costs = undefined;
    for (const _ of tellingRequest(state, 'a', sampleReports(engine, 1)));
    vi.advanceTimersByTime(500);
    for (const name of ['costs', 'regret', 'plainPerSecond'])
      expect(told.figures[0]).not.toHaveProperty(name);
  });

  it('tells of the queue and the controller, and of nothing once it is closed', () => {
    state.count(1, 3);
    state.set({ controller: 'fixed', depth: 3 });
    expect(told.queue).toEqual([{ running: 1, waiting: 3 }]);
    expect(told.policy).toEqual([{ controller: 'fixed', depth: 3 }]);
    feed.close();
    state.count(0, 0);
    for (const _ of tellingRequest(state, 'a', sampleReports(engine, 1)));
    expect(told.queue).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('figures of a window', () => {
  it('count places up to the first wrong one', () => {
    const step = (drafted: number, accepted: number) =>
      ({ depth: drafted, drafted, verified: drafted, accepted }) as Parameters<
        typeof windowFigures
      >[0][number];
    expect(windowFigures([step(4, 1), step(2, 2), step(0, 0), step(3, 0)])).toEqual({
      acceptance: 3 / 9,
      meanLength: 1 + 3 / 4,
      meanDrafted: 9 / 4,
      places: [
        [3, 2],
        [2, 1],
      ],
    });
    expect(windowFigures([])).toEqual({ places: [] });
  });
});

describe('regret', () => {
  /** Steps of a fixed depth, each place right with the same chance. */
  function fixedSteps(depth: number, acceptance: number, count: number): RegretEstimate {
    const regret = new RegretEstimate();
    let state = 12345;
    const next = () => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return (state >>> 0) / 2 ** 32;
    };
    for (let step = 1; step <= count; step++) {
      let accepted = 0;
      while (accepted < depth && next() < acceptance) accepted++;
      const tokens = new Int32Array(accepted + 1);
      regret.learn(stepReport({ step, depth, drafted: depth, accepted, tokens }), COSTS);
    }
    return regret;
  }

  it('of the depth that was run is near 0 against itself, and its neighbours follow the formula', () => {
    const estimate = fixedSteps(4, 0.7, 4000).estimate(32)!;
    // The definition, by hand: v(5) on the line between 4 and 8 rows.
    const expected = 1 + 0.7 + 0.7 ** 2 + 0.7 ** 3 + 0.7 ** 4;
    const byHand = (0.3 + 0.4 + 4 * 0.9 + 8 + 0.35 * 5) / expected;
    expect(estimate.fixedMs[4]).toBeGreaterThan(0.93 * byHand);
    expect(estimate.fixedMs[4]).toBeLessThan(1.07 * byHand);
    expect(estimate.actualMs / estimate.fixedMs[4]!).toBeCloseTo(1, 1);
    expect(estimate.fixedMs[0]).toBeCloseTo(8.35 + 0.3, 6);
    expect(estimate.fixedMs).toHaveLength(17);
    expect(estimate.share).toBeCloseTo(estimate.actualMs / estimate.fixedMs[estimate.bestDepth]! - 1, 9);
  });

  it('finds that deep drafts were a mistake where little is right, and short ones where much is', () => {
    const deep = fixedSteps(12, 0.2, 600).estimate(32)!;
    expect(deep.bestDepth).toBeLessThan(3);
    expect(deep.share).toBeGreaterThan(0.3);
    const short = fixedSteps(1, 0.97, 600).estimate(32)!;
    expect(short.bestDepth).toBeGreaterThan(3);
    expect(short.share).toBeGreaterThan(0.3);
    expect(fixedSteps(12, 0.97, 600).estimate(3)!.fixedMs).toHaveLength(4);
  });

  it('charges nothing for tokens of n-grams', () => {
    const [model, ngram] = [0, 1].map((origin) => {
      const regret = new RegretEstimate();
      for (let step = 1; step <= 100; step++) {
        const origins = new Uint8Array(4).fill(origin);
        const counts = { depth: 4, drafted: 4, accepted: 4, tokens: new Int32Array(5) };
        regret.learn(stepReport({ step, ...counts, origins }), COSTS);
      }
      return regret.estimate(8)!;
    });
    expect(ngram!.actualMs).toBeCloseTo(model!.actualMs - (0.4 + 4 * 0.9) / 5, 6);
    expect(ngram!.fixedMs[4]).toBeLessThan(model!.fixedMs[4]!);
    expect(ngram!.fixedMs[0]).toBe(model!.fixedMs[0]);
  });

  it('says nothing where too little was drafted, or costs are unknown', () => {
    expect(fixedSteps(4, 0.7, 39).estimate(8)).toBeUndefined();
    expect(fixedSteps(0, 0.7, 400).estimate(8)).toBeUndefined();
    const regret = new RegretEstimate();
    regret.learn(stepReport({ step: 1, drafted: 1, tokens: new Int32Array(1) }), undefined);
    expect(regret.estimate(8)).toBeUndefined();
  });
});

describe("the page's store", () => {
  const request = (number: number, end?: string) => ({ number, tokens: 0, ms: 0, ...(end ? { end } : {}) });

  it('follows the newest request that runs, unless another was chosen', async () => {
    const { emptyState, shownRequest, take } = await import(
      /* @vite-ignore */ resolve(pageFolder, 'store.js')
    );
    const state = emptyState();
    expect(shownRequest(state)).toBeUndefined();
    take(state, 'snapshot', { requests: [request(1), request(2, 'stop')], steps: [], speeds: [] });
    expect(shownRequest(state)).toBe(1);
    take(state, 'request', request(3));
    expect(shownRequest(state)).toBe(3);
    state.chosen = 2;
    expect(shownRequest(state)).toBe(2);
    take(state, 'request', request(3, 'length'));
    state.chosen = 99;
    expect(shownRequest(state)).toBe(1);
    take(state, 'request', request(1, 'stop'));
    expect(shownRequest(state)).toBe(3);
    expect(state.requests.map(({ number }: { number: number }) => number)).toEqual([1, 2, 3]);
  });

  it('keeps no more than the server does', async () => {
    const { emptyState, take } = await import(/* @vite-ignore */ resolve(pageFolder, 'store.js'));
    const state = emptyState();
    const step = { request: 1, accepted: 2, ms: 10 };
    for (let i = 0; i < 30; i++) take(state, 'request', request(i + 1));
    for (let i = 0; i < 700; i++) take(state, 'steps', [step]);
    for (let i = 0; i < 300; i++) take(state, 'figures', { at: i });
    expect([state.steps.length, state.requests.length, state.speeds.length]).toEqual([500, 12, 240]);
  });
});
