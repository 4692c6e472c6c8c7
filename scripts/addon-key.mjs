// What a built addon was made from, as short hashes: by them it is found again in the cache and known as stale.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, relative } from 'node:path';
import { root } from './steps.mjs';
import { compilerVersion } from './tools.mjs';

/** 'portable' where the environment asks for it (as CMake reads it too), else 'native'. */
export function variantAsked(env = process.env) {
  return /^(1|on|true|yes)$/i.test(env.ADAPTIVE_SPEC_PORTABLE ?? '') ? 'portable' : 'native';
}

/** Hash of every file below the given files and folders of the checkout, names included. */
export function hashFiles(paths, extra = '') {
  const hash = createHash('sha256').update(extra);
  for (const file of paths.flatMap((path) => filesBelow(join(root, path))).sort()) {
    hash.update(`\0${relative(root, file)}\0`).update(readFileSync(file));
  }
  return hash.digest('hex').slice(0, 16);
}

/** Hash of what the addon is written in: the same on every machine. source.mjs names llama.cpp's tree. */
export function sourcesKey() {
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const headers = `${devDependencies['node-addon-api']} ${devDependencies['node-api-headers']}`;
  // Their tests, checks and benchmarks lie in native/ too, but neither in the addon nor in the published package.
  const native = readdirSync(join(root, 'native')).filter(
    (name) => !['test', 'check', 'bench'].includes(name),
  );
  const paths = native.map((name) => join('native', name));
  return hashFiles([...paths, 'cmake', 'CMakeLists.txt', 'scripts/source.mjs'], headers);
}

/** Hash of the sources and of what compiles them for which CPU. */
export function addonKey(variant) {
  const parts = [sourcesKey(), variant, process.platform, process.arch, compilerVersion()];
  parts.push(process.env.CFLAGS, process.env.CXXFLAGS, variant === 'native' ? cpuFlags() : '');
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

/** The instruction sets of this machine's CPU as Linux names them; elsewhere the CPU's name. */
export function cpuFlags() {
  if (!existsSync('/proc/cpuinfo')) return cpus()[0]?.model ?? '';
  return (
    readFileSync('/proc/cpuinfo', 'utf8')
      .match(/^(?:flags|Features)\s*:(.*)$/m)?.[1]
      ?.trim() ?? ''
  );
}

function filesBelow(path) {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path).flatMap((name) => filesBelow(join(path, name)));
}
