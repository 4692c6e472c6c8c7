// The compiled package, for tests that run it in a process of its own.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** Path of a file of dist/. Throws with the command that makes it where it is missing. */
export function distFile(name: string): string {
  const path = resolve('dist', name);
  if (!existsSync(path)) throw new Error(`dist/${name} is missing. Run: npx tsc`);
  return path;
}
