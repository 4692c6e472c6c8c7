// Downloads: what a server, a network, a disk and a second process can do to them, against a server on this machine.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AdaptiveSpecError } from '../../lib/errors.js';
import { defaultPairPaths, resolveModel } from '../../lib/models/download.js';
import { type DownloadProgress, fetchFile } from '../../lib/models/fetch.js';
import { withLock } from '../../lib/models/lock.js';
import { type FileServer, fileServer, type Handler, sendBeginning, sendFile } from './file-server.js';

/** Larger than the buffers of a connection, and unlike itself everywhere. */
const FILE = Buffer.concat(
  Array.from({ length: 20_000 }, (_, i) => createHash('sha256').update(`${i}`).digest()),
);
const OTHER_FILE = Buffer.from(FILE).reverse();
const HASH = sha256(FILE);
const WRONG_HASH = sha256(OTHER_FILE);
const HALF = 300_000;

let folder: string;
let server: FileServer;
let realCache: string | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-download-'));
  realCache = process.env.ADAPTIVE_SPEC_CACHE;
  process.env.ADAPTIVE_SPEC_CACHE = join(folder, 'cache');
  server = await fileServer((request, response) => sendFile(request, response, FILE));
});

afterEach(async () => {
  if (realCache === undefined) delete process.env.ADAPTIVE_SPEC_CACHE;
  else process.env.ADAPTIVE_SPEC_CACHE = realCache;
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

const destination = () => join(folder, 'model.gguf');
const address = (path = '/model.gguf') => `${server.origin}${path}`;

function fetchModel(options: Parameters<typeof fetchFile>[3] = {}) {
  return fetchFile(new URL(address()), destination(), 'model', options);
}

/** What a promise rejects with, which must be an error of ours. */
async function errorOf(promise: Promise<unknown>): Promise<AdaptiveSpecError> {
  const error = await promise.then(
    (value) => expect.fail(`resolved with ${String(value)}`),
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(AdaptiveSpecError);
  expect((error as AdaptiveSpecError).hint).not.toBe('');
  return error as AdaptiveSpecError;
}

/** Fetches the first half, then the connection breaks off. */
async function fetchHalf(etag?: string) {
  const { handler } = server;
  server.handler = (_, response) => sendBeginning(response, FILE, HALF, etag);
  const error = await errorOf(
    fetchModel({ onProgress: ({ received }) => void (received === HALF && server.breakOff()) }),
  );
  expect(existsSync(destination())).toBe(false);
  server.handler = handler;
  server.requests = [];
  return error;
}

/** A file as the content of `destination`, and nothing of the download beside it. */
function expectFile(file: Buffer) {
  expect(sha256(readFileSync(destination()))).toBe(sha256(file));
  expect(readdirSync(folder)).toEqual(['model.gguf']);
}

describe('a download', () => {
  it('gets the whole file, and tells how far it is', async () => {
    const told: DownloadProgress[] = [];
    await fetchModel({ onProgress: (progress) => void told.push(progress) });
    expectFile(FILE);
    expect(told[0]).toEqual({ name: 'model', received: 0, total: FILE.length });
    expect(told.at(-1)).toEqual({ name: 'model', received: FILE.length, total: FILE.length });
    expect(told.map(({ received }) => received)).toEqual(
      told.map(({ received }) => received).sort((a, b) => a - b),
    );
  });

  it('has no total where the server gives no length', async () => {
    const told: DownloadProgress[] = [];
    server.handler = (_, response) => void response.write(FILE, () => response.end());
    await fetchModel({ onProgress: (progress) => void told.push(progress) });
    expectFile(FILE);
    expect(told.at(-1)).toEqual({ name: 'model', received: FILE.length });
  });

  it('asks for the bytes of the file, not for packed ones whose length says nothing', async () => {
    server.handler = (request, response) => {
      if (!/gzip/.test(String(request.headers['accept-encoding']))) return sendFile(request, response, FILE);
      const packed = gzipSync(FILE);
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length }).end(packed);
    };
    await fetchModel();
    expectFile(FILE);
  });
});

describe('a download that broke off', () => {
  it('goes on where it was, if the file is still the same', async () => {
    const error = await fetchHalf();
    expect(error.code).toBe('DOWNLOAD_FAILED');
    expect(error.hint).toMatch(/goes on/);
    const told: DownloadProgress[] = [];
    await fetchModel({ sha256: HASH, onProgress: (progress) => void told.push(progress) });
    expectFile(FILE);
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]!.headers).toMatchObject({ range: `bytes=${HALF}-`, 'if-range': '"v1"' });
    expect(told[0]).toEqual({ name: 'model', received: HALF, total: FILE.length });
    expect(told.at(-1)!.received).toBe(FILE.length);
  });

  it('starts anew where the file has changed', async () => {
    await fetchHalf();
    server.handler = (request, response) => sendFile(request, response, OTHER_FILE, '"v2"');
    await fetchModel();
    expectFile(OTHER_FILE);
  });

  it('starts anew where the server ignores ranges', async () => {
    await fetchHalf();
    server.handler = (_, response) => void response.writeHead(200, { etag: '"v1"' }).end(FILE);
    await fetchModel();
    expect(server.requests[0]!.headers.range).toBe(`bytes=${HALF}-`);
    expectFile(FILE);
  });

  it.each([
    ['a weak tag', 'W/"v1"'],
    ['no tag', ''],
  ])('starts anew where %s does not promise the same bytes', async (_, etag) => {
    await fetchHalf(etag);
    await fetchModel();
    expect(server.requests[0]!.headers.range).toBeUndefined();
    expectFile(FILE);
  });

  it('is not put together with another part than it asked for', async () => {
    await fetchHalf();
    server.handler = (_, response) => {
      const range = `bytes ${HALF + 7}-${FILE.length - 1}/${FILE.length}`;
      response.writeHead(206, { 'content-range': range }).end(FILE.subarray(HALF + 7));
    };
    expect((await errorOf(fetchModel())).message).toMatch(/another part/);
    expect(existsSync(destination())).toBe(false);
  });

  it('starts anew after the server refused its range', async () => {
    await fetchHalf();
    const good = server.handler;
    server.handler = (_, response) => void response.writeHead(416).end();
    const error = await errorOf(fetchModel());
    expect(error.code).toBe('DOWNLOAD_FAILED');
    expect(error.hint).toMatch(/anew/);
    server.handler = good;
    await fetchModel();
    expect(server.requests.at(-1)!.headers.range).toBeUndefined();
    expectFile(FILE);
  });
});

describe('a hash', () => {
  it('that is wrong leaves nothing of the file, and both hashes in the message', async () => {
    const error = await errorOf(fetchModel({ sha256: WRONG_HASH }));
    expect(error.code).toBe('DOWNLOAD_FAILED');
    expect(error.message).toContain(HASH);
    expect(error.message).toContain(WRONG_HASH);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('in the address is checked, in either case of letters', async () => {
    const path = await resolveModel(address(`/model.gguf#sha256=${HASH.toUpperCase()}`));
    expect(sha256(readFileSync(path))).toBe(HASH);
    expect(server.requests[0]!.url).toBe('/model.gguf');
    const error = await errorOf(resolveModel(address(`/model.gguf#sha256=${WRONG_HASH}`)));
    expect(error.message).toContain(HASH);
  });

  it('in the address is not taken for checked because the file is there without one', async () => {
    await resolveModel(address());
    const error = await errorOf(resolveModel(address(`/model.gguf#sha256=${WRONG_HASH}`)));
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', message: expect.stringContaining(HASH) });
  });

  it.each(['#sha256=abc', `#md5=${'0'.repeat(32)}`, `#sha256=${HASH}0`, '#main'])(
    'that is none is refused before anything is asked: %s',
    async (hash) => {
      const error = await errorOf(resolveModel(address(`/model.gguf${hash}`)));
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(hash) });
      expect(server.requests).toEqual([]);
    },
  );

  /** Hugging Face: the first answer has the hash, the storage's tag has 64 digits of another kind. */
  const hub =
    (linked: string): Handler =>
    (request, response) => {
      if (request.url !== '/model.gguf') sendFile(request, response, FILE, `"${WRONG_HASH}"`);
      else response.writeHead(302, { location: '/storage?part=1', 'x-linked-etag': `"${linked}"` }).end();
    };

  it('that Hugging Face gives is the one to go by, not the tag of its storage', async () => {
    server.handler = hub(HASH);
    await fetchModel();
    expectFile(FILE);
  });

  it('that Hugging Face gives refuses another file', async () => {
    server.handler = hub(WRONG_HASH);
    expect((await errorOf(fetchModel())).message).toContain(HASH);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('a server', () => {
  it.each([
    [404, /no such file \(404\)/, /address/],
    [401, /login \(401\)/, /by hand/],
    [403, /login \(403\)/, /by hand/],
    [500, /answered 500/, /later/],
    [503, /answered 503/, /later/],
  ])('that answers %i is quoted, with what to do', async (status, message, hint) => {
    server.handler = (_, response) => void response.writeHead(status).end('<html>no</html>');
    const error = await errorOf(fetchModel());
    expect(error.code).toBe('DOWNLOAD_FAILED');
    expect(error.message).toMatch(message);
    expect(error.message).toContain(address());
    expect(error.hint).toMatch(hint);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('that is not there is named with the reason', async () => {
    const url = new URL(address());
    await server[Symbol.asyncDispose]();
    const error = await errorOf(fetchFile(url, destination(), 'model'));
    expect(error.message).toMatch(/connection failed \(ECONNREFUSED\)/);
    expect(error.hint).toMatch(/network/);
  });

  it('that ends too soon gives no file, with or without a length', async () => {
    await fetchHalf();
    rmSync(`${destination()}.part`);
    server.handler = (_, response) => void response.write(FILE.subarray(0, HALF));
    const error = await errorOf(
      fetchModel({ onProgress: ({ received }) => void (received === HALF && server.breakOff()) }),
    );
    expect(error.code).toBe('DOWNLOAD_FAILED');
    expect(existsSync(destination())).toBe(false);
  });

  it('may send elsewhere, but not where there is no encryption', async () => {
    server.handler = (_, response) =>
      void response.writeHead(302, { location: 'http://example.com/x' }).end();
    const error = await errorOf(fetchModel());
    expect(error.message).toMatch(/http:\/\/example\.com, without encryption/);
  });

  it.each([address.bind(null, '/model.gguf'), () => 'http://['])(
    'that sends in circles or nowhere is given up',
    async (location) => {
      server.handler = (_, response) => void response.writeHead(302, { location: location() }).end();
      expect((await errorOf(fetchModel())).message).toMatch(/redirects lead nowhere/);
      expect(server.requests.length).toBeLessThan(20);
    },
  );
});

describe('an abort', () => {
  it('rejects with its reason, and what is there is gone on with later', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const { handler } = server;
    server.handler = (_, response) => sendBeginning(response, FILE, HALF);
    const aborted = resolveModel(address(), {
      signal: controller.signal,
      onProgress: ({ received }) => void (received === HALF && controller.abort(reason)),
    });
    await expect(aborted).rejects.toBe(reason);
    server.handler = handler;
    const path = await resolveModel(address());
    expect(server.requests.at(-1)!.headers.range).toBe(`bytes=${HALF}-`);
    expect(sha256(readFileSync(path))).toBe(HASH);
  });

  it('that came before asks for nothing', async () => {
    await expect(resolveModel(address(), { signal: AbortSignal.abort('no') })).rejects.toBe('no');
    expect(server.requests).toEqual([]);
    expect(existsSync(join(folder, 'cache'))).toBe(false);
  });

  it('ends the wait for another download of the file', async () => {
    const lock = join(folder, 'lock');
    const controller = new AbortController();
    await withLock(lock, async () => {
      const waiting = withLock(lock, async () => expect.fail('ran beside another'), controller.signal);
      controller.abort('enough');
      await expect(waiting).rejects.toBe('enough');
    });
  });
});

describe('a disk', () => {
  it('whose cache folder cannot be made is named, with the variable that names another', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const dangling = join(folder, 'dangling');
    symlinkSync(join(folder, 'nowhere'), dangling);
    for (const [cache, code] of [
      [file, 'ENOTDIR'],
      [dangling, 'ENOENT'],
    ] as const) {
      process.env.ADAPTIVE_SPEC_CACHE = cache;
      const error = await errorOf(resolveModel(address()));
      expect(error).toMatchObject({
        code: 'DOWNLOAD_FAILED',
        hint: expect.stringContaining('ADAPTIVE_SPEC_CACHE'),
      });
      expect(error.message).toContain(cache);
      expect(error.message).toContain(code);
    }
    expect(server.requests).toEqual([]);
  });

  it('that is full is called full', async () => {
    symlinkSync('/dev/full', `${destination()}.part`);
    const error = await errorOf(fetchModel());
    expect(error.message).toMatch(/the disk is full/);
    expect(error.hint).toContain('ADAPTIVE_SPEC_CACHE');
  });

  it('that refuses the file is not taken for a bad network', async () => {
    mkdirSync(`${destination()}.part`);
    const error = await errorOf(fetchModel());
    expect(error.message).toMatch(/can't be written \(EISDIR\)/);
    expect(error.hint).toContain('ADAPTIVE_SPEC_CACHE');
  });
});

describe('an address', () => {
  it.each(['http://example.com/a.gguf', 'http://127.0.0.1.example.com/a.gguf', 'HTTP://8.8.8.8/a.gguf'])(
    'without encryption is refused, but for this machine: %s',
    async (reference) => {
      const error = await errorOf(resolveModel(reference));
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(/encryption/) });
    },
  );

  it.each([
    'hf:',
    'hf:model.gguf',
    'hf:owner/model.gguf',
    'hf:owner/repo',
    'hf:owner/repo/model.safetensors',
    'hf:owner/repo/model.gguf?download=true',
    'hf:own er/repo/model.gguf',
    'hf://owner/repo/model.gguf',
  ])('of Hugging Face that is none is refused with the form: %s', async (reference) => {
    const error = await errorOf(resolveModel(reference));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain(reference.split('?')[0]!);
    expect(error.hint).toContain('hf:owner/repo/file.gguf');
  });

  it.each(['https://', 'https://host:99999/a.gguf', 'https://[/a.gguf'])(
    'that is none is refused: %s',
    async (reference) => {
      const error = await errorOf(resolveModel(reference));
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(reference) });
    },
  );

  it('whose name no file can have still gets one, inside the cache', async () => {
    for (const path of [
      '/%E0%A4%A.gguf',
      '/a%00b%1B[2J.gguf',
      '/..%2F..%2Fout.gguf',
      '/..%5Cout.gguf',
      '/',
    ]) {
      const names: string[] = [];
      const file = await resolveModel(address(path), { onProgress: ({ name }) => void names.push(name) });
      expect(sha256(readFileSync(file))).toBe(HASH);
      expect(file.startsWith(join(folder, 'cache', 'models'))).toBe(true);
      expect(`${file}${names.join()}`).not.toMatch(/\p{C}/u);
    }
  });

  it('that differs in its query only has a file of its own', async () => {
    server.handler = (request, response) =>
      sendFile(request, response, request.url.endsWith('b') ? OTHER_FILE : FILE);
    const a = await resolveModel(address('/model.gguf?revision=a'));
    const b = await resolveModel(address('/model.gguf?revision=b'));
    expect([a, b].map((path) => sha256(readFileSync(path)))).toEqual([HASH, WRONG_HASH]);
  });

  it('is never shown with its secrets, whatever goes wrong', async () => {
    const secret = 'hush-hush';
    const failures: [handler: Handler, reference: string][] = [404, 401, 416, 500].map((status) => [
      (_, response) => void response.writeHead(status).end(secret),
      address(`/${status}.gguf?token=${secret}`),
    ]);
    const elsewhere = (location: string): Handler => {
      return (_, response) => void response.writeHead(302, { location }).end();
    };
    failures.push(
      [(_, response) => void response.destroy(), address(`/cut.gguf?token=${secret}`)],
      [elsewhere(`http://user:${secret}@example.com/?${secret}`), address(`/out.gguf?token=${secret}`)],
      [elsewhere(`https://user:${secret}@127.0.0.1:1/?${secret}`), address(`/login.gguf?token=${secret}`)],
      [elsewhere('/again'), address(`/circle.gguf?token=${secret}`)],
      [server.handler, address(`/hash.gguf?token=${secret}#sha256=${WRONG_HASH}`)],
      [server.handler, `http://user:${secret}@127.0.0.1/a.gguf`],
      [server.handler, `http://127.0.0.1:99999/a.gguf?token=${secret}`],
      [server.handler, `https://user:${secret}@host:99999/a.gguf`],
      [server.handler, `http://example.com/a.gguf?token=${secret}`],
      [server.handler, `hf:owner/repo/a.gguf?token=${secret}`],
    );
    for (const [handler, reference] of failures) {
      server.handler = handler;
      const error = await errorOf(resolveModel(reference));
      expect(inspect(error, { depth: 9, showHidden: true }), reference).not.toContain(secret);
    }
    const offline = await errorOf(resolveModel(address(`/a.gguf?token=${secret}`), { offline: true }));
    expect(inspect(offline)).not.toContain(secret);
  });
});

describe('offline', () => {
  it('asks for nothing, and says what is missing', async () => {
    for (const reference of [address('/b.gguf'), 'hf:owner/repo/b.gguf']) {
      const error = await errorOf(resolveModel(reference, { offline: true }));
      expect(error).toMatchObject({ code: 'MODEL_NOT_FOUND', message: expect.stringContaining('b.gguf') });
    }
    const error = await errorOf(resolveModel('smollm2-135m-instruct', { offline: true }));
    expect(error).toMatchObject({ code: 'MODEL_NOT_FOUND', hint: expect.stringContaining('models pull') });
    expect(server.requests).toEqual([]);
  });

  it('gives what is there', async () => {
    const path = await resolveModel(address());
    expect(await resolveModel(address(), { offline: true })).toBe(path);
    expect(server.requests).toHaveLength(1);
  });
});

describe('a name', () => {
  it('that is neither a model nor a file is refused with those that there are', async () => {
    const error = await errorOf(resolveModel('smollm3'));
    expect(error).toMatchObject({ code: 'MODEL_NOT_FOUND', message: expect.stringContaining('smollm3') });
    expect(error.hint).toContain('smollm2-135m-instruct');
  });

  it('of a file in the cache that was cut off does not count as the model', async () => {
    const { target } = defaultPairPaths();
    mkdirSync(join(target, '..'), { recursive: true });
    writeFileSync(target, 'GGUF');
    const error = await errorOf(resolveModel('smollm2-135m-instruct', { offline: true }));
    expect(error.code).toBe('MODEL_NOT_FOUND');
  });
});

describe('two downloads at once', () => {
  it('of one file fetch it once', async () => {
    const reference = address();
    const paths = await Promise.all([1, 2, 3].map(() => resolveModel(reference)));
    expect(new Set(paths).size).toBe(1);
    expect(server.requests).toHaveLength(1);
    expect(sha256(readFileSync(paths[0]!))).toBe(HASH);
    expect(readdirSync(join(paths[0]!, '..'))).toEqual(['model.gguf']);
  });

  it('go on when the first fails', async () => {
    server.handler = (request, response, index) => {
      if (index === 0) response.writeHead(500).end();
      else sendFile(request, response, FILE);
    };
    const results = await Promise.allSettled([resolveModel(address()), resolveModel(address())]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});

describe('a lock', () => {
  const lock = () => join(folder, 'lock');
  const deadPid = () => spawnSync(process.execPath, ['--version']).pid;

  it('of a process that died is taken over at once', async () => {
    writeFileSync(lock(), `${deadPid()} ${hostname()}`);
    const started = performance.now();
    expect(await withLock(lock(), async () => 'ran')).toBe('ran');
    expect(performance.now() - started).toBeLessThan(5000);
    expect(existsSync(lock())).toBe(false);
  });

  it.each([
    ['whose process id is another process’s by now', () => `${process.pid} ${hostname()}`],
    ['that was never written to, on a full disk', () => ''],
    ['of another machine', () => `${deadPid()} elsewhere`],
  ])('%s is waited for, then taken over', async (_, text) => {
    writeFileSync(lock(), text());
    const started = performance.now();
    expect(await withLock(lock(), async () => 'ran', undefined, 600)).toBe('ran');
    expect(performance.now() - started).toBeGreaterThan(590);
  });

  it('whose holder takes long is not taken over', async () => {
    const order: string[] = [];
    const slow = withLock(lock(), async () => {
      await sleep(5000);
      order.push('slow');
    });
    const next = withLock(lock(), async () => void order.push('next'), undefined, 3500);
    await Promise.all([slow, next]);
    expect(order).toEqual(['slow', 'next']);
  });

  it('is given back after a failure', async () => {
    await expect(withLock(lock(), () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
    expect(existsSync(lock())).toBe(false);
  });
});
