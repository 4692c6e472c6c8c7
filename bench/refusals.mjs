// What a server takes to refuse: two hundred requests at once on one slot with a queue of 64. Told by the clients, from a
// request's write to its answer's first byte; by the server, from a head's parsing to the last byte of the refusal; and
// by the same clients of a server that does nothing but refuse, which is what they and Node's HTTP take themselves.
//   node bench/refusals.mjs [--rounds 6]
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { createServer } from '../dist/serve/index.js';
import { warmUp } from '../dist/serve/warm-up.js';
import { main, root, say } from '../scripts/steps.mjs';
import { crowd } from './crowd.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '6' },
    out: { type: 'string', default: join(root, 'bench/results/refusals.json') },
  },
});

const quantiles = (all) => {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (q) => +sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))].toFixed(2);
  return { p50: at(0.5), p99: at(0.99), most: at(1) };
};

async function refusals(engine) {
  const server = createServer(engine, { port: 0, queue: 64 });
  const own = [];
  server.app.server.on('request', (_request, response) => {
    const began = performance.now();
    response.on('finish', () => response.statusCode === 503 && own.push(performance.now() - began));
  });
  const port = new URL(await server.listen()).port;
  const { answers, writeMs, cpuMs } = await crowd(port);
  await server.close();
  const refused = answers.filter(({ status }) => status === 503);
  return {
    answered: answers.filter(({ status }) => status === 200).length,
    refused: refused.length,
    withRetryAfter: refused.filter(({ retryAfter }) => retryAfter).length,
    clientMs: quantiles(refused.map(({ ms }) => ms)),
    serverMs: quantiles(own),
    clients: { writeMs: +writeMs.toFixed(1), cpuMs: +cpuMs.toFixed(1) },
  };
}

/** The same clients, and a server of Node's own that reads heads and refuses all. */
async function bare() {
  const server = createHttpServer((_request, response) => {
    response.writeHead(503, { 'retry-after': '1', 'content-type': 'application/json' }).end('{"error":{}}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { answers } = await crowd(server.address().port);
  server.close();
  return { clientMs: quantiles(answers.map(({ ms }) => ms)) };
}

async function serve() {
  const engine = await createEngine({ calibrate: 'off' });
  // As `adaptive-spec serve` does before it listens.
  await warmUp(engine);
  const loadBefore = await waitForQuiet();
  const rounds = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    rounds.push({ ...(await refusals(engine)), bare: await bare() });
    say(JSON.stringify(rounds.at(-1)));
  }
  await engine.close();
  writeReport(options.out, {
    what: 'milliseconds that refusals took: 200 requests at once, one slot, a queue of 64; a new server each round',
    command: `node bench/refusals.mjs --rounds ${options.rounds}`,
    models: [engine.info.model],
    loadBefore,
    rounds,
  });
}

await main(serve);
