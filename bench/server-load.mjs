// What the server takes to answer nonsense and requests that never come to an end, and what a healthy stream loses beside
// fifty whose clients don't read. What it takes to refuse is bench/refusals.mjs.
//   node bench/server-load.mjs [--rounds 3] [--model FILE --draft FILE]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { createServer } from '../dist/serve/index.js';
import { warmUp } from '../dist/serve/warm-up.js';
import { capture, main, root, StepFailure, say } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';
import { median } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    model: { type: 'string' },
    draft: { type: 'string' },
    out: { type: 'string', default: join(root, 'bench/results/server-load.json') },
  },
});
const models = {
  ...(options.model === undefined ? {} : { model: options.model }),
  ...(options.draft === undefined ? {} : { draft: options.draft }),
};

const OTHERS = 50;
/** Tokens that each of the others has at least when the healthy stream begins: 0.9 KB each, of which sockets hold 30 KB. */
const BEFORE = 60;
/** Tokens of the healthy stream beside others that generate, and where none does. */
const BESIDE = 64;
const ALONE = 256;

const chat = (fields) =>
  JSON.stringify({ messages: [{ role: 'user', content: 'Tell a story.' }], temperature: 0, ...fields });
const streaming = (tokens, fields) =>
  chat({
    max_tokens: tokens,
    stream: true,
    ignore_eos: true,
    logprobs: true,
    // One token a step for everybody, whoever reads.
    adaptive_spec: { controller: 'off' },
    ...fields,
  });
/**
 * They outlast the healthy stream, those too whose prompts were read first, and stay below the unread bytes at which the
 * server cuts a client off.
 */
const othersBody = streaming(BEFORE + BESIDE + 96, { top_logprobs: 10 });

const rounded = (value, digits = 1) => +value.toFixed(digits);
const quantiles = (all) => {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (q) => rounded(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
};

async function until(condition, what) {
  const end = performance.now() + 300_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Waited in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

/** A server on this machine while `use` runs; what each request's id has got in tokens, and the answers under way. */
async function serving(engine, serverOptions, use) {
  const server = createServer(engine, { port: 0, ...serverOptions });
  const tokens = new Map();
  server.state.on('step', (id, report) => tokens.set(id, (tokens.get(id) ?? 0) + report.tokens.length));
  const answers = new Set();
  server.app.server.on('request', (_request, response) => {
    answers.add(response);
    response.on('close', () => answers.delete(response));
  });
  const port = Number(new URL(await server.listen()).port);
  try {
    return await use({ server, port, tokens, answers });
  } finally {
    await server.close();
  }
}

/** Starts clients of poor-clients.py; answers once all have sent, with `line`, the next line that they print, and `end`. */
async function poorClients(kind, port, body) {
  const args = [join(import.meta.dirname, 'poor-clients.py'), kind, String(port), String(OTHERS), body];
  const child = spawn('python3', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`The clients (${kind}) ended early`);
    return value;
  };
  await line();
  const end = async () => {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'exit');
  };
  return { line, end };
}

function ask(port, path, body, agent = new Agent()) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const asked = request({ port, path, method: body === undefined ? 'GET' : 'POST', agent, headers });
    asked.on('error', reject);
    asked.on('response', resolve);
    asked.end(body);
  });
}

/** Tokens per second of one stream, from its first event with text to its last. */
async function rate(port, wanted) {
  const response = await ask(port, '/v1/chat/completions', streaming(wanted));
  if (response.statusCode !== 200)
    throw new Error(`The healthy stream was answered with ${response.statusCode}`);
  let [first, last, count] = [0, 0, 0];
  for await (const line of createInterface({ input: response })) {
    if (!line.startsWith('data: {')) continue;
    const { choices } = JSON.parse(line.slice(6));
    const got = choices[0]?.logprobs?.content.length ?? 0;
    if (got === 0) continue;
    last = performance.now();
    // What the first event brings was waited for before it.
    if (first === 0) first = last;
    else count += got;
  }
  if (count < wanted / 2) throw new Error(`The healthy stream has ${count} tokens`);
  return (1000 * count) / (last - first);
}

/** A healthy stream beside others that generate and are read or not; then beside those that are done, and unread. */
function besideOthers(engine, kind) {
  return serving(engine, { queue: 64, stalledMs: 600_000 }, async ({ server, port, tokens, answers }) => {
    const clients = await poorClients(kind, port, othersBody);
    try {
      const areOn = () => tokens.size === OTHERS && Math.min(...tokens.values()) >= BEFORE;
      await until(areOn, 'for the others to begin');
      // Those to whom the server can't write on.
      const stalled = () => [...answers].filter((response) => response.writableNeedDrain).length;
      const before = stalled();
      const tokensPerSecond = await rate(port, BESIDE);
      const after = stalled();
      const { running } = server.state;
      if (running < OTHERS) throw new Error(`Only ${running} of the others still generate`);
      if (kind === 'read') return { tokensPerSecond };
      if (before < OTHERS) throw new Error(`Only ${before} of the others have stalled`);
      await until(() => server.state.running === 0, 'for the others to be done');
      const unread = [...answers].map((response) => response.writableLength).filter((bytes) => bytes > 0);
      const besideDone = await rate(port, ALONE);
      if (unread.length < OTHERS)
        throw new Error(`Only ${unread.length} of the others have left text unread`);
      return {
        tokensPerSecond,
        stalled: { before, after },
        unreadKiB: rounded(median(unread) / 1024),
        besideDone,
      };
    } finally {
      await clients.end();
    }
  });
}

async function slowReaders(engine) {
  const rounds = [];
  // One more, that warms up. In turns, so that a busy moment meets all.
  for (let round = 0; round <= Number(options.rounds); round++) {
    const alone = await serving(engine, {}, ({ port }) => rate(port, ALONE));
    const found = {};
    for (const kind of round % 2 ? ['unread', 'read'] : ['read', 'unread']) {
      found[kind] = await besideOthers(engine, kind);
    }
    const { unread, read } = found;
    if (round === 0) continue;
    rounds.push({
      tokensPerSecond: {
        alone: rounded(alone),
        besideUnreadThatAreDone: rounded(unread.besideDone),
        besideReaders: rounded(read.tokensPerSecond),
        besideUnread: rounded(unread.tokensPerSecond),
      },
      stalled: unread.stalled,
      unreadKiB: unread.unreadKiB,
      ofAlone: rounded(unread.besideDone / alone, 3),
      ofReaders: rounded(unread.tokensPerSecond / read.tokensPerSecond, 3),
    });
    say(JSON.stringify(rounds.at(-1)));
  }
  return {
    what: `tokens per second of a stream: alone, beside ${OTHERS} whose texts are done and lie unread in the server, beside ${OTHERS} that generate and are read, and beside ${OTHERS} that generate and aren't`,
    ofAlone: median(rounds.map(({ ofAlone }) => ofAlone)),
    ofReaders: median(rounds.map(({ ofReaders }) => ofReaders)),
    rounds,
  };
}

/** Requests that never come to an end: when they are answered after their time is over, and healthy ones meanwhile. */
function slowloris(engine) {
  const limits = { headersTimeoutMs: 2000, requestTimeoutMs: 4000 };
  return serving(engine, limits, async ({ port }) => {
    /** Milliseconds of a request for 8 tokens, one after the other for so long. */
    const healthy = async (isOver) => {
      const agent = new Agent({ keepAlive: true });
      const all = [];
      while (!isOver()) {
        const began = performance.now();
        const response = await ask(
          port,
          '/v1/chat/completions',
          chat({ max_tokens: 8, ignore_eos: true }),
          agent,
        );
        for await (const _ of response);
        if (response.statusCode !== 200) throw new Error(`A healthy request got ${response.statusCode}`);
        all.push(performance.now() - began);
      }
      agent.destroy();
      return all;
    };
    const end = performance.now() + limits.requestTimeoutMs;
    const without = await healthy(() => performance.now() > end);
    const clients = await poorClients('late', port, chat({}));
    let answers;
    const [beside] = await Promise.all([
      healthy(() => answers !== undefined),
      clients.line().then((line) => {
        answers = JSON.parse(line);
      }),
    ]);
    await clients.end();
    const delays = ({ part, ms }) =>
      ms - (part === 'head' ? limits.headersTimeoutMs : limits.requestTimeoutMs);
    return {
      what: `${OTHERS} requests that send a byte every 0.2 s, half of them of their head, half of their body`,
      limits,
      statuses: [...new Set(answers.map(({ status }) => status))],
      delayMs: quantiles(answers.map(delays)),
      healthyMs: { without: quantiles(without), beside: quantiles(beside) },
    };
  });
}

function nonsense(engine) {
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
  return serving(engine, {}, async ({ port }) => {
    const send = async (body) => {
      const began = performance.now();
      const response = await ask(port, '/v1/chat/completions', body);
      const ms = performance.now() - began;
      for await (const _ of response);
      return { status: response.statusCode, ms: rounded(ms) };
    };
    await send('{}');
    const found = {};
    for (const [name, body] of Object.entries(cases)) found[name] = await send(body);
    return found;
  });
}

function eventLoop(engine) {
  return serving(engine, {}, async ({ port }) => {
    const metrics = async () => {
      let text = '';
      for await (const piece of await ask(port, '/metrics')) text += piece;
      return text;
    };
    await metrics();
    for (let i = 0; i < 5; i++) {
      const body = chat({ max_tokens: 200, stream: true, ignore_eos: true });
      for await (const _ of await ask(port, '/v1/chat/completions', body));
    }
    const text = await metrics();
    const at = (q) =>
      rounded(
        1000 * Number(new RegExp(`event_loop_delay_seconds\\{quantile="${q}"\\} (\\S+)`).exec(text)[1]),
      );
    return { p50: at('0.5'), p99: at('0.99'), max: at('1') };
  });
}

await main(async () => {
  if (!capture('python3', ['--version'])?.startsWith('Python 3')) {
    throw new StepFailure('There is no Python 3, which the poor clients are written in.', 'install python3');
  }
  const one = await createEngine({ ...models, calibrate: 'off' });
  await warmUp(one);
  const loadBefore = await waitForQuiet();
  const found = {
    nonsense: await nonsense(one),
    eventLoopDelayMs: await eventLoop(one),
    slowloris: await slowloris(one),
  };
  say(JSON.stringify(found));
  const { model, draft } = one.info;
  await one.close();
  const many = await createEngine({ ...models, parallel: OTHERS + 1, contextSize: 512, calibrate: 'off' });
  const slow = await slowReaders(many);
  await many.close();
  writeReport(options.out, {
    what: 'what nonsense, requests without end and clients that do not read take: a new server for each',
    command: `node bench/server-load.mjs --rounds ${options.rounds}${options.model === undefined ? '' : ' --model FILE'}${options.draft === undefined ? '' : ' --draft FILE'}`,
    models: draft === undefined ? [model] : [model, draft],
    loadBefore,
    ...found,
    slowReaders: slow,
  });
});
