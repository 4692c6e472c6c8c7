// What the server takes to refuse, to answer nonsense, and to serve one client behind many that don't read.
//   node bench/server-load.mjs [--model FILE --draft FILE]
// Prints JSON: times in milliseconds. Runs dist/, on the default pair unless models are named.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { createServer } from '../dist/serve/index.js';
import { crowd } from './crowd.mjs';

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string' },
    draft: { type: 'string' },
    others: { type: 'string' },
    slow: { type: 'boolean' },
  },
});
const { others, slow = false, ...values } = flags;

const chat = (fields) =>
  JSON.stringify({ messages: [{ role: 'user', content: 'Tell a story.' }], ...fields });

/** Fifty streams with twenty alternatives to each token, which those who are slow leave unread. */
async function openOthers(port) {
  const body = chat({ max_tokens: 24, stream: true, ignore_eos: true, logprobs: true, top_logprobs: 20 });
  for (let i = 0; i < 50; i++) {
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    if (slow) socket.pause();
    else socket.resume();
  }
  process.send('sent');
}

if (others !== undefined) {
  await openOthers(others);
  await once(process, 'disconnect');
  process.exit();
}

const engine = await createEngine({ ...values, parallel: 2, calibrate: 'off' });
const one = await createEngine({ ...values, calibrate: 'off' });

/** Sends a body, and answers status and time to the whole answer. */
function send(port, body, path = '/v1/chat/completions') {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const asked = request({
      port,
      path,
      method: 'POST',
      agent: new Agent(),
      headers: { 'content-type': 'application/json' },
    });
    asked.on('error', reject);
    asked.on('response', async (response) => {
      const headersMs = performance.now() - started;
      for await (const _ of response);
      resolve({ status: response.statusCode, ms: headersMs });
    });
    asked.end(body);
  });
}

const quantiles = (all) => {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (q) => +sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))].toFixed(1);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
};

async function overload() {
  const server = createServer(one, { port: 0 });
  const port = Number(new URL(await server.listen()).port);
  const { answers } = await crowd(port);
  await server.close();
  const refused = answers.filter(({ status }) => status === 503);
  return {
    answered: answers.filter(({ status }) => status === 200).length,
    refused: refused.length,
    withRetryAfter: refused.filter(({ retryAfter }) => retryAfter).length,
    others: answers.length - refused.length - answers.filter(({ status }) => status === 200).length,
    refusedMs: quantiles(refused.map(({ ms }) => ms)),
  };
}

async function nonsense() {
  const server = createServer(one, { port: 0 });
  const port = Number(new URL(await server.listen()).port);
  const cases = {
    'JSON nested 10,000 deep': `${'['.repeat(10_000)}${']'.repeat(10_000)}`,
    'n = 1e9': chat({ n: 1e9 }),
    'invalid UTF-8': Buffer.concat([Buffer.from('{"messages":"'), Buffer.of(0xff), Buffer.from('"}')]),
    'a body of 4 MiB and a byte': Buffer.alloc(4 * 2 ** 20 + 1, 0x20),
    'a million messages': `{"messages":[${'{},'.repeat(1_000_000)}{}]}`,
    'a prompt of 1.9 million characters': JSON.stringify({
      messages: [{ role: 'user', content: 'word '.repeat(380_000) }],
    }),
  };
  const found = {};
  await send(port, '{}');
  for (const [name, body] of Object.entries(cases)) {
    const { status, ms } = await send(port, body);
    found[name] = { status, ms: +ms.toFixed(1) };
  }
  await server.close();
  return found;
}

/** Milliseconds until a client that comes last has its answer, behind fifty that read theirs or don't. */
async function behindFifty(areSlow) {
  const server = createServer(engine, { port: 0, queue: 64 });
  const port = Number(new URL(await server.listen()).port);
  const child = fork(process.argv[1], ['--others', String(port), ...(areSlow ? ['--slow'] : [])]);
  await once(child, 'message');
  const started = performance.now();
  let done = 0;
  for await (const _ of await stream(port, chat({ max_tokens: 24, stream: true, ignore_eos: true }))) done++;
  const ms = performance.now() - started;
  child.disconnect();
  await once(child, 'exit');
  await server.close();
  if (done === 0) throw new Error('The last client got no answer.');
  return ms;
}

function stream(port, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const asked = request({
      port,
      path: '/v1/chat/completions',
      method: 'POST',
      agent: new Agent(),
      headers,
    });
    asked.on('error', reject);
    asked.on('response', resolve);
    asked.end(body);
  });
}

async function eventLoop() {
  const server = createServer(engine, { port: 0 });
  const address = await server.listen();
  const port = Number(new URL(address).port);
  await (await fetch(`${address}/metrics`)).text();
  for (let i = 0; i < 5; i++) await send(port, chat({ max_tokens: 200, stream: true, ignore_eos: true }));
  const text = await (await fetch(`${address}/metrics`)).text();
  await server.close();
  const at = (q) =>
    1000 * Number(new RegExp(`event_loop_delay_seconds\\{quantile="${q}"\\} (\\S+)`).exec(text)[1]);
  return { p50: +at('0.5').toFixed(1), p99: +at('0.99').toFixed(1), max: +at('1').toFixed(1) };
}

const reading = [];
const slowly = [];
// In turns, so that a busy moment meets both; the first of each warms up.
for (let round = 0; round < 6; round++) {
  for (const areSlow of round % 2 ? [true, false] : [false, true]) {
    const ms = await behindFifty(areSlow);
    if (round > 0) (areSlow ? slowly : reading).push(ms);
  }
}
const ratios = slowly.map((ms, i) => ms / reading[i]).sort((a, b) => a - b);
console.log(
  JSON.stringify(
    {
      overload: await overload(),
      nonsense: await nonsense(),
      slowReaders: {
        msBehindReaders: quantiles(reading),
        msBehindSlowReaders: quantiles(slowly),
        ratios: ratios.map((ratio) => +ratio.toFixed(3)),
      },
      eventLoopDelayMs: await eventLoop(),
    },
    null,
    2,
  ),
);
await engine.close();
await one.close();
