// `adaptive-spec watch` on what a real llama-server said: llama.cpp v0.5.0, built from `llama.cpp/`, with the default target and
// its draft at --spec-draft-n-max 6. It was read before its first request, after it, twice while a second ran, and after that.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { blockOf, lineOf } from '../../lib/cli/watch-view.js';
import { parseMetrics } from '../../lib/observe/metrics-text.js';
import { metricsUrl, ServerWatch, type WatchReading } from '../../lib/observe/server-watch.js';
import { fileServer } from './file-server.js';

const STAGES = ['started', 'counted', 'running-1', 'running-2', 'ended'];
const recorded = (name: string) =>
  readFileSync(new URL(`fixtures/llama-server/${name}`, import.meta.url), 'utf8');
const { signal } = new AbortController();

/** All stages, read one after the other. */
async function watched({ hasSlots = true } = {}): Promise<WatchReading[]> {
  let stage = 0;
  await using server = await fileServer((request, response) => {
    const isMetrics = request.url === '/metrics';
    if (isMetrics || hasSlots)
      response.end(recorded(`${STAGES[stage]}.${isMetrics ? 'metrics' : 'slots'}.txt`));
    else response.writeHead(501).end('{}');
  });
  const watch = new ServerWatch({ url: metricsUrl(server.origin) });
  const readings: WatchReading[] = [];
  for (; stage < STAGES.length; stage++) readings.push(await watch.read(signal));
  return readings;
}

const counters = (stage: string) =>
  Object.fromEntries(parseMetrics(recorded(`${stage}.metrics.txt`)).map(({ name, value }) => [name, value]));
/** What a counter moved by. */
const moved = (name: string, from: string, to: string) =>
  counters(to)[`llamacpp:${name}`]! - counters(from)[`llamacpp:${name}`]!;
const decoded = (stage: string): number =>
  JSON.parse(recorded(`${stage}.slots.txt`))[0].next_token[0].n_decoded;

it('finds drafts, their acceptance, and the speed of the time that was generated in', async () => {
  const [started, counted, , , ended] = await watched();
  expect(started).toMatchObject({ server: 'llama.cpp', first: true, k: 8, total: { drafted: 0 } });
  for (const [reading, from, to] of [
    [counted!, 'started', 'counted'],
    [ended!, 'counted', 'ended'],
  ] as const) {
    const drafted = moved('spec_decode_num_draft_tokens_total', from, to);
    const accepted = moved('spec_decode_num_accepted_tokens_total', from, to);
    expect(drafted).toBeGreaterThan(100);
    expect(reading).toMatchObject({ drafted, accepted, acceptance: accepted / drafted, serverDepth: 6 });
    expect(reading.acceptancePerPosition).toHaveLength(6);
    expect(reading.tokensPerSecond).toBeCloseTo(
      moved('tokens_predicted_total', from, to) / moved('tokens_predicted_seconds_total', from, to),
    );
    expect(reading).not.toHaveProperty('live');
  }
});

it("begins at the server's depth once that is known, and then chooses", async () => {
  const ks = (await watched()).map(({ k, changedFrom }) => [changedFrom, k]);
  expect(ks[0]).toEqual([undefined, 8]);
  // By 69 % of 231 drafted tokens, from 6, not from 8.
  expect(ks[1]).toEqual([6, 10]);
  expect(ks.slice(2, 4)).toEqual([
    [undefined, ks[1]![1]],
    [undefined, ks[1]![1]],
  ]);
});

it('tells how far running requests are, whose drafts are counted at their end', async () => {
  const [, , first, second] = await watched();
  expect(first).toMatchObject({ running: 1, drafted: 0, live: { tokens: decoded('running-1') } });
  expect(first!.live).not.toHaveProperty('tokensPerStep');
  const made = decoded('running-2') - decoded('running-1');
  const steps = moved('n_decode_total', 'running-1', 'running-2');
  expect(second!.live).toMatchObject({ tokens: decoded('running-2'), tokensPerStep: made / steps });
  expect(made / steps).toBeGreaterThan(1);
  expect(lineOf(first!)).toContain(
    `${decoded('running-1')} tokens so far, drafts counted at the end  running 1`,
  );
  expect(lineOf(second!)).toMatch(/tokens so far, \d\.\d\d a step, [\d,.]+ t\/s, drafts counted at the end/);
  for (const reading of [first!, second!]) expect(lineOf(reading)).not.toContain('idle');
  const block = blockOf(new URL('http://a.b:80/metrics'), [second!], 100, process.stdout);
  expect(block.join('\n')).toContain('tokens so far');
});

it('says only that requests run where the server keeps its slots to itself', async () => {
  const [, , first, second] = await watched({ hasSlots: false });
  for (const reading of [first!, second!]) {
    expect(reading.live).toEqual({});
    expect(lineOf(reading)).toMatch(/ {2}drafts counted at the end {2}running 1/);
  }
});
