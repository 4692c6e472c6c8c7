// Where things that outlive a checkout are kept: llama.cpp's source and libraries, addons, models.
// Run as a program it prints the folder, which is how CMake learns it.
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { isMain } from './steps.mjs';

/** The cache's root folder, absolute. It need not exist yet. */
export function cacheRoot(env = process.env) {
  if (env.ADAPTIVE_SPEC_CACHE) return resolve(env.ADAPTIVE_SPEC_CACHE);
  return join(env.XDG_CACHE_HOME ? resolve(env.XDG_CACHE_HOME) : join(homedir(), '.cache'), 'adaptive-spec');
}

if (isMain(import.meta.url)) process.stdout.write(cacheRoot());
