// What can go wrong with the package as it is published: no binary in it, one that needs the sources, no notices.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const platform = `${process.platform}-${process.arch}`;
let folder: string;
let installed: string;

beforeAll(() => {
  execFileSync(process.execPath, ['scripts/prebuild.mjs'], { stdio: ['ignore', 'ignore', 'pipe'] });
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-installed-'));
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { stdio: 'pipe' });
  const [tarball] = readdirSync(folder);
  const modules = join(folder, 'node_modules');
  mkdirSync(modules);
  execFileSync('tar', ['-xzf', tarball!, '-C', modules], { cwd: folder });
  installed = join(modules, 'package');
  for (const name of ['commander', 'node-gyp-build', 'picocolors', 'valibot']) {
    symlinkSync(resolve('node_modules', name), join(modules, name));
  }
}, 1_800_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the published package', () => {
  it('loads its prebuilt addon where there are no sources', () => {
    for (const name of ['native', 'cmake', 'CMakeLists.txt', 'binding.gyp', 'scripts']) {
      rmSync(join(installed, name), { recursive: true, force: true });
    }
    const program = `const load = require('node-gyp-build');
      console.log(JSON.stringify([load.resolve(process.argv[1]), Object.keys(load(process.argv[1])).length]));`;
    const output = execFileSync(process.execPath, ['-e', program, installed], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, PREBUILDS_ONLY: '1' },
    });
    const [file, exported] = JSON.parse(output);
    expect(file).toMatch(new RegExp(`prebuilds/${platform}/adaptive-spec\\.(glibc|musl)\\.node$`));
    expect(exported).toBeGreaterThan(0);
  });

  it('has no build of this machine and no llama.cpp source in it', () => {
    expect(existsSync(join(installed, 'build'))).toBe(false);
    expect(existsSync(join(installed, 'llama.cpp'))).toBe(false);
  });

  it("carries llama.cpp's licence beside the binary", () => {
    const licenses = readdirSync(join(installed, 'prebuilds', platform, 'licenses'));
    expect(licenses).toContain('LICENSE-llama.cpp');
  });

  it('shows only the entry points of Node-API to other addons', () => {
    const [binary] = readdirSync(join(installed, 'prebuilds', platform)).filter((name) =>
      name.endsWith('.node'),
    );
    const path = join(installed, 'prebuilds', platform, binary!);
    const symbols = execFileSync('nm', ['-D', '--defined-only', path], { encoding: 'utf8' });
    const names = symbols
      .trim()
      .split('\n')
      .map((line) => line.split(' ').at(-1));
    expect(names.sort()).toEqual(['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
  });
});
