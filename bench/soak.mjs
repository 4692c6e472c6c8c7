// Hours in minutes: clients that stream, break off, ask nonsense and come too many, against one server, while memory,
// handles and the event loop are watched. `--minutes 480` for a night.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { main, root, say } from '../scripts/steps.mjs';
import { writeReport } from './report.mjs';
import { randomFrom } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    clients: { type: 'string', default: '4' },
    slots: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    out: { type: 'string', default: join(root, 'bench/results/soak.json') },
  },
});

/** Samples before this share of the time are warm-up. */
const WARM_UP = 0.2;
const SAMPLE_MS = 10_000;
/** Of the last half, above twice the slope's error; at two requests a second a kilobyte left by each is 7. */
const MOST_MIB_PER_HOUR = 10;
const PROMPTS = [
  'Name three rivers.',
  'Write a haiku about rain.',
  'What is 12 times 12?',
  'Say hello in JSON.',
];
/** What is wrong with each, and what must be said to it. */
const NONSENSE = [
  ['{"messages": 3}', 400],
  ['{"messages": [], "n": 1000000000}', 400],
  ['[[[[', 400],
  [`${'['.repeat(10_000)}${']'.repeat(10_000)}`, 400],
  ['{"messages": [{"role": "user", "content": "a"}], "temperature": "hot"}', 400],
];

await main(async () => {
  const minutes = Number(options.minutes);
  const [loadBefore] = loadavg();
  const server = fork(join(import.meta.dirname, 'soak-server.mjs'), [options.slots, '1'], {
    execArgv: ['--expose-gc'],
  });
  const [{ address, models }] = await once(server, 'message');
  const ask = async (message) => {
    server.send(message);
    return (await once(server, 'message'))[0];
  };
  // Requests side by side share a cache: a tie within float noise may fall another way there (docs/exactness.md).
  const counts = { finished: 0, otherTexts: 0, brokenOff: 0, refused: 0, nonsense: 0 };
  const isAlone = Number(options.slots) === 1;
  const faults = [];
  // The first answer to each prompt; any later one must be the same.
  const texts = new Map();
  const random = randomFrom(Number(options.seed));
  const until = performance.now() + minutes * 60_000;
  // What the first requests build up is no leak, nor what the first deep drafts do: the graphs of batches of so many rows
  // are kept, each with its buffer, and else come when some text happens to be drafted that far.
  for (const prompt of PROMPTS) texts.set(prompt, await chat(address, prompt));
  for (let depth = 31; depth >= 0; depth--) await chat(address, PROMPTS[0], { depth });
  const idle = await ask('collect');
  const samples = [];
  const watch = (async () => {
    const began = performance.now();
    while (performance.now() < until) {
      await new Promise((done) => setTimeout(done, Math.min(SAMPLE_MS, until - performance.now())));
      samples.push({ second: Math.round((performance.now() - began) / 1000), ...(await ask('sample')) });
    }
  })();
  const client = async () => {
    while (performance.now() < until) {
      try {
        await visit(address, random, counts, texts, isAlone);
      } catch (error) {
        faults.push(error instanceof Error ? error.message : String(error));
      }
    }
  };
  await Promise.all([watch, ...Array.from({ length: Number(options.clients) }, client)]);
  // Broken streams are noticed by then.
  for (let i = 0; i < 50 && (await ask('sample')).running > 0; i++)
    await new Promise((done) => setTimeout(done, 100));
  const after = await ask('collect');
  server.send('end');
  await once(server, 'exit');

  const warm = samples.filter(({ second }) => second >= WARM_UP * minutes * 60);
  // Of the last half, because an allocator takes its time to level off.
  const late = samples.filter(({ second }) => second >= 0.5 * minutes * 60);
  const lastHalf = slope(late.map(({ second, rss }) => [second / 3600, rss / 2 ** 20]));
  const complaints = [
    late.length < 10 && 'too short to tell whether memory is flat',
    lastHalf.slope - 2 * lastHalf.error > MOST_MIB_PER_HOUR &&
      `memory rises by ${lastHalf.slope.toFixed(1)} +- ${lastHalf.error.toFixed(1)} MiB/h in the last half`,
    after.files > idle.files + Number(options.clients) + 1 && `${after.files - idle.files} more open files`,
    after.running + after.waiting > 0 && 'requests are left',
    faults.length > 0 && `${faults.length} faults`,
  ].filter(Boolean);
  const report = {
    verdict: complaints.length === 0 ? 'flat' : complaints.join('; '),
    what: 'a server under clients that stream, break off, ask nonsense and come too many',
    command: `node bench/soak.mjs --minutes ${minutes} --clients ${options.clients} --slots ${options.slots} --seed ${options.seed}`,
    models,
    loadBefore,
    minutes,
    clients: Number(options.clients),
    slots: Number(options.slots),
    counts,
    faults: { number: faults.length, first: faults.slice(0, 10) },
    memory: {
      idleMiB: mebibytes(idle.rss),
      afterMiB: mebibytes(after.rss),
      heapIdleMiB: mebibytes(idle.heapUsed),
      heapAfterMiB: mebibytes(after.heapUsed),
      slopeMiBPerHour: slope(warm.map(({ second, rss }) => [second / 3600, rss / 2 ** 20])).slope,
      lastHalf,
    },
    handles: { files: [idle.files, after.files], resources: [idle.resources, after.resources] },
    left: { running: after.running, waiting: after.waiting },
    loopDelayMs: {
      p99: Math.max(...warm.map(({ loopDelayMs }) => loopDelayMs.p99)),
      most: Math.max(...warm.map(({ loopDelayMs }) => loopDelayMs.most)),
    },
    samples,
  };
  const { counts: done, memory, handles, loopDelayMs } = report;
  say(`${JSON.stringify(done)}, ${faults.length} faults${faults[0] ? `, such as: ${faults[0]}` : ''}`);
  say(
    `memory ${memory.idleMiB} -> ${memory.afterMiB} MiB, ${memory.slopeMiBPerHour.toFixed(1)} MiB/h when warm`,
  );
  say(
    `files ${handles.files.join(' -> ')}; event loop p99 ${loopDelayMs.p99.toFixed(1)} ms, most ${loopDelayMs.most.toFixed(1)} ms`,
  );
  say(report.verdict);
  writeReport(options.out, report);
  if (complaints.length > 0) process.exitCode = 1;
});

/** One visit of one client. Throws what must not happen. */
async function visit(address, random, counts, texts, isAlone) {
  const what = random();
  if (what < 0.15) {
    const [body, status] = NONSENSE[Math.floor(random() * NONSENSE.length)];
    const reply = await post(address, body);
    await reply.text();
    // A full server refuses by the head, whatever the body is.
    if (reply.status === 503) {
      counts.refused++;
      return;
    }
    if (reply.status !== status) throw new Error(`${body.slice(0, 60)} was answered with ${reply.status}`);
    counts.nonsense++;
    return;
  }
  const prompt = PROMPTS[Math.floor(random() * PROMPTS.length)];
  const stopAfter = what < 0.45 ? Math.floor(random() * 400) : undefined;
  const text = await chat(address, prompt, { stream: what < 0.8, stopAfter });
  if (text === undefined) {
    counts.refused++;
    // As its retry-after asks of a real one; here the queue must stay full.
    await new Promise((done) => setTimeout(done, 50));
  } else if (stopAfter !== undefined) counts.brokenOff++;
  else {
    counts.finished++;
    if (text === texts.get(prompt)) return;
    counts.otherTexts++;
    if (isAlone) throw new Error(`another text for ${JSON.stringify(prompt)}: ${text}`);
  }
}

function post(address, body, signal) {
  const headers = { 'content-type': 'application/json' };
  return fetch(`${address}/v1/chat/completions`, { method: 'POST', headers, body, signal });
}

/** The text, or undefined where the server was busy. A chat that is broken off gives ''. */
async function chat(address, prompt, { stream = true, stopAfter, depth } = {}) {
  const abort = new AbortController();
  const timer = stopAfter === undefined ? undefined : setTimeout(() => abort.abort(), stopAfter);
  try {
    const body = { messages: [{ role: 'user', content: prompt }], max_tokens: 64, temperature: 0, stream };
    if (depth !== undefined) body.adaptive_spec = { depth };
    const reply = await post(address, JSON.stringify(body), abort.signal);
    const text = await reply.text();
    if (reply.status === 429 || reply.status === 503) return undefined;
    if (reply.status !== 200) throw new Error(`status ${reply.status}: ${text.slice(0, 200)}`);
    if (!stream) return JSON.parse(text).choices[0].message.content;
    const lines = text.split('\n').filter((line) => line.startsWith('data: '));
    if (lines.at(-1) !== 'data: [DONE]') throw new Error('a stream without its end');
    return lines
      .slice(0, -1)
      .map((line) => JSON.parse(line.slice(6)).choices[0]?.delta.content ?? '')
      .join('');
  } catch (error) {
    if (abort.signal.aborted) return '';
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function mebibytes(bytes) {
  return Math.round((10 * bytes) / 2 ** 20) / 10;
}

/** Rise of the least squares' line through [x, y], and its standard error; both 0 of fewer than three points. */
function slope(points) {
  if (points.length < 3) return { slope: 0, error: 0 };
  const mean = (i) => points.reduce((sum, point) => sum + point[i], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const sum = (of) => points.reduce((total, point) => total + of(point), 0);
  const sxx = sum((point) => (point[0] - x) ** 2);
  const rise = sum((point) => (point[0] - x) * (point[1] - y)) / sxx;
  const left = sum((point) => (point[1] - y - rise * (point[0] - x)) ** 2);
  return { slope: rise, error: Math.sqrt(left / (points.length - 2) / sxx) };
}
