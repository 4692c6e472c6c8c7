// docs/server/Containerfile: the folder that its last stage makes, laid out here without a container, serves all there is.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { tinyModels } from '../tiny-models.js';
import { mustBeCompiled } from './child.js';

const containerfile = readFileSync('docs/server/Containerfile', 'utf8');
const lastStage = containerfile.slice(containerfile.lastIndexOf('\nFROM '));

/** What is copied out of the build, by its path in the source folder and in the image's. */
const copies = [...lastStage.matchAll(/^COPY --from=build (.+) (\S+)$/gm)].flatMap(([, sources, target]) =>
  sources!.split(' ').map((source) => {
    // A pattern in brackets copies nothing where there is nothing.
    const from = source.replace('/src/', '').replace(/\[(.)\]/g, '$1');
    return { from, to: target!.endsWith('/') ? join(target!, from) : join(target!) };
  }),
);

/** Of what npm publishes: what builds the addon, and what people read. */
const NOT_FOR_RUNNING = [
  ...['native', 'cmake', 'scripts', 'binding.gyp', 'CMakeLists.txt', 'tsconfig.json'],
  ...['docs', 'examples', 'CHANGELOG.md', 'SECURITY.md'],
];

let folder: string;
let model: string;
beforeAll(async () => {
  mustBeCompiled();
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-container-'));
  model = (await tinyModels()).target;
});
afterAll(() => rmSync(folder, { recursive: true }));

let child: ChildProcess | undefined;
afterEach(() => child?.kill('SIGKILL'));

/** The image's /app, without what `without` names. */
function image(name: string, without?: string): string {
  const app = join(folder, name);
  for (const { from, to } of copies) {
    if (!existsSync(from) || from === without) continue;
    mkdirSync(dirname(join(app, to)), { recursive: true });
    // Code that is linked to would be run where it lies; the rest is large.
    if (['node_modules', 'models', 'build/Release', 'prebuilds'].includes(from))
      symlinkSync(resolve(from), join(app, to));
    else cpSync(from, join(app, to), { recursive: true });
  }
  return app;
}

/** Runs the entry point in such a folder. */
function start(app: string) {
  const [program, ...args] = JSON.parse(/^ENTRYPOINT (.+)$/m.exec(lastStage)![1]!) as string[];
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
  const { NODE_OPTIONS: _, ...env } = process.env;
  const started = spawn(program!, [...args, ...flags], {
    cwd: app,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...env, ADAPTIVE_SPEC_API_KEY: 'key' },
  });
  child = started;
  const told = { out: '', err: '' };
  started.stdout.setEncoding('utf8').on('data', (chunk) => {
    told.out += chunk;
  });
  started.stderr.setEncoding('utf8').on('data', (chunk) => {
    told.err += chunk;
  });
  return { told, end: once(started, 'close') };
}

describe('the container', () => {
  it('gets every file that npm publishes, but for those that nothing reads when it runs', () => {
    const { files } = JSON.parse(readFileSync('package.json', 'utf8')) as { files: string[] };
    const needed = files.filter((name) => !name.startsWith('!') && !NOT_FOR_RUNNING.includes(name));
    expect(needed).toContain('lib/serve/dashboard/page');
    const always = ['package.json', 'node_modules', 'build/Release', 'LICENSE'];
    expect(copies.map(({ from }) => from).sort()).toEqual([...needed, ...always].sort());
    // Where code looks for them.
    for (const { from, to } of copies) expect(to).toBe(from);
  });

  it('serves the API and the dashboard from them', async () => {
    const { told, end } = start(image('whole'));
    let address: string | undefined;
    while (address === undefined) {
      address = /^listening on (http\S+)$/m.exec(told.out)?.[1];
      if (child!.exitCode !== null) throw new Error(`It ended with ${child!.exitCode}: ${told.err}`);
      await new Promise((done) => setTimeout(done, 10));
    }
    const origin = `http://127.0.0.1:${new URL(address).port}`;
    const get = (path: string) => fetch(origin + path, { headers: { authorization: 'Bearer key' } });
    expect((await get('/readyz')).status).toBe(200);
    expect(await (await get('/dashboard')).text()).toContain('<!doctype html>');
    child!.kill('SIGTERM');
    expect(await end).toEqual([0, null]);
  });

  it('would say what is missing, and not that its address is taken', async () => {
    const { told, end } = start(image('without-page', 'lib/serve/dashboard/page'));
    expect(await end).toEqual([1, null]);
    expect(told.err).toMatch(/^PACKAGE_INCOMPLETE: The dashboard's index\.html can't be read: ENOENT/m);
    expect(told.out).toBe('');
  });
});
