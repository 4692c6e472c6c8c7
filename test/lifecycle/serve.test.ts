// `adaptive-spec serve` as a process: what ends it, with which exit code, and what starts it again.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { pauseMs } from '../../lib/cli/supervise.js';
import { tinyModels } from '../tiny-models.js';
import { expectNoLastWords, mustBeCompiled } from './child.js';

let folder: string;
let model: string;
beforeAll(async () => {
  mustBeCompiled();
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-serve-'));
  model = (await tinyModels()).target;
});
afterAll(() => rmSync(folder, { recursive: true }));

const started: Process[] = [];
afterEach(() => {
  for (const { child } of started.splice(0)) child.kill('SIGKILL');
});

interface Process {
  child: ChildProcessByStdio<null, Readable, Readable>;
  out: () => string;
  err: () => string;
  /** The last address that it listens on, once it has told `count` of them. */
  address: (count?: number) => Promise<string>;
  end: Promise<{ code: number | null; signal: string | null }>;
}

function serve(args: string[], env: Record<string, string> = {}, ownGroup = false): Process {
  const flags = [
    '--model',
    model,
    '--no-draft',
    '--context-size',
    '512',
    '--calibrate',
    'off',
    '--port',
    '0',
  ];
  const child = spawn(process.execPath, [resolve('dist/cli/main.js'), 'serve', ...flags, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    detached: ownGroup,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk;
  });
  const end = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  const address = async (count = 1) => {
    for (;;) {
      const told = [...stdout.matchAll(/^listening on (http\S+)$/gm)];
      if (told.length >= count) return told.at(-1)![1]!;
      if (child.exitCode !== null) throw new Error(`It ended with ${child.exitCode}: ${stderr}`);
      await new Promise((done) => setTimeout(done, 10));
    }
  };
  const made = { child, out: () => stdout, err: () => stderr, address, end };
  started.push(made);
  return made;
}

const headers = { 'content-type': 'application/json' };
const complete = (address: string, body: object) =>
  fetch(`${address}/v1/completions`, { method: 'POST', headers, body: JSON.stringify(body) });

describe('SIGTERM', () => {
  it('lets streams finish, and ends with exit code 0', async () => {
    const process = serve([]);
    const address = await process.address();
    const body = { prompt: 'the world', max_tokens: 400, stream: true, ignore_eos: true };
    const response = await complete(address, body);
    process.child.kill('SIGTERM');
    const text = await response.text();
    expect(text).toMatch(/"finish_reason":"length".*data: \[DONE\]\n\n$/s);
    expect(await process.end).toEqual({ code: 0, signal: null });
    expectNoLastWords(process.err(), 'serve');
  });

  it('ends with 130 where it was Ctrl-C', async () => {
    const process = serve([]);
    await process.address();
    process.child.kill('SIGINT');
    expect(await process.end).toEqual({ code: 130, signal: null });
  });
});

it('sets the server by its flags', async () => {
  const template = join(folder, 'template.jinja');
  writeFileSync(
    template,
    "{% for m in messages %}[{{ m['content'] }}]{% endfor %}{% if enable_thinking %}?{% endif %}",
  );
  const process = serve([
    ...[
      '--max-tokens',
      '3',
      '--temperature',
      '0.5',
      '--top-k',
      '4',
      '--top-p',
      '0.9',
      '--min-p',
      '0.1',
      '--seed',
      '7',
    ],
    ...['--no-thinking', '--no-slots', '--verbose', '--batch-size', '32', '--chat-template-file', template],
  ]);
  const address = await process.address();
  const { default_generation_settings } = await (await fetch(`${address}/props`)).json();
  expect(default_generation_settings.params).toMatchObject({
    ...{ n_predict: 3, temperature: 0.5, top_k: 4, top_p: 0.9, min_p: 0.1, seed: 7 },
  });
  expect((await fetch(`${address}/slots`)).status).toBe(501);
  const messages = [{ role: 'user', content: 'Hi' }];
  const chat = await fetch(`${address}/v1/chat/completions`, {
    ...{ method: 'POST', headers, body: JSON.stringify({ messages }) },
  });
  const { usage, __verbose } = await chat.json();
  expect(usage.completion_tokens).toBe(3);
  expect(__verbose).toMatchObject({ prompt: '[Hi]', generation_settings: { seed: 7 } });
});

it('sets limits, the drafter and the n-gram store by flags', async () => {
  const store = join(folder, 'answers.ngrams');
  const process = serve([
    ...['--drafter', 'ngram-simple', '--ngram-store', store, '--max-memory', '4e9'],
    ...['--body-limit', '2000', '--max-messages', '2'],
  ]);
  const address = await process.address();
  const { default_generation_settings } = await (await fetch(`${address}/props`)).json();
  expect(default_generation_settings.params.adaptive_spec.drafter).toBe('ngram-simple');
  const chat = (messages: object[]) =>
    fetch(`${address}/v1/chat/completions`, {
      ...{ method: 'POST', headers, body: JSON.stringify({ messages, max_tokens: 3 }) },
    });
  const said = (content: string) => ({ role: 'user', content });
  expect((await chat([said('x'.repeat(2000))])).status).toBe(413);
  expect((await chat([said('a'), said('b'), said('c')])).status).toBe(400);
  expect((await chat([said('a'), said('b')])).status).toBe(200);
  process.child.kill('SIGTERM');
  expect(await process.end).toEqual({ code: 0, signal: null });
  expect(existsSync(store)).toBe(true);
});

it('loads nothing that takes more memory than it may', async () => {
  const process = serve(['--max-memory', '1000']);
  expect(await process.end).toEqual({ code: 1, signal: null });
  expect(process.err()).toMatch(/^OUT_OF_MEMORY: /);
});

it('has no drafter that its models lack', async () => {
  const process = serve(['--drafter', 'hybrid']);
  expect(await process.end).toEqual({ code: 2, signal: null });
  expect(process.err()).toMatch(/^INVALID_ARGUMENT: This engine has no drafter named "hybrid"/);
});

it('says which chat template it cannot read', async () => {
  const process = serve(['--chat-template-file', join(folder, 'none.jinja')]);
  expect((await process.end).code).not.toBe(0);
  expect(process.err()).toContain('none.jinja');
});

describe('--isolate', () => {
  const childOf = (pid: number) =>
    Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').at(-1));

  it('starts the server again when it dies, and ends with it', async () => {
    const parent = serve(['--isolate']);
    await parent.address();
    process.kill(childOf(parent.child.pid!), 'SIGABRT');
    const address = await parent.address(2);
    expect(parent.err()).toMatch(/died \(SIGABRT\); it starts again in 500 ms/);
    const { choices } = await (await complete(address, { prompt: 'the world', max_tokens: 3 })).json();
    expect(choices[0].finish_reason).toBe('length');
    parent.child.kill('SIGTERM');
    expect(await parent.end).toEqual({ code: 0, signal: null });
  });

  it("lets streams finish at a terminal's Ctrl-C, which its whole group hears", async () => {
    const parent = serve(['--isolate'], {}, true);
    const address = await parent.address();
    const body = { prompt: 'the world', max_tokens: 400, stream: true, ignore_eos: true };
    const response = await complete(address, body);
    process.kill(-parent.child.pid!, 'SIGINT');
    expect(await response.text()).toMatch(/"finish_reason":"length".*data: \[DONE\]\n\n$/s);
    expect(await parent.end).toEqual({ code: 130, signal: null });
  });

  it('leaves no server behind where the parent is killed', async () => {
    const parent = serve(['--isolate']);
    await parent.address();
    parent.child.kill('SIGKILL');
    // Comes when the pipes are closed, which the child has too.
    expect(await parent.end).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('does not try again what fails from the start', async () => {
    const parent = serve(['--isolate', '--model', join(folder, 'nothing.gguf')]);
    expect(await parent.end).toEqual({ code: 1, signal: null });
    expect(parent.err()).toMatch(/^MODEL_NOT_FOUND: /);
  });

  it('waits longer after each crash', () => {
    expect([1, 2, 3, 4, 20].map(pauseMs)).toEqual([500, 1000, 2000, 4000, 30_000]);
  });
});

describe('the API key', () => {
  it('comes from a file or the environment, and is needed where others can reach the server', async () => {
    const file = join(folder, 'keys');
    writeFileSync(file, 'sk-one\n\nsk-two\r\n');
    const process = serve(['--api-key-file', file, '--host', '0.0.0.0'], {
      ADAPTIVE_SPEC_API_KEY: 'sk-three',
    });
    const { port } = new URL(await process.address());
    const status = async (key?: string) => {
      const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
      return (await fetch(`http://127.0.0.1:${port}/v1/models`, { headers: authorization })).status;
    };
    expect([await status(), await status('sk-four')]).toEqual([401, 401]);
    expect([await status('sk-one'), await status('sk-two'), await status('sk-three')]).toEqual([
      200, 200, 200,
    ]);
    process.child.kill('SIGTERM');
    expect((await process.end).code).toBe(0);
  });

  it.each<[string[], RegExp]>([
    [['--host', '0.0.0.0'], /no API key/],
    [['--api-key-file', '/nowhere'], /can't be read/],
    [['--port', 'http'], /--port is "http"/],
    [['--port', '99999'], /port/],
    [['--controller', 'nobody'], /no controller named/],
    [['--controller', 'auto', '--depth', '3'], /A depth was given/],
    [['--parallel', '1000'], /parallel/],
    [['--max-memory', '8G'], /--max-memory is "8G"/],
    [['--body-limit', '0'], /bodyLimit is 0/],
    [['--max-messages', '1.5'], /maxMessages is 1.5/],
    [['--ngram-store', ''], /ngramStore is/],
  ])('and other flags that are wrong end it before a model is loaded: %j', async (args, message) => {
    const process = serve(args, { ADAPTIVE_SPEC_API_KEY: '' });
    expect(await process.end).toEqual({ code: 2, signal: null });
    expect(process.err()).toMatch(/^INVALID_ARGUMENT: /);
    expect(process.err()).toMatch(message);
    expect(process.out()).toBe('');
  });
});
