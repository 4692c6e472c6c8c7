// What is refused first must not wait until the code that refuses is compiled.

import { once } from 'node:events';
import { Agent, request } from 'node:http';
import type { ServedEngine } from './served-engine.js';
import { createServer } from './server.js';

const ROUNDS = 4;
const AT_ONCE = 50;

/**
 * Asks a server that nobody else knows, on this machine, for what it refuses, so that a crowd that meets the real one right
 * after its start is told in time that there is no place. Takes about 0.1 s. Nothing is generated.
 */
export async function warmUp(engine: ServedEngine): Promise<void> {
  const server = createServer(engine, { host: '127.0.0.1', port: 0 });
  const agent = new Agent();
  try {
    const { port } = new URL(await server.listen());
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(Array.from({ length: AT_ONCE }, () => refused(port, agent)));
    }
  } finally {
    agent.destroy();
    await server.close();
  }
}

async function refused(port: string, agent: Agent): Promise<void> {
  const headers = { host: 'a-name-that-no-server-has.invalid', 'content-type': 'application/json' };
  const path = '/v1/chat/completions';
  const asked = request({ host: '127.0.0.1', port, path, method: 'POST', headers, agent });
  asked.end('{}');
  const [response] = await once(asked, 'response');
  response.resume();
  await once(response, 'end');
}
