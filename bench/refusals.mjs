// What a server takes to refuse: two hundred requests at once on one slot with a queue of 64. Told by the server's own
// clock, from a connection's coming to the last byte of its answer, and by clients in a process of their own, on
// connections that stand already.
//   node bench/refusals.mjs [--rounds 5]
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { createServer } from '../dist/serve/index.js';
import { main, root, say } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';

const CLIENTS = 200;
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    port: { type: 'string' },
    out: { type: 'string', default: join(root, 'bench/results/refusals.json') },
  },
});

const BODY = JSON.stringify({ messages: [{ role: 'user', content: 'Tell a story.' }], max_tokens: 8 });
const REQUEST =
  'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
  `Content-Length: ${BODY.length}\r\n\r\n${BODY}`;

/** In a process of its own: all requests at once, milliseconds to each answer's first byte. */
async function clients(port) {
  const sockets = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      return socket;
    }),
  );
  const answers = sockets.map(async (socket) => {
    const [head] = await once(socket, 'data');
    const ms = performance.now() - sent;
    const text = head.toString('latin1', 0, 600);
    return { ms, status: Number(text.slice(9, 12)), retryAfter: /^retry-after: \d+\r$/im.test(text) };
  });
  const sent = performance.now();
  for (const socket of sockets) socket.write(REQUEST);
  process.send(await Promise.all(answers));
  for (const socket of sockets) socket.destroy();
}

const quantiles = (all) => {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (q) => +sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))].toFixed(2);
  return { p50: at(0.5), p99: at(0.99), most: at(1) };
};

async function serve() {
  const engine = await createEngine({ calibrate: 'off' });
  const loadBefore = await waitForQuiet();
  const rounds = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    const server = createServer(engine, { port: 0, queue: 64 });
    const own = [];
    server.app.server.on('request', (_request, response) => {
      const began = performance.now();
      response.on('finish', () => response.statusCode === 503 && own.push(performance.now() - began));
    });
    const port = new URL(await server.listen()).port;
    const child = fork(process.argv[1], ['--port', port]);
    const [answers] = await once(child, 'message');
    await server.close();
    const refused = answers.filter(({ status }) => status === 503);
    rounds.push({
      answered: answers.filter(({ status }) => status === 200).length,
      refused: refused.length,
      withRetryAfter: refused.filter(({ retryAfter }) => retryAfter).length,
      serverMs: quantiles(own),
      clientMs: quantiles(refused.map(({ ms }) => ms)),
    });
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

if (options.port !== undefined) await clients(Number(options.port));
else await main(serve);
