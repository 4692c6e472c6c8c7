// Runs native/test, the tests of the C++ below Node, and shows each of them as a test of its own.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { tinyModels } from '../tiny-models.js';
import { buildTargets, built, root } from './cmake.js';

/** Names of the tests that the sources hold, so that one which the program doesn't run is missed. */
const NAMES = readdirSync(join(root, 'native/test'))
  .filter((file) => file.endsWith('_test.cc'))
  .flatMap((file) => [
    ...readFileSync(join(root, 'native/test', file), 'utf8').matchAll(/^TEST\(\s*"(.+)"\)/gm),
  ])
  .map((match) => match[1]!);

/** What the program says of each test: its line, and the lines on what was wrong. */
const results = new Map<string, string>();
let output = '';

beforeAll(async () => {
  buildTargets('native_tests');
  const env = { ...process.env, ADAPTIVE_SPEC_TINY_MODELS: dirname((await tinyModels()).target) };
  const { stdout, stderr, signal } = spawnSync(built('native_tests'), { env, encoding: 'utf8' });
  output = `${stdout}${stderr}${signal ? `\nended by ${signal}` : ''}`;
  for (const entry of stdout.split(/^(?=ok |FAILED )/m)) {
    const name = entry.match(/^(?:ok|FAILED) (.+) \(\d+ ms\)$/m)?.[1];
    if (name) results.set(name, entry);
  }
}, 900_000);

for (const name of NAMES) {
  it(name, () => {
    const result = results.get(name) ?? `not run, or not to its end:\n${output}`;
    expect(result.startsWith('ok '), result).toBe(true);
  });
}

it('the program runs the tests that its sources hold, and no others', () => {
  expect([...results.keys()].sort()).toEqual([...NAMES].sort());
});
