// Runs native/test, the tests of the C++ below Node, and shows each of them as a test of its own.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { variantAsked } from '../../scripts/addon-key.mjs';
import { tinyModels } from '../tiny-models.js';

const root = join(import.meta.dirname, '../..');
const cmakeFolder = join(root, 'build/cmake');
const program = join(root, 'build/Release/native_tests');

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
  build();
  const env = { ...process.env, ADAPTIVE_SPEC_TINY_MODELS: dirname((await tinyModels()).target) };
  const { stdout, stderr, signal } = spawnSync(program, { env, encoding: 'utf8' });
  output = `${stdout}${stderr}${signal ? `\nended by ${signal}` : ''}`;
  for (const entry of stdout.split(/^(?=ok |FAILED )/m)) {
    const name = entry.match(/^(?:ok|FAILED) (.+) \(\d+ ms\)$/m)?.[1];
    if (name) results.set(name, entry);
  }
}, 900_000);

/** Builds what is not up to date. Configures as scripts/build.mjs does where a cached addon made that needless. */
function build(): void {
  const cache = join(cmakeFolder, 'CMakeCache.txt');
  const configured = existsSync(cache) ? readFileSync(cache, 'utf8') : '';
  if (!configured.includes(`\nCMAKE_HOME_DIRECTORY:INTERNAL=${root}\n`)) {
    rmSync(cmakeFolder, { recursive: true, force: true });
    const cmakeJs = join(root, 'node_modules/cmake-js/bin/cmake-js');
    const variant = `--CDADAPTIVE_SPEC_PORTABLE=${variantAsked() === 'portable' ? 'ON' : 'OFF'}`;
    command(process.execPath, [cmakeJs, 'configure', '--out', cmakeFolder, '--log-level', 'warn', variant]);
  }
  command('cmake', ['--build', cmakeFolder, '--target', 'native_tests', '--parallel']);
}

function command(file: string, args: string[]): void {
  try {
    execFileSync(file, args, { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${file} ${args.join(' ')}\n${stdout}${stderr}`);
  }
}

for (const name of NAMES) {
  it(name, () => {
    const result = results.get(name) ?? `not run, or not to its end:\n${output}`;
    expect(result.startsWith('ok '), result).toBe(true);
  });
}

it('the program runs the tests that its sources hold, and no others', () => {
  expect([...results.keys()].sort()).toEqual([...NAMES].sort());
});
