// `adaptive-spec watch` on servers that are made up: whose counters it takes, what it makes of them, what it can't read.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { addWatch } from '../../lib/cli/watch.js';
import { blockOf, lineOf } from '../../lib/cli/watch-view.js';
import { readAuditLog } from '../../lib/observe/audit-log.js';
import { parseMetrics } from '../../lib/observe/metrics-text.js';
import { metricsUrl, ServerWatch, type WatchReading } from '../../lib/observe/server-watch.js';
import { speculationCounters } from '../../lib/observe/speculation-counters.js';
import { createServer } from '../../lib/serve/index.js';
import { FakeEngine } from './fake-engine.js';
import { fileServer, type Handler } from './file-server.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-watch-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** As llama.cpp's server-task.cpp prints them. */
const llama = (drafts: number, drafted: number, accepted: number, perPlace: number[] = []) =>
  [
    '# HELP llamacpp:tokens_predicted_total Number of generation tokens processed',
    '# TYPE llamacpp:tokens_predicted_total counter',
    `llamacpp:tokens_predicted_total ${accepted + drafts}`,
    `llamacpp:spec_decode_num_draft_tokens_total ${drafted}`,
    `llamacpp:spec_decode_num_accepted_tokens_total ${accepted}`,
    `llamacpp:spec_decode_num_drafts_total ${drafts}`,
    'llamacpp:requests_processing 1',
    'llamacpp:requests_deferred 2',
    ...perPlace.map((n, i) => `llamacpp:spec_decode_num_accepted_tokens_per_pos_total{position="${i}"} ${n}`),
    '',
  ].join('\n');

const VLLM = `# HELP vllm:spec_decode_num_drafts_total Number of spec decoding drafts.
# TYPE vllm:spec_decode_num_drafts_total counter
vllm:spec_decode_num_drafts_total{engine="0",model_name="a/b"} 10.0
vllm:spec_decode_num_drafts_total{engine="1",model_name="a/b"} 30.0
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="a/b"} 30.0
vllm:spec_decode_num_draft_tokens_total{engine="1",model_name="a/b"} 90.0
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="a/b"} 1.5e+01
vllm:spec_decode_num_accepted_tokens_total{engine="1",model_name="a/b"} 45.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="a/b",position="0"} 8.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="1",model_name="a/b",position="0"} 25.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="a/b",position="1"} 7.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="1",model_name="a/b",position="1"} 20.0
vllm:generation_tokens_total{engine="0",model_name="a/b"} 100.0
vllm:num_requests_running{engine="0",model_name="a/b"} 3.0
vllm:num_requests_waiting{engine="0",model_name="a/b"} 0.0
`;

describe('the text format', () => {
  it('is read with labels, escapes, exponents, timestamps and exemplars, and without what is no sample', () => {
    const text =
      '# TYPE a counter\na 1\nb{x="1",y="a}\\"\\n\\\\z",} 2.5e3 1700000000\nc{} +Inf\nd NaN\n' +
      'e_bucket{le="1"} 7 # {trace="q"} 0.5\nbroken\n{x="1"} 3\nf x\n\r\ng{x="1} 4\n  h\t5\r\n';
    expect(parseMetrics(text)).toEqual([
      { name: 'a', labels: {}, value: 1 },
      { name: 'b', labels: { x: '1', y: 'a}"\n\\z' }, value: 2500 },
      { name: 'c', labels: {}, value: Infinity },
      { name: 'd', labels: {}, value: Number.NaN },
      { name: 'e_bucket', labels: { le: '1' }, value: 7 },
      { name: 'h', labels: {}, value: 5 },
    ]);
  });
});

describe('counters', () => {
  it("are taken by llama.cpp's names", () => {
    expect(speculationCounters(llama(10, 40, 25, [9, 8, 5, 3]))).toEqual({
      server: 'llama.cpp',
      drafts: 10,
      drafted: 40,
      accepted: 25,
      acceptedPerPosition: [9, 8, 5, 3],
      tokens: 35,
      running: 1,
      waiting: 2,
    });
  });

  it("are taken by vLLM's names, summed over engines", () => {
    expect(speculationCounters(VLLM)).toEqual({
      server: 'vLLM',
      drafts: 40,
      drafted: 120,
      accepted: 60,
      acceptedPerPosition: [33, 27],
      tokens: 100,
      running: 3,
      waiting: 0,
    });
  });

  it("are taken by the experiment's names where there are no others", () => {
    const text = 'llamacpp:draft_drafted_total 50\nllamacpp:draft_accepted_total 20\n';
    expect(speculationCounters(text)).toEqual({
      server: 'llama.cpp',
      drafted: 50,
      accepted: 20,
      acceptedPerPosition: [],
    });
  });

  it('of a server that says them under all names count once', () => {
    const counters = speculationCounters(
      `adaptive_spec_build_info{version="1"} 1\n${VLLM}${llama(40, 120, 60)}llamacpp:draft_drafted_total 120\nllamacpp:draft_accepted_total 60\n`,
    );
    expect(counters).toMatchObject({ server: 'adaptive-spec', drafts: 40, drafted: 120, accepted: 60 });
  });

  it.each([
    ['vllm:generation_tokens_total 5\n', /vLLM has no/, /--speculative-config/],
    [
      'llamacpp:tokens_predicted_total 5\n',
      /llama-server has no/,
      /--metrics --spec-type draft-simple --model-draft/,
    ],
    ['go_goroutines 7\n', /neither llama-server nor vLLM/, /vllm serve/],
    ['<html></html>', /holds no metrics/, /Give the address/],
  ])('that are missing are said, with what turns them on: %s', (text, message, hint) => {
    expect(() => speculationCounters(text)).toThrow(
      expect.objectContaining({
        code: 'NO_SPECULATION',
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      }),
    );
  });

  it('of places that no draft has are left out', () => {
    const text = llama(1, 2, 1).replace(
      /$/,
      'llamacpp:spec_decode_num_accepted_tokens_per_pos_total{position="1e9"} 3\n',
    );
    expect(speculationCounters(text).acceptedPerPosition).toEqual([]);
  });
});

describe('addresses', () => {
  it.each([
    ['localhost:8080', 'http://localhost:8080/metrics'],
    ['http://a.b:1/', 'http://a.b:1/metrics'],
    ['https://a.b/metrics?x=1', 'https://a.b/metrics?x=1'],
    ['http://a.b/proxy/one', 'http://a.b/proxy/one/metrics'],
  ])('%s is %s', (text, url) => {
    expect(metricsUrl(text).href).toBe(url);
  });

  it.each(['', 'http://', 'ftp://a.b', 'http://me:secret@a.b', 'file:///etc/passwd'])(
    "%s isn't one",
    (text) => {
      expect(() => metricsUrl(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
      try {
        metricsUrl(text);
      } catch (error) {
        expect((error as Error).message).not.toContain('secret');
      }
    },
  );
});

/** A server that says one text after the other, and then the last one again. */
const saying =
  (...texts: string[]): Handler =>
  (_, response, index) =>
    response.end(texts[Math.min(index, texts.length - 1)]);

const signal = new AbortController().signal;

describe('readings', () => {
  it('tell what happened in between, and move K as the experiment does', async () => {
    await using server = await fileServer(
      saying(
        llama(100, 400, 100, [60, 40]),
        llama(120, 480, 172, [78, 58]),
        llama(120, 480, 172),
        llama(130, 560, 180),
      ),
    );
    const watch = new ServerWatch({ url: metricsUrl(server.origin) });
    const first = await watch.read(signal);
    expect(first).toMatchObject({ first: true, drafted: 0, k: 4, serverDepth: 2, reason: 'start' });
    expect(first.total).toEqual({ drafts: 100, drafted: 400, accepted: 100, acceptance: 0.25 });
    expect(first).not.toHaveProperty('acceptance');
    // 90 % of 80: far above the target of 55 %, and more than the 64 tokens between two adjustments.
    expect(await watch.read(signal)).toMatchObject({
      first: false,
      drafts: 20,
      drafted: 80,
      accepted: 72,
      acceptance: 0.9,
      meanAcceptanceLength: 4.6,
      acceptancePerPosition: [0.9, 0.9],
      tokens: 92,
      changedFrom: 4,
      k: 8,
      reason: 'high acceptance',
    });
    const idle = await watch.read(signal);
    expect(idle).toMatchObject({ drafted: 0, k: 8 });
    expect(idle).not.toHaveProperty('changedFrom');
    // 10 % then: on average 50 %, near the target.
    expect(await watch.read(signal)).toMatchObject({ acceptance: 0.1, rollingAcceptance: 0.5, k: 8 });
  });

  it('take a restarted server for one that counts from 0', async () => {
    await using server = await fileServer(saying(llama(100, 400, 100), llama(5, 20, 10)));
    const watch = new ServerWatch({ url: metricsUrl(server.origin) });
    await watch.read(signal);
    expect(await watch.read(signal)).toMatchObject({ restarted: true, drafts: 5, drafted: 20, accepted: 10 });
  });

  it('never say that more was accepted than drafted, whatever digits a server leaves out', async () => {
    await using server = await fileServer(
      saying(llama(1e6, 1.23456e6, 1.23456e6), llama(1e6 + 5, 1.23457e6, 1.23459e6)),
    );
    const watch = new ServerWatch({ url: metricsUrl(server.origin) });
    await watch.read(signal);
    expect((await watch.read(signal)).acceptance).toBe(1);
  });

  it('keep K in its range', async () => {
    await using server = await fileServer(saying(llama(0, 0, 0), llama(100, 400, 0), llama(200, 800, 0)));
    const watch = new ServerWatch({ url: metricsUrl(server.origin), kMin: 6, kMax: 9 });
    await watch.read(signal);
    expect((await watch.read(signal)).k).toBe(6);
    expect((await watch.read(signal)).k).toBe(6);
    expect(() => new ServerWatch({ url: metricsUrl(server.origin), kMin: 9, kMax: 6 })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

/** Runs the command in this process: what it printed on stdout and stderr. */
async function run(...args: string[]): Promise<{ out: string; err: string }> {
  const program = new Command().exitOverride().configureOutput({ outputError: () => {} });
  addWatch(program);
  const told = { out: '', err: '' };
  const catches = (stream: NodeJS.WriteStream, name: 'out' | 'err') =>
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      told[name] += text;
      return true;
    });
  const mocks = [catches(process.stdout, 'out'), catches(process.stderr, 'err')];
  try {
    await program.parseAsync(['watch', '--interval', '0.05', ...args], { from: 'user' });
  } finally {
    for (const mock of mocks) mock.mockRestore();
  }
  return told;
}

describe('the command', () => {
  it('prints a line per reading where stdout is no terminal, and logs changes of K', async () => {
    await using server = await fileServer(saying(llama(100, 400, 100), llama(120, 480, 172)));
    const audit = join(folder, 'audit.jsonl');
    const { out, err } = await run(server.origin, '--count', '3', '--audit', audit);
    expect(err).toBe('');
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain('25 % of 400 accepted since it was started');
    expect(lines[1]).toContain('90 % of 80 accepted  4.60 tokens a step');
    expect(lines[1]).toContain('K 8 -> 12 (high acceptance)');
    expect(lines[2]).toContain('idle');
    const { entries } = readAuditLog(audit);
    expect(entries.map(({ msg, details }) => [msg, details])).toEqual([
      ['K: 8 -> 12', 'acceptance=0.90, reason=high acceptance'],
    ]);
  });

  it('prints JSON lines with --json, and goes on when the server is away for a while', async () => {
    await using server = await fileServer((_, response, index) => {
      if (index === 1) response.writeHead(503).end();
      else if (index === 2) response.destroy();
      else response.end(llama(100, 400, 100));
    });
    const { out } = await run(server.origin, '--json', '--count', '4');
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ error, k }) => error?.code ?? k)).toEqual([8, 'REFUSED', 'UNREACHABLE', 8]);
  });

  it('sends the key as the server wants it', async () => {
    await using server = await fileServer(saying(VLLM));
    await run(server.origin, '--count', '1', '--api-key', 'sk-1');
    expect(server.requests[0]!.headers.authorization).toBe('Bearer sk-1');
    await run(server.origin, '--count', '1');
    expect(server.requests[1]!.headers.authorization).toBeUndefined();
  });

  it.each([
    [401, 'Give --api-key'],
    [404, 'right port'],
    [501, 'llama-server with --metrics'],
    [503, 'loading'],
  ])('says what HTTP %i asks for', async (status, hint) => {
    await using server = await fileServer((_, response) => response.writeHead(status).end('no'));
    await expect(run(server.origin)).rejects.toMatchObject({
      code: 'REFUSED',
      message: expect.stringContaining(`HTTP ${status}`),
      hint: expect.stringContaining(hint),
    });
  });

  it('says that nobody answers', async () => {
    const gone = await fileServer(saying(''));
    await gone[Symbol.asyncDispose]();
    await expect(run(gone.origin)).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('ends where the server begins to say something else', async () => {
    await using server = await fileServer(saying(VLLM, 'go_goroutines 7\n'));
    await expect(run(server.origin)).rejects.toMatchObject({ code: 'NO_SPECULATION' });
  });

  it.each([
    [['x y'], /no address/],
    [['a.b', '--interval', '0'], /--interval/],
    [['a.b', '--count', '1.5'], /--count/],
    [['a.b', '--k-min', 'four'], /--k-min/],
    [['a.b', '--k-min', '65'], /kMin/],
    [['a.b', '--api-key', 'a\nb'], /no header/],
  ])('refuses %j', async (args, message) => {
    await expect(run(...args)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });
});

describe('a server of ours', () => {
  it('is known, and read step by step', async () => {
    const engine = new FakeEngine();
    engine.automatic = false;
    await using server = createServer(engine, { port: 0 });
    const watch = new ServerWatch({ url: metricsUrl(await server.listen()) });
    expect(await watch.read(signal)).toMatchObject({ server: 'adaptive-spec', first: true, drafted: 0 });
    const generation = engine.generate({ prompt: 'x' });
    for (const _ of [1, 2]) engine.runs[0]!.step();
    // The fake drafts two tokens in its second step, and gets one of them right; it hasn't ended.
    const reading = await watch.read(signal);
    expect(reading).toMatchObject({ drafts: 1, drafted: 2, accepted: 1, acceptance: 0.5, serverDepth: 1 });
    engine.runs[0]!.finish();
    await generation;
  });
});

describe('how it looks', () => {
  const reading: WatchReading = {
    ts: '2026-01-02T03:04:05.678Z',
    server: 'llama.cpp',
    first: false,
    restarted: false,
    drafts: 20,
    drafted: 1200,
    accepted: 600,
    acceptance: 0.5,
    meanAcceptanceLength: 3.5,
    acceptancePerPosition: [0.9, 0.5],
    tokens: 70,
    tokensPerSecond: 35,
    running: 1,
    waiting: 0,
    total: { drafts: 40, drafted: 2400, accepted: 1200, acceptance: 0.5 },
    serverDepth: 3,
    k: 12,
    reason: 'high acceptance',
    rollingAcceptance: 0.5,
    changedFrom: 8,
  };
  const stream = { isTTY: false } as NodeJS.WriteStream;

  it('is a line', () => {
    expect(lineOf(reading)).toBe(
      '03:04:05  50 % of 1,200 accepted  3.50 tokens a step  35.0 t/s  running 1, waiting 0  K 8 -> 12 (high acceptance)',
    );
  });

  it('is a block that fits its terminal', () => {
    const block = blockOf(new URL('http://a.b:80/metrics'), [reading, reading], 100, stream);
    expect(block.join('\n')).toContain('restart it with --spec-draft-n-max 12');
    expect(block.join('\n')).toContain('90 % 50 %');
    const narrow = blockOf(new URL('http://a.b:80/metrics'), Array(100).fill(reading), 20, stream);
    for (const line of narrow) expect(line.length).toBeLessThan(20);
  });

  it('names the flag where tokens come without drafts', () => {
    const { acceptance: _, ...bare } = { ...reading, drafted: 0, accepted: 0, drafts: 0 };
    expect(lineOf(bare)).toContain('start llama-server with --spec-type draft-simple --model-draft FILE');
    expect(lineOf({ ...bare, server: 'vLLM' })).toContain('--speculative-config');
  });
});
