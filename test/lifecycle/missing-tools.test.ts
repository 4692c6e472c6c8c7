// A machine that lacks something: the package says what, and the exact next command, before anything crashes.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkCpu, missingCpuFeatures } from '../../lib/binding.js';
import { mustBeCompiled } from './child.js';

let folder: string;
let root: string;

/** The package as it is installed, with no addon anywhere. */
beforeAll(() => {
  mustBeCompiled();
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-bare-'));
  root = join(folder, 'adaptive-spec');
  mkdirSync(root);
  for (const name of [
    'package.json',
    'package-lock.json',
    'dist',
    'scripts',
    'native',
    'cmake',
    'CMakeLists.txt',
  ]) {
    cpSync(name, join(root, name), { recursive: true });
  }
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
  mkdirSync(join(folder, 'bin'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs Node in the bare package, with `env` over this process's. */
function node(args: string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ADAPTIVE_SPEC_CACHE: join(folder, 'cache'), ...env },
  });
  return { status, stdout, stderr };
}

/** The error that creating an engine ends with, as JSON. */
const CREATE = `import('./dist/index.js').then(({ createEngine }) => createEngine({ model: 'none.gguf' }))
  .catch(({ code, message, hint }) => console.log(JSON.stringify({ code, message, hint })));`;

describe('a package without an addon', () => {
  it('says NATIVE_MISSING and how to build it', () => {
    const { status, stdout, stderr } = node(['-e', CREATE]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const { code, message, hint } = JSON.parse(stdout);
    expect(code).toBe('NATIVE_MISSING');
    expect(message).toContain(`${process.platform}-${process.arch}`);
    expect(hint).toContain(`cd ${root} && npm install && npm run build`);
  });

  it('says so on the command line too, without a stack trace', () => {
    const { status, stdout, stderr } = node(['dist/cli/main.js', 'generate', '--prompt', 'hello']);
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain('NATIVE_MISSING');
    expect(stderr).toContain('npm run build');
    expect(stderr).not.toMatch(/\n {4}at /);
  });

  it('says NATIVE_MISSING of an addon that cannot be opened', () => {
    const built = join(root, 'build/Release');
    mkdirSync(built, { recursive: true });
    writeFileSync(join(built, 'adaptive_spec.node'), 'not a library');
    const { code, message, hint } = JSON.parse(node(['-e', CREATE]).stdout);
    rmSync(join(root, 'build'), { recursive: true });
    expect(code).toBe('NATIVE_MISSING');
    expect(message).toMatch(/can't be opened: /);
    expect(hint).toContain('npm run build');
  });
});

describe('preparing a checkout', () => {
  it('names every tool that is missing and the command that installs them, without a stack trace', () => {
    const prepare = `import { prepare } from './scripts/prepare.mjs'; import { main } from './scripts/steps.mjs'; await main(prepare);`;
    symlinkSync(execFileSync('which', ['git'], { encoding: 'utf8' }).trim(), join(folder, 'bin/git'));
    symlinkSync(resolve('llama.cpp'), join(root, 'llama.cpp'));
    const { status, stderr } = node(['--input-type=module', '-e', prepare], { PATH: join(folder, 'bin') });
    rmSync(join(root, 'llama.cpp'));
    expect(status).toBe(1);
    for (const tool of ['C++ compiler', 'CMake 3.20', 'Ninja or make']) expect(stderr).toContain(tool);
    expect(stderr).not.toContain('git,');
    expect(stderr).toMatch(/Next: .*g\+\+ cmake ninja-build/);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(existsSync(join(root, 'build'))).toBe(false);
  });
});

describe('a CPU below x86-64-v3', () => {
  const haswell = 'processor : 0\nflags : fpu sse4_2 avx avx2 bmi1 bmi2 f16c fma abm movbe rdtscp\nbugs :\n';

  it('is told by each feature that it lacks', () => {
    expect(missingCpuFeatures(haswell)).toEqual([]);
    for (const feature of ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe']) {
      const without = haswell.replace(` ${feature} `, ' ');
      expect(missingCpuFeatures(without)).toEqual([feature]);
      expect(() => checkCpu(without)).toThrow(expect.objectContaining({ code: 'CPU_UNSUPPORTED' }));
    }
  });

  it('gets CPU_UNSUPPORTED before the addon is opened', () => {
    // The addon here is one that says so when it is opened, and the CPU is one that a preload makes up.
    const built = join(root, 'build/Release');
    mkdirSync(built, { recursive: true });
    writeFileSync(join(built, 'adaptive_spec.node'), '');
    const old = haswell.replace(' avx2 ', ' ').replace(' fma ', ' ');
    const preload = join(folder, 'old-cpu.cjs');
    writeFileSync(
      preload,
      `const fs = require('node:fs');
       const read = fs.readFileSync;
       fs.readFileSync = (path, ...rest) => (path === '/proc/cpuinfo' ? ${JSON.stringify(old)} : read(path, ...rest));
       require('node:module').syncBuiltinESMExports();
       process.dlopen = () => console.log('opened');`,
    );
    const run = (...args: string[]) => node([...args, '-e', CREATE]).stdout.trim();
    const error = run('--require', preload);
    // The same with a CPU that will do does open it, so that the test above can fail.
    writeFileSync(
      preload,
      readFileSync(preload, 'utf8').replace(JSON.stringify(old), JSON.stringify(haswell)),
    );
    const opened = run('--require', preload);
    rmSync(join(root, 'build'), { recursive: true });
    expect(JSON.parse(error)).toMatchObject({
      code: 'CPU_UNSUPPORTED',
      message: expect.stringMatching(/lacks avx2, fma/),
      hint: expect.stringContaining('AVX2'),
    });
    expect(opened).toMatch(/^opened/);
  });
});
