// node-llama-cpp in the cache, where it is measured from: no dependency of this package, and only its CPU binary.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoot } from '../scripts/cache.mjs';
import { run, say } from '../scripts/steps.mjs';

export const NODE_LLAMA_CPP = '3.22.1';

/** Its binary packages that compute on a CPU. */
const BINARIES = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'darwin-x64': 'mac-x64',
  'darwin-arm64': 'mac-arm64-metal',
  'win32-x64': 'win-x64',
  'win32-arm64': 'win-arm64',
};

/**
 * Installs it where it isn't yet. Answers {folder}, or {problem} in words where it can't be had.
 * @returns {Promise<{ folder: string } | { problem: string }>}
 */
export async function installNodeLlamaCpp() {
  const binary = BINARIES[`${process.platform}-${process.arch}`];
  if (!binary) return { problem: `it has no binary for ${process.platform}-${process.arch}` };
  const folder = join(cacheRoot(), 'peers', `node-llama-cpp-${NODE_LLAMA_CPP}`);
  const marker = join(folder, 'complete');
  if (existsSync(marker)) return { folder };
  say(`installing node-llama-cpp ${NODE_LLAMA_CPP} into the cache`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  // Without optional packages, which are binaries for CUDA and Vulkan too, 700 MB of them; without its install script,
  // which would compile where a binary is missing.
  const options = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--fetch-retries=1'];
  const packages = [`node-llama-cpp@${NODE_LLAMA_CPP}`, `@node-llama-cpp/${binary}@${NODE_LLAMA_CPP}`];
  const code = await run('npm', ['install', ...options, ...packages], { cwd: folder, stdout: 'stderr' });
  if (code !== 0) return { problem: 'npm could not install it (is the registry reachable?)' };
  writeFileSync(marker, '');
  return { folder };
}
