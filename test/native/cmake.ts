// What tests need of CMakeLists.txt beside the addon: its programs and its objects, built where they aren't up to date.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { variantAsked } from '../../scripts/addon-key.mjs';

export const root = join(import.meta.dirname, '../..');
export const cmakeFolder = join(root, 'build/cmake');

/** Where a program is when its target was built. */
export function built(program: string): string {
  return join(root, 'build/Release', program);
}

/** Builds what is not up to date. Configures as scripts/build.mjs does where a cached addon made that needless. */
export function buildTargets(...targets: string[]): void {
  if (!readCache().includes(`\nCMAKE_HOME_DIRECTORY:INTERNAL=${root}\n`)) {
    rmSync(cmakeFolder, { recursive: true, force: true });
    const cmakeJs = join(root, 'node_modules/cmake-js/bin/cmake-js');
    const variant = `--CDADAPTIVE_SPEC_PORTABLE=${variantAsked() === 'portable' ? 'ON' : 'OFF'}`;
    command(process.execPath, [cmakeJs, 'configure', '--out', cmakeFolder, '--log-level', 'warn', variant]);
  }
  command('cmake', ['--build', cmakeFolder, '--parallel', '--target', ...targets]);
}

/** A setting that CMake was configured with, or found: a path of a tool, say. */
export function cmakeSetting(name: string): string | undefined {
  return readCache().match(new RegExp(`^${name}:\\w+=(.*)$`, 'm'))?.[1];
}

/** Output of a program. What it said is in the error where it fails. */
export function command(file: string, args: string[]): string {
  try {
    return execFileSync(file, args, { cwd: root, encoding: 'utf8', stdio: 'pipe', maxBuffer: 2 ** 28 });
  } catch (error) {
    const { message, stdout, stderr } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`${file} ${args.join(' ')}\n${stdout ?? message}${stderr ?? ''}`);
  }
}

function readCache(): string {
  const cache = join(cmakeFolder, 'CMakeCache.txt');
  return existsSync(cache) ? readFileSync(cache, 'utf8') : '';
}
