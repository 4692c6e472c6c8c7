// What each entry of the package needs: no addon for tests, and none of the libraries that another entry is for.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mustBeCompiled } from './child.js';

/** A project with a copy of the package that has no addon, and with two libraries beside it. */
let project: string;
beforeAll(() => {
  mustBeCompiled();
  project = mkdtempSync(join(tmpdir(), 'adaptive-spec-entries-'));
  const copy = join(project, 'node_modules/adaptive-spec');
  mkdirSync(copy, { recursive: true });
  cpSync('dist', join(copy, 'dist'), { recursive: true });
  cpSync('package.json', join(copy, 'package.json'));
  for (const name of ['valibot', 'node-gyp-build']) {
    symlinkSync(resolve('node_modules', name), join(project, 'node_modules', name));
  }
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

function run(source: string): unknown {
  writeFileSync(join(project, 'user.mjs'), source);
  const { stdout, stderr } = spawnSync(process.execPath, ['user.mjs'], { cwd: project, encoding: 'utf8' });
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

it('a test engine runs where there is no addon, under the AI SDK as well', () => {
  const output = run(`
    import { createEngine } from 'adaptive-spec';
    import { adaptiveSpec } from 'adaptive-spec/ai-sdk';
    import { createTestEngine } from 'adaptive-spec/testing';

    const engine = await createTestEngine({ replies: ['Hello there', 'And again'] });
    const { text, stats } = await engine.generate({ messages: [{ role: 'user', content: 'Hi' }] });
    const prompt = [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }];
    const { content } = await adaptiveSpec({ engine }).doGenerate({ prompt });
    const { code } = await createEngine({ model: 'm.gguf' }).catch((error) => error);
    console.log(JSON.stringify({ text, steps: stats.steps > 0, content, code }));`);
  expect(output).toEqual({
    text: 'Hello there',
    steps: true,
    content: [{ type: 'text', text: 'And again' }],
    code: 'NATIVE_MISSING',
  });
});

it('no entry needs the libraries of another: only the chat model wants LangChain', () => {
  const output = run(`
    const load = (name) => import(name).then(() => 'loads', ({ code, message }) => code + message.match(/'[^']*'/));
    const names = ['adaptive-spec', 'adaptive-spec/ai-sdk', 'adaptive-spec/testing', 'adaptive-spec/langchain'];
    console.log(JSON.stringify(await Promise.all(names.map(load))));`);
  expect(output).toEqual([
    ...['loads', 'loads', 'loads'],
    expect.stringMatching(/^ERR_MODULE_NOT_FOUND'@langchain\/core/),
  ]);
});
