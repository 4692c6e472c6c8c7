// What a user gets from npm: all that is needed and nothing else, with import, require and types that work.
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TinyModels, tinyModels } from '../tiny-models.js';
import { mustBeCompiled } from './child.js';

let files: string[];
let folder: string;
let models: Pick<TinyModels, 'target' | 'draft'>;

beforeAll(async () => {
  mustBeCompiled();
  models = await tinyModels();
  const listing = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  files = packedFiles(JSON.parse(listing));
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-user-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(resolve('.'), join(folder, 'node_modules/adaptive-spec'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** npm 11 prints a list of packages, later ones an object by name. */
function packedFiles(listing: unknown): string[] {
  const [packed] = Object.values(listing as Record<string, { files: { path: string }[] }>);
  return packed!.files.map(({ path }) => path);
}

/** Runs a program of the user's own, in a folder that has the package in node_modules and nothing else. */
function program(name: string, source: string, ...args: string[]): string {
  writeFileSync(join(folder, name), source);
  return execFileSync(process.execPath, [name, ...args], { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
}

describe('the published files', () => {
  it.each([
    'package.json',
    'README.md',
    'LICENSE',
    'NOTICE',
    'CHANGELOG.md',
    'SECURITY.md',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/cli/main.js',
    'lib/serve/dashboard/page/index.html',
    'lib/serve/dashboard/page/main.js',
    'binding.gyp',
    'CMakeLists.txt',
    'cmake/llama.cmake',
    'native/addon.cc',
    'scripts/build.mjs',
    'scripts/source.mjs',
    'bench/prompts/dev.jsonl',
    'bench/prompts/switch.jsonl',
    'models/README.md',
    'models/smollm2-135m-draft-hot.Q4_0.gguf',
  ])('have %s in them', (name) => {
    expect(files).toContain(name);
  });

  it('are all that is compiled from lib/, without leftovers of sources that are gone', () => {
    const compiled = files.filter((name) => name.startsWith('dist/') && name.endsWith('.js'));
    const expected = readdirSync('lib', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `dist/${name.replace(/\.ts$/, '.js')}`);
    expect(compiled.sort()).toEqual(expected.sort());
  });

  it('are nothing that only this repository needs', () => {
    const allowed =
      /^(dist|lib\/serve\/dashboard\/page|native|cmake|scripts|models|prebuilds|docs|examples|bench\/prompts)\/|^(package\.json|binding\.gyp|CMakeLists\.txt|tsconfig\.json|README\.md|LICENSE|NOTICE|CHANGELOG\.md|SECURITY\.md)$/;
    expect(files.filter((name) => !allowed.test(name))).toEqual([]);
  });

  it('have every file in them that package.json points to', () => {
    const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
    const pointed = [...Object.values<string>(manifest.exports['.']), ...Object.values<string>(manifest.bin)];
    for (const path of pointed) expect(files).toContain(path.replace(/^\.\//, ''));
  });

  it('name no folder of the machine that they were made on', () => {
    const here = `${resolve('.')}/`;
    const texts = files.filter((name) => /\.(js|ts|mjs|json|md|cmake|gyp|txt|cc|h)$/.test(name));
    expect(texts.filter((name) => readFileSync(name, 'utf8').includes(here))).toEqual([]);
  });
});

describe('a program of the user', () => {
  const life = `
    const { createEngine, AdaptiveSpecError } = adaptive;
    async function life() {
      const [model, draft] = process.argv.slice(2);
      const engine = await createEngine({ model, draft });
      const { text } = await engine.generate({ prompt: 'hello', maxTokens: 8, ignoreEos: true, controller: () => 3 });
      await engine.close();
      return JSON.stringify({ text, names: Object.keys(adaptive).sort(), isClass: AdaptiveSpecError.prototype instanceof Error });
    }
    life().then((line) => console.log(line));`;
  const imported = () =>
    JSON.parse(
      program('user.mjs', `import * as adaptive from 'adaptive-spec';${life}`, models.target, models.draft),
    );

  it('gets the package by import', () => {
    const { text, names, isClass } = imported();
    expect(text).not.toBe('');
    expect(isClass).toBe(true);
    expect(names).toEqual(
      expect.arrayContaining(['createEngine', 'generate', 'unload', 'AdaptiveSpecError']),
    );
  });

  it('gets the same by require', () => {
    const required = JSON.parse(
      program('user.cjs', `const adaptive = require('adaptive-spec');${life}`, models.target, models.draft),
    );
    const { names, ...rest } = imported();
    expect(required).toMatchObject(rest);
    // Node adds names of its own to what require gives of a module.
    expect(required.names).toEqual(expect.arrayContaining(names));
  });

  it('finds the version and nothing of the inside', () => {
    const output = program(
      'inside.cjs',
      `console.log(require('adaptive-spec/package.json').version);
       try { require('adaptive-spec/dist/binding.js'); } catch ({ code }) { console.log(code); }`,
    );
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(output).toBe(`${version}\nERR_PACKAGE_PATH_NOT_EXPORTED\n`);
  });

  // One line of it must be an error: types that are all `any` would pass otherwise.
  const typed = `import { createEngine, generate, type GenerationResult, type StepReport } from 'adaptive-spec';
    export async function use(): Promise<GenerationResult> {
      const engine = await createEngine({ model: 'm.gguf', draft: 'd.gguf' });
      const text: string = (await generate({ prompt: 'x', controller: (report: StepReport) => report.accepted })).text;
      // @ts-expect-error
      await engine.generate({ prompt: 5 });
      return engine.generate({ prompt: text });
    }`;

  it.each([
    ['nodenext', 'nodenext', 'user.mts'],
    ['nodenext', 'nodenext', 'user.cts'],
    ['esnext', 'bundler', 'user.ts'],
  ])('has its types with module %s, resolution %s, in %s', (module, moduleResolution, name) => {
    writeFileSync(join(folder, name), typed);
    const options = {
      module,
      moduleResolution,
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      strict: true,
      noEmit: true,
      typeRoots: [resolve('node_modules/@types')],
      types: ['node'],
    };
    const project = join(folder, 'tsconfig.json');
    writeFileSync(project, JSON.stringify({ compilerOptions: options, files: [name] }));
    const tsc = resolve('node_modules/typescript/bin/tsc');
    const run = () =>
      execFileSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8', stdio: 'pipe' });
    expect(run()).toBe('');
  });
});
