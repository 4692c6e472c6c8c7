// What the README and the examples print is what runs: each block and each file, as a user would run it.
import { spawnSync } from 'node:child_process';
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

const root = resolve(import.meta.dirname, '../..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = (text: string) => [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code!);
const javaScript = blocks(readme);
const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' });
const pages = ['README.md', ...docs.map((name) => `docs/${name}`)].filter((name) => name.endsWith('.md'));

/** Libraries that examples and pages say to install beside the package. */
const LIBRARIES = ['ai', '@ai-sdk/openai-compatible', '@langchain/core', 'openai'];

/** A user's project: the package in node_modules, and what it is used with. */
let project: string;
beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'adaptive-spec-readme-'));
  for (const scope of ['@ai-sdk', '@langchain'])
    mkdirSync(join(project, 'node_modules', scope), { recursive: true });
  symlinkSync(root, join(project, 'node_modules/adaptive-spec'));
  for (const name of LIBRARIES)
    symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name));
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

function run(code: string, name: string) {
  const file = join(project, name);
  writeFileSync(file, code);
  return spawnSync(process.execPath, [file], { cwd: project, encoding: 'utf8', timeout: 110_000 });
}

describe('README.md', () => {
  it('has a quickstart and a controller', () => {
    expect(javaScript.length).toBeGreaterThanOrEqual(2);
    expect(javaScript.some((code) => code.includes('controller'))).toBe(true);
  });

  it.each(javaScript.map((code, i) => [i + 1, code] as const))('runs as printed: block %i', (i, code) => {
    const { status, stdout, stderr } = run(code, `block-${i}.mjs`);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout.trim().length).toBeGreaterThan(10);
  });
});

describe('docs/sdks.md', () => {
  const code = blocks(readFileSync(join(root, 'docs/sdks.md'), 'utf8'));
  it.each(code.map((code, i) => [i + 1, code] as const))('runs as printed: block %i', (i, code) => {
    const { status, stdout, stderr } = run(code, `sdks-${i}.mjs`);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout.trim().length).toBeGreaterThan(10);
  });
});

describe('examples/', () => {
  it.each(readdirSync(join(root, 'examples')))('runs: %s', (name) => {
    const { status, stdout, stderr } = run(readFileSync(join(root, 'examples', name), 'utf8'), name);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout.trim().length).toBeGreaterThan(10);
  });
});

describe('links', () => {
  it.each(pages)('lead somewhere: %s', (page) => {
    // Code may look like a link: list[0](argument).
    const text = readFileSync(join(root, page), 'utf8').replaceAll(/^```.*?^```$/gms, '');
    const folder = resolve(root, page, '..');
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)/g)) {
      expect(() => readFileSync(join(folder, target!)), `${page} links to ${target}`).not.toThrow();
    }
  });
});
