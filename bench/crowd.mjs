// Two hundred clients that ask at once, in a process of their own so that the server's clock isn't theirs, and light: raw
// sockets that stand already, bytes made before, the time taken at an answer's first byte and nothing read before all are in.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { isMain } from '../scripts/steps.mjs';

const CLIENTS = 200;
const BODY = JSON.stringify({ messages: [{ role: 'user', content: 'Tell a story.' }], max_tokens: 8 });
const REQUEST = Buffer.from(
  'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
    `Content-Length: ${BODY.length}\r\n\r\n${BODY}`,
);

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {boolean} retryAfter whether it says when to come back
 * @property {number} ms from its request's write to its first byte
 */

/**
 * Lets them ask a server on this machine. `writeMs`: what all writes took together; `cpuMs`: processor time of their
 * process from the first write to the last answer.
 * @param {number | string} port
 * @returns {Promise<{ answers: Answer[], writeMs: number, cpuMs: number }>}
 */
export async function crowd(port) {
  const child = fork(new URL(import.meta.url), [String(port)]);
  const [told] = await once(child, 'message');
  return told;
}

async function ask(port) {
  const sockets = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const socket = connect(port, '127.0.0.1').setNoDelay(true);
      await once(socket, 'connect');
      return socket;
    }),
  );
  const sent = new Float64Array(CLIENTS);
  const came = new Float64Array(CLIENTS);
  const heads = new Array(CLIENTS);
  let left = CLIENTS;
  const all = new Promise((resolve) => {
    sockets.forEach((socket, i) => {
      socket.on('data', (bytes) => {
        if (came[i] > 0) return;
        came[i] = performance.now();
        heads[i] = bytes;
        if (--left === 0) resolve();
      });
    });
  });
  const before = process.cpuUsage();
  const began = performance.now();
  for (let i = 0; i < CLIENTS; i++) {
    sent[i] = performance.now();
    sockets[i].write(REQUEST);
  }
  const writeMs = performance.now() - began;
  await all;
  const { user, system } = process.cpuUsage(before);
  const answers = heads.map((bytes, i) => {
    const text = bytes.toString('latin1', 0, 600);
    return {
      status: Number(text.slice(9, 12)),
      retryAfter: /^retry-after: \d+\r$/im.test(text),
      ms: came[i] - sent[i],
    };
  });
  for (const socket of sockets) socket.destroy();
  process.send({ answers, writeMs, cpuMs: (user + system) / 1000 });
  process.disconnect();
}

if (isMain(import.meta.url)) await ask(Number(process.argv[2]));
