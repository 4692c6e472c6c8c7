// How long texts hold up the event loop: the longest delay while the server tokenizes two million characters, and while the
// engine takes in prompts of that length. The client is a thread of its own. ROOT: another build to measure, such as an older.
import { request } from 'node:http';
import { resolve } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

function ask({ port, body }) {
  const text = JSON.stringify(body);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  const options = { port, host: '127.0.0.1', path: '/tokenize', method: 'POST', headers };
  request(options, (response) => {
    let bytes = 0;
    response.on('data', (chunk) => {
      bytes += chunk.length;
    });
    response.on('end', () => parentPort.postMessage(`${response.statusCode}, ${bytes} bytes`));
  }).end(text);
}

async function measure() {
  const root = resolve(process.argv[2] ?? '.');
  const { createEngine } = await import(`${root}/dist/index.js`);
  const { createServer } = await import(`${root}/dist/serve/index.js`);
  const engine = await createEngine({ calibrate: 'off', contextSize: 8192 });
  const server = createServer(engine, { port: 0 });
  await server.listen();
  const { port } = server.app.server.address();
  const words = 'The quick brown fox jumps over the lazy dog, and 42 others follow.\n'.repeat(30_000);
  const tokenize = (content, more = {}) =>
    new Promise((done) => {
      new Worker(new URL(import.meta.url), { workerData: { port, body: { content, ...more } } }).once(
        'message',
        done,
      );
    });
  const generate = (options) =>
    engine.generate({ maxTokens: 1, controller: 'off', ...options }).then(
      ({ usage }) => `${usage.promptTokens} tokens`,
      ({ code }) => code,
    );
  const cases = {
    nothing: () => sleep(300),
    '/tokenize, 2,000,000 characters of words': () => tokenize(words.slice(0, 2_000_000)),
    '/tokenize, 2,000,000 times one letter': () => tokenize('a'.repeat(2_000_000)),
    '/tokenize with pieces, 200,000 characters': () =>
      tokenize(words.slice(0, 200_000), { with_pieces: true }),
    'generate, a prompt of 2,000,000 characters': () => generate({ prompt: words }),
    'generate, a message of 2,000,000 characters': () =>
      generate({ messages: [{ role: 'user', content: words }] }),
    'generate, a prompt of 120,000 characters': () => generate({ prompt: words.slice(0, 120_000) }),
  };
  await tokenize('warm up');
  for (const [name, run] of Object.entries(cases)) {
    await sleep(300);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    await sleep(20);
    const said = await run();
    await sleep(20);
    delay.disable();
    console.log(`${name}: ${(delay.max / 1e6).toFixed(1)} ms (${said ?? 'idle'})`);
  }
  // What texts that come one after the other leave of a stream.
  const speed = async () => {
    const { stats } = await engine.generate({
      prompt: 'Once upon a time',
      maxTokens: 200,
      controller: 'off',
      ignoreEos: true,
    });
    return stats.tokensPerSecond.toFixed(0);
  };
  await speed();
  const alone = await speed();
  let texts = 0;
  let going = true;
  const flood = async () => {
    for (; going; texts++) {
      const text = words.slice(0, 300_000);
      if (engine.tokenizeAsync) await engine.tokenizeAsync(text);
      else await new Promise((done) => setImmediate(() => done(engine.tokenize(text))));
    }
  };
  const flooding = flood();
  console.log(
    `a stream: ${alone} t/s alone, ${await speed()} t/s beside ${texts} texts of 300,000 characters`,
  );
  going = false;
  await flooding;
  await server.close();
  await engine.close();
}

if (isMainThread) await measure();
else ask(workerData);
