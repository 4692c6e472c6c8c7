// What can go wrong in the set-up scripts, each tried in a scratch checkout that holds the scripts and little else.
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { count } from '../../scripts/test.mjs';

let checkout: string;
let bin: string;

beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), 'adaptive-spec-set-up-'));
  bin = join(checkout, 'bin');
  mkdirSync(bin);
  cpSync(resolve('scripts'), join(checkout, 'scripts'), { recursive: true });
});

afterEach(() => rmSync(checkout, { recursive: true, force: true }));

/** Runs a script of the scratch checkout; `bin` is all of PATH, or comes before it. */
async function script(
  name: string,
  { path = `${bin}:${process.env.PATH}`, interrupt = false, env = {} } = {},
) {
  const child = spawn(process.execPath, [join(checkout, 'scripts', name)], {
    env: { ...process.env, PATH: path, ADAPTIVE_SPEC_CACHE: join(checkout, 'cache'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
    if (interrupt && stderr.includes('started')) child.kill('SIGINT');
  });
  const code = await new Promise<number | null>((done) => child.on('close', done));
  return { code, stdout, stderr };
}

function program(name: string, shell: string) {
  writeFileSync(join(bin, name), `#!/bin/sh\n${shell}\n`);
  chmodSync(join(bin, name), 0o755);
}

function git(folder: string, ...args: string[]) {
  const who = ['-c', 'user.name=test', '-c', 'user.email=test@localhost'];
  return execFileSync('git', [...who, '-C', folder, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

describe('source', () => {
  it('is refused when every place gives another tree or nothing, and the message names them', async () => {
    const upstream = join(checkout, 'upstream');
    mkdirSync(upstream);
    git(upstream, 'init', '--quiet');
    git(upstream, 'commit', '--quiet', '--allow-empty', '-m', 'not llama.cpp');
    git(upstream, 'tag', 'v0.5.0');
    program('npm', 'echo offline >&2; exit 1');
    const { code, stdout, stderr } = await script('source.mjs', {
      env: {
        GIT_CONFIG_COUNT: '1',
        GIT_CONFIG_KEY_0: `url.file://${upstream}.insteadOf`,
        GIT_CONFIG_VALUE_0: 'https://github.com/ggml-org/llama.cpp',
      },
    });
    expect(code).toBe(1);
    expect(stdout).toBe('');
    const emptyTree = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';
    expect(stderr).toMatch(
      new RegExp(`tag v0\\.5\\.0 of https://github.com/ggml-org/llama.cpp: tree ${emptyTree}`),
    );
    expect(stderr).toMatch(/node-llama-cpp@3\.22\.1: npm pack failed/);
    expect(stderr).toMatch(/Next: /);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(readdirSync(join(checkout, 'cache'))).toEqual([]);
  });

  it('is refused when the package is not the one whose hash is known', async () => {
    program('git', '[ "$1" = --version ] && exit 0; exit 1');
    program(
      'npm',
      `while [ "$1" != --pack-destination ]; do shift; done; echo forged > "$2/node-llama-cpp.tgz"`,
    );
    const { code, stderr } = await script('source.mjs');
    expect(code).toBe(1);
    expect(stderr).toMatch(/the package's hash is sha512-/);
  });

  it('does not overwrite a llama.cpp/ that holds something else', async () => {
    const folder = join(checkout, 'llama.cpp');
    mkdirSync(folder);
    writeFileSync(join(folder, 'mine.txt'), 'work');
    const { code, stderr } = await script('source.mjs');
    expect(code).toBe(1);
    expect(stderr).toMatch(/files that are no git checkout/);
    expect(readFileSync(join(folder, 'mine.txt'), 'utf8')).toBe('work');
  });

  it('exits with 130 on Ctrl-C, and ends what it runs and leaves nothing half done', async () => {
    program('git', '[ "$1" = --version ] && exit 0; exit 1');
    program('npm', `echo $$ > ${checkout}/pid; echo started >&2; exec sleep 60`);
    const { code, stderr } = await script('source.mjs', { interrupt: true });
    expect(code).toBe(130);
    expect(stderr).not.toMatch(/passed over: npm pack failed/);
    expect(() => process.kill(Number(readFileSync(join(checkout, 'pid'), 'utf8')), 0)).toThrow(/ESRCH/);
    expect(readdirSync(join(checkout, 'cache'))).toEqual([]);
  });
});

describe('build', () => {
  it('names every missing tool and the command that installs them, without a stack trace', async () => {
    const { code, stderr } = await script('build.mjs', { path: bin });
    expect(code).toBe(1);
    for (const tool of ['C++ compiler', 'CMake 3.20', 'make', 'Python 3', 'git'])
      expect(stderr).toContain(tool);
    expect(stderr).toMatch(/Next: .*g\+\+ cmake make python3 git/);
    expect(stderr).not.toMatch(/\n {4}at /);
  });

  it('takes a CMake that is too old for missing', async () => {
    for (const tool of ['c++', 'make', 'python3', 'git']) program(tool, 'echo 1.0');
    program('cmake', 'echo cmake version 3.9.6');
    const { code, stderr } = await script('build.mjs', { path: bin });
    expect(code).toBe(1);
    expect(stderr).toMatch(/this is missing: CMake 3\.20 or newer\.\n\nNext: .*cmake\n/);
  });
});

describe('addon key', () => {
  const keys = `import { addonKey, sourcesKey } from './scripts/addon-key.mjs';
    console.log(JSON.stringify({ sources: sourcesKey(), native: addonKey('native'), portable: addonKey('portable') }))`;

  function keysNow(env = {}) {
    const options = { cwd: checkout, encoding: 'utf8', env: { ...process.env, ...env } } as const;
    return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '--eval', keys], options));
  }

  beforeEach(() => {
    mkdirSync(join(checkout, 'native/engine'), { recursive: true });
    writeFileSync(join(checkout, 'native/engine/step.cc'), 'int step;');
    writeFileSync(join(checkout, 'CMakeLists.txt'), '');
    writeFileSync(join(checkout, 'package.json'), JSON.stringify({ devDependencies: {} }));
  });

  it('changes with a native source, its name and the compiler, and with nothing else', () => {
    const before = keysNow();
    expect(before.native).not.toBe(before.portable);
    writeFileSync(join(checkout, 'README.md'), 'other words');
    expect(keysNow()).toEqual(before);

    program('c++', 'echo another compiler 99');
    const otherCompiler = keysNow({ PATH: `${bin}:${process.env.PATH}` });
    expect(otherCompiler.native).not.toBe(before.native);
    expect(otherCompiler.sources).toBe(before.sources);

    writeFileSync(join(checkout, 'native/engine/step.cc'), 'int steps;');
    const changed = keysNow();
    expect(changed.sources).not.toBe(before.sources);
    expect(changed.native).not.toBe(before.native);
    expect(changed.portable).not.toBe(before.portable);

    cpSync(join(checkout, 'native/engine/step.cc'), join(checkout, 'native/engine/stop.cc'));
    rmSync(join(checkout, 'native/engine/step.cc'));
    expect(keysNow().sources).not.toBe(changed.sources);
  });
});

describe('closing line', () => {
  function countOf(report: object | string, code: number) {
    const file = join(checkout, 'report.json');
    writeFileSync(file, typeof report === 'string' ? report : JSON.stringify(report));
    return count(file, code);
  }
  const passing = { status: 'passed', assertionResults: [{ status: 'passed' }] };

  it('counts single tests', () => {
    const failing = { status: 'failed', assertionResults: [{ status: 'failed' }, { status: 'passed' }] };
    const report = { numPassedTests: 2, numFailedTests: 1, testResults: [passing, failing] };
    expect(countOf(report, 1)).toEqual({ passed: 2, failed: 1 });
  });

  it('counts a file that did not load as failed', () => {
    const report = {
      numPassedTests: 1,
      numFailedTests: 0,
      testResults: [passing, { status: 'failed', assertionResults: [] }],
    };
    expect(countOf(report, 1)).toEqual({ passed: 1, failed: 1 });
  });

  it('fails on an error outside of tests, on a run without tests and on a torn report', () => {
    expect(countOf({ numPassedTests: 1, numFailedTests: 0, testResults: [passing] }, 1)).toEqual({
      passed: 1,
      failed: 1,
    });
    expect(countOf({ numPassedTests: 0, numFailedTests: 0, testResults: [] }, 0)).toEqual({
      passed: 0,
      failed: 1,
    });
    expect(countOf('{"numPassed', 0)).toEqual({ passed: 0, failed: 1 });
  });
});
