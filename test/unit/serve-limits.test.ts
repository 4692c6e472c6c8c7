// What clients do to a server over real sockets: they leave, come in crowds, read slowly, send slowly, or rubbish.
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createServer, type Server, type ServerOptions } from '../../lib/serve/index.js';
import { FakeEngine } from './fake-engine.js';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: string;
}

async function serve(options: ServerOptions = {}, engine = new FakeEngine()) {
  const server = createServer(engine, { port: 0, ...options });
  servers.push(server);
  const address = await server.listen();
  const { port } = new URL(address);
  const open = (path: string, body?: object) =>
    httpRequest({
      ...{
        host: '127.0.0.1',
        port,
        path,
        method: body ? 'POST' : 'GET',
        agent: new Agent({ keepAlive: false }),
      },
      headers: body ? { 'content-type': 'application/json' } : {},
    });
  /** A request whose client may leave. */
  const start = (body: object, path = '/v1/chat/completions') => {
    const request = open(path, body);
    request.on('error', () => {});
    request.end(JSON.stringify(body));
    return request;
  };
  const ask = async (path: string, body?: object): Promise<Answer> => {
    const request = open(path, body);
    request.end(body && JSON.stringify(body));
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return { status: response.statusCode!, headers: response.headers, body: await textOf(response) };
  };
  return { server, engine, port: Number(port), start, ask };
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  return text;
}

/** Waits for what other code does. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const HELLO = { messages: [{ role: 'user', content: 'Hello' }] };
const STREAM = { ...HELLO, stream: true };

describe('a client that goes away', () => {
  it.each([
    ['a stream', STREAM],
    ['a whole answer', HELLO],
  ])('ends its generation and frees its slot: %s', async (_, body) => {
    const { engine, server, start } = await serve();
    engine.automatic = false;
    const request = start(body);
    await until(() => engine.runs.length === 1);
    engine.runs[0]!.step();
    request.destroy();
    await until(() => server.state.running === 0);
    expect(engine.runs[0]!.aborted).toBe(true);
  });

  it('is not begun with where it left the queue', async () => {
    const { engine, server, start, ask } = await serve();
    engine.automatic = false;
    const first = start(STREAM);
    await until(() => server.state.running === 1);
    const second = start(HELLO);
    await until(() => server.state.waiting === 1);
    const third = start(STREAM);
    await until(() => server.state.waiting === 2);
    second.destroy();
    third.destroy();
    await until(() => server.state.waiting === 0);
    first.destroy();
    await until(() => server.state.running === 0);
    engine.automatic = true;
    expect((await ask('/v1/chat/completions', HELLO)).status).toBe(200);
    expect(engine.runs.length).toBe(2);
  });

  it('leaves no slot behind, five hundred times', async () => {
    const { engine, server, start, ask } = await serve({ queue: 1000 }, new FakeEngine({ parallel: 2 }));
    engine.automatic = false;
    for (let round = 0; round < 10; round++) {
      const clients = Array.from({ length: 50 }, (_, i) => start(i % 2 === 0 ? STREAM : HELLO));
      await until(() => server.state.running + server.state.waiting === 50);
      // From both ends of the queue.
      for (let i = 0; i < 50; i++) {
        clients[i % 3 === 0 ? i : 49 - i]!.destroy();
        if (i % 10 === 0) await until(() => engine.runs.every((run) => run.over || !run.aborted));
      }
      for (const client of clients) client.destroy();
      await until(() => server.state.running + server.state.waiting === 0);
    }
    engine.automatic = true;
    expect((await ask('/v1/chat/completions', HELLO)).status).toBe(200);
    expect(engine.runs.every((run) => run.over)).toBe(true);
    expect(await server.app.close()).toBeUndefined();
  });
});

describe('two hundred clients on one slot', () => {
  it('wait in order, or are told at once to come back', async () => {
    const { engine, server, ask } = await serve({ queue: 64 });
    engine.automatic = false;
    const order: number[] = [];
    const answers = Array.from({ length: 200 }, async (_, i) => {
      const answer = await ask('/v1/chat/completions', { ...HELLO, max_tokens: 1, seed: i });
      if (answer.status === 200) order.push(i);
      return answer;
    });
    // None has been answered but those who were refused.
    const refused: Answer[] = [];
    for (const answer of answers) answer.then((given) => given.status !== 200 && refused.push(given));
    await until(() => refused.length === 135);
    expect([server.state.running, server.state.waiting]).toEqual([1, 64]);
    for (let served = 0; served < 65; served++) {
      await until(() => engine.runs.length === served + 1);
      engine.runs[served]!.finish();
      await until(() => order.length === served + 1);
    }
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200).length).toBe(65);
    for (const { status, headers, body } of refused) {
      expect(status).toBe(503);
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect(JSON.parse(body).error).toMatchObject({ type: 'unavailable_error', code: 'BUSY' });
    }
    const begun = engine.runs.map(({ options }) => options.seed);
    expect(order).toEqual(begun);
    expect([server.state.running, server.state.waiting]).toEqual([0, 0]);
  });
});

describe('a request that finds no place', () => {
  it('is refused by its head alone, and what follows on the connection is heard', async () => {
    const { engine, server, port, start } = await serve({ queue: 0 });
    engine.automatic = false;
    const first = start(STREAM);
    await until(() => server.state.running === 1);
    const socket = connect(port, '127.0.0.1');
    let said = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk;
    });
    const body = 'x'.repeat(100_000);
    const head = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
    socket.write(head('/v1/chat/completions'));
    await until(() => said.endsWith('}'));
    expect(said).toMatch(/^HTTP\/1.1 503 .*retry-after: \d+.*"code":"BUSY"/s);
    // Its body is thrown away, and isn't taken for a request.
    said = '';
    socket.write(`${body}GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await until(() => said.endsWith('}'));
    expect(said).toMatch(/^HTTP\/1.1 200 .*"ok"/s);
    socket.destroy();
    first.destroy();
    await until(() => server.state.running === 0);
  });

  it('is told of a missing key first', async () => {
    const { engine, server, ask } = await serve({ queue: 0, apiKey: 'secret' });
    engine.automatic = false;
    // The only slot, taken without asking.
    const generation = server.app.inject({
      method: 'POST',
      url: '/v1/chat/completions',
      headers: { authorization: 'Bearer secret', 'content-type': 'application/json' },
      payload: HELLO,
    });
    const answered = generation.then(({ statusCode }) => statusCode);
    await until(() => server.state.running === 1);
    expect((await ask('/v1/chat/completions', HELLO)).status).toBe(401);
    engine.runs[0]!.finish();
    expect(await answered).toBe(200);
  });
});

describe('a client that does not read', () => {
  const manyWords = () => {
    const engine = new FakeEngine({ parallel: 2, contextSize: 100_000 });
    engine.automatic = false;
    engine.words = Array(10_000).fill('x'.repeat(32 * 1024));
    return engine;
  };

  it('is cut off before its text fills the memory, and slows nobody', async () => {
    const { engine, server, start } = await serve({ stalledBytes: 64 * 1024 }, manyWords());
    const slow = start(STREAM);
    const [response] = (await once(slow, 'response')) as [IncomingMessage];
    response.pause();
    response.on('error', () => {});
    const healthy = start(STREAM);
    const [read] = (await once(healthy, 'response')) as [IncomingMessage];
    read.resume();
    let steps = 0;
    while (!engine.runs[0]!.aborted) {
      // What the kernel takes is its own affair; it is less than all.
      expect(steps++).toBeLessThan(5000);
      engine.runs[0]!.step();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => server.state.running === 1);
    engine.runs[1]!.step();
    expect(engine.runs[1]!.aborted).toBe(false);
    healthy.destroy();
    await until(() => server.state.running === 0);
  });

  it('is cut off after a while, however little there is', async () => {
    const { engine, server, start } = await serve({ stalledBytes: 2 ** 30, stalledMs: 20 }, manyWords());
    const slow = start(STREAM);
    const [response] = (await once(slow, 'response')) as [IncomingMessage];
    response.pause();
    response.on('error', () => {});
    for (let i = 0; i < 1000; i++) engine.runs[0]!.step();
    await until(() => engine.runs[0]!.aborted);
    await until(() => server.state.running === 0);
  });
});

describe('what is no request', () => {
  /** What the server says to bytes on a connection, until it closes it. */
  async function sends(port: number, bytes: string): Promise<string> {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(bytes);
    let said = '';
    for await (const chunk of socket.setEncoding('utf8')) said += chunk;
    return said;
  }
  const bodyOf = (said: string) => JSON.parse(said.slice(said.indexOf('\r\n\r\n') + 4)).error;

  it('is refused where its headers come too slowly', async () => {
    const { port } = await serve({ headersTimeoutMs: 50, requestTimeoutMs: 60_000 });
    const said = await sends(port, 'GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
    expect(said).toMatch(/^HTTP\/1\.1 408 .*x-request-id: [0-9a-f-]{36}\r\n/s);
    expect(bodyOf(said)).toMatchObject({ type: 'invalid_request_error', code: 'ERR_HTTP_REQUEST_TIMEOUT' });
  });

  it('is refused where its body comes too slowly', async () => {
    const { port, server } = await serve({ headersTimeoutMs: 50, requestTimeoutMs: 50 });
    const head = 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
    const said = await sends(port, `${head}Content-Length: 1000\r\n\r\n{"prompt":`);
    expect(said).toMatch(/^HTTP\/1\.1 408 /);
    expect(server.state.running).toBe(0);
  });

  it.each([
    ['rubbish', 'rubbish\r\n\r\n', 400],
    ['no host', 'GET /livez HTTP/1.1\r\n\r\n', 400],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    ['large headers', `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`, 431],
  ])('is refused: %s', async (_, bytes, status) => {
    const { port, ask } = await serve();
    expect(await sends(port, bytes)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect((await ask('/livez')).status).toBe(200);
  });
});

describe('a stream that waits', () => {
  it('gets comments, and an error within, where it can have no answer any more', async () => {
    const { engine, server, start } = await serve({ pingMs: 5, drainMs: 60_000 });
    engine.automatic = false;
    const running = start(STREAM);
    const [first] = (await once(running, 'response')) as [IncomingMessage];
    await until(() => engine.runs.length === 1);
    const [second] = (await once(start(STREAM), 'response')) as [IncomingMessage];
    expect(engine.runs.length).toBe(1);
    const closing = server.close();
    const waited = await textOf(second);
    expect(waited).toMatch(/^: ping\n\n/);
    expect(waited).toMatch(/data: \{"error":\{"message":"The server is shutting down",.*\n\n$/);
    expect(waited).not.toContain('[DONE]');
    engine.runs[0]!.finish();
    expect(await textOf(first)).toMatch(/time.*data: \[DONE\]\n\n$/s);
    await closing;
  });
});

describe('a server that ends', () => {
  it('is not ready at once, refuses who waits and who comes, and lets those who run finish', async () => {
    const { engine, server, ask } = await serve();
    engine.automatic = false;
    const running = ask('/v1/chat/completions', STREAM);
    await until(() => engine.runs.length === 1);
    const waiting = ask('/v1/chat/completions', HELLO);
    await until(() => server.state.waiting === 1);
    const closing = server.close();
    for (const answer of [
      await waiting,
      await ask('/readyz'),
      await ask('/health'),
      await ask('/v1/completions', { prompt: 'a' }),
    ]) {
      expect(answer.status).toBe(503);
      expect(answer.headers['retry-after']).toBe('1');
      expect(JSON.parse(answer.body).error).toMatchObject({
        type: 'unavailable_error',
        code: 'SHUTTING_DOWN',
      });
    }
    expect((await ask('/livez')).status).toBe(200);
    engine.runs[0]!.finish();
    const { status, body } = await running;
    expect([status, body]).toEqual([200, expect.stringMatching(/time.*\[DONE\]/s)]);
    await closing;
    expect(engine.listeners).toBe(0);
    expect(engine.runs.length).toBe(1);
  });

  it('cuts off who takes too long', async () => {
    const { engine, server, ask } = await serve({ drainMs: 20 });
    engine.automatic = false;
    const answers = [ask('/v1/chat/completions', STREAM)];
    await until(() => engine.runs.length === 1);
    engine.runs[0]!.step();
    await server.close();
    const { body } = (await Promise.all(answers))[0]!;
    expect(body).toContain('Once');
    expect(body).toMatch(/data: \{"error":.*"code":"SHUTTING_DOWN"\}\}\n\n$/);
    expect(engine.runs[0]!.aborted).toBe(true);
  });

  it('waits for no idle connection', async () => {
    const { port, server } = await serve();
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    await server.close();
    await once(socket, 'close');
  });

  it('tells where its port is taken', async () => {
    const { port } = await serve();
    const second = createServer(new FakeEngine(), { port });
    await expect(second.listen()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await second.close();
  });
});
