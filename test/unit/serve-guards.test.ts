// Who may ask the server what, on every route that it has.
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { isLoopback } from '../../lib/serve/guards.js';
import { createServer, type Server, type ServerOptions } from '../../lib/serve/index.js';
import { FakeEngine } from './fake-engine.js';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

function serve(options: ServerOptions = {}) {
  const server = createServer(new FakeEngine(), options);
  servers.push(server);
  return server;
}

const KEY = 'sk-a-key';

/** Every route, told by the router as it gets them. */
async function routesOf(server: Server): Promise<{ method: 'GET' | 'POST'; url: string }[]> {
  const routes: { method: 'GET' | 'POST'; url: string }[] = [];
  server.app.addHook('onRoute', ({ method, url }) => {
    if (method === 'GET' || method === 'POST') routes.push({ method, url: url.replace('*', 'x') });
  });
  await server.app.ready();
  return routes;
}

describe('the API key', () => {
  it('is needed on every route but liveness', async () => {
    const server = serve({ apiKey: [KEY, 'another'] });
    const routes = await routesOf(server);
    expect(routes.length).toBeGreaterThan(20);
    expect(routes).toContainEqual({ method: 'POST', url: '/v1/chat/completions' });
    const open: string[] = [];
    for (const { method, url } of [...routes, { method: 'GET' as const, url: '/nothing' }]) {
      const ask = (headers: Record<string, string>) =>
        server.app.inject({ method, url, headers: { host: 'localhost', ...headers } });
      const without = await ask({});
      if (without.statusCode !== 401) open.push(url);
      else {
        expect(without.json().error).toMatchObject({ type: 'authentication_error', code: 'invalid_api_key' });
        const scheme = url.startsWith('/dashboard') ? /^Basic / : /^Bearer$/;
        expect(without.headers['www-authenticate']).toMatch(scheme);
        for (const headers of [
          { authorization: 'Bearer wrong' },
          { authorization: `Basic ${KEY}` },
          { authorization: 'Bearer ' },
          { 'x-api-key': '' },
          { authorization: `Bearer ${KEY.slice(0, -1)}` },
        ]) {
          expect((await ask(headers as Record<string, string>)).statusCode, `${method} ${url}`).toBe(401);
        }
      }
      // Its answer doesn't end; test/unit/dashboard.test.ts asks it with a key.
      if (url === '/dashboard/events') continue;
      for (const headers of [
        { authorization: `Bearer ${KEY}` },
        { 'x-api-key': 'another' },
        { authorization: `bearer ${KEY}` },
      ]) {
        expect((await ask(headers as Record<string, string>)).statusCode).not.toBe(401);
      }
    }
    expect(open.sort()).toEqual(['/health', '/livez', '/readyz', '/v1/health']);
  });

  it('must be there where others can reach the server', () => {
    for (const host of ['0.0.0.0', '::', '192.168.1.2', 'example.org']) {
      expect(() => createServer(new FakeEngine(), { host })).toThrow(/no API key/);
      servers.push(createServer(new FakeEngine(), { host, apiKey: KEY }));
    }
    expect(['127.0.0.1', '127.1.2.3', 'localhost', '::1'].every(isLoopback)).toBe(true);
    expect(['127.0.0.1.example.org', '1127.0.0.1', '0.0.0.0'].some(isLoopback)).toBe(false);
  });
});

describe('routes', () => {
  it('are all told of in docs/server.md', async () => {
    const page = readFileSync('docs/server.md', 'utf8');
    const routes = await routesOf(serve());
    expect(routes.length).toBeGreaterThan(20);
    for (const { url } of routes) {
      expect(page.includes(`${url.replace('/x', '/{id}')}\``), url).toBe(true);
    }
  });
});

describe('the Host header', () => {
  it.each([
    'localhost',
    'localhost:8080',
    '127.0.0.1:8080',
    '[::1]:8080',
    '192.168.1.2',
    'LOCALHOST',
    'my.name',
  ])('may be %s', async (host) => {
    const server = serve({ allowedHosts: ['my.name'] });
    expect((await server.app.inject({ url: '/livez', headers: { host } })).statusCode).toBe(200);
  });

  it.each([
    'evil.example',
    'localhost.evil.example',
    'evil.example:8080',
    'localhost@evil.example',
    'a/b',
    'localhost/x',
  ])('must not be %j', async (host) => {
    const server = serve();
    for (const url of ['/livez', '/v1/models', '/nothing']) {
      const response = await server.app.inject({ url, headers: { host } });
      expect(response.statusCode).toBe(403);
      expect(response.json().error).toMatchObject({ type: 'permission_error', code: 'HOST_NOT_ALLOWED' });
    }
  });
});

describe('pages of other origins', () => {
  it('are refused, and get no CORS headers', async () => {
    const server = serve();
    const ask = (origin: string, method: 'GET' | 'OPTIONS' = 'GET') =>
      server.app.inject({ url: '/v1/models', method, headers: { host: 'localhost:8080', origin } });
    for (const origin of [
      'http://evil.example',
      'null',
      'http://localhost:9999',
      'http://localhost:8080.evil.example',
    ]) {
      const response = await ask(origin);
      expect(response.statusCode).toBe(403);
      expect(Object.keys(response.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
    const own = await ask('http://localhost:8080');
    expect(own.statusCode).toBe(200);
    expect(own.headers['access-control-allow-origin']).toBeUndefined();
    expect((await ask('http://evil.example', 'OPTIONS')).statusCode).toBe(403);
  });
});

describe('server options', () => {
  it.each<[object, RegExp]>([
    [{ port: -1 }, /port is -1/],
    [{ port: 'http' }, /port is "http"/],
    [{ host: '' }, /host is ""/],
    [{ apiKey: ['sk-1', ''] }, /^apiKey is wrong$/],
    [{ apiKey: '' }, /apiKey is wrong/],
    [{ queue: 1.5 }, /queue is 1.5/],
    [{ controller: 'nobody' }, /no controller named/],
    [{ controller: 'fixed' }, /no depth/],
    [{ depth: 99 }, /depth/],
    [{ pingMs: 2 ** 31 }, /pingMs/],
    [{ cors: true }, /no server option cors/],
  ])('are checked: %j', (options, message) => {
    expect(() => createServer(new FakeEngine(), options as ServerOptions)).toThrow(message);
    expect(() => createServer(new FakeEngine(), options as ServerOptions)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});
