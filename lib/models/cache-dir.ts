// Where models and builds are cached: one folder outside the checkout.
import { homedir } from 'node:os';
import { join } from 'node:path';

/** `$ADAPTIVE_SPEC_CACHE`, else `$XDG_CACHE_HOME/adaptive-spec`, else `~/.cache/adaptive-spec`. Not created here. */
export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env.ADAPTIVE_SPEC_CACHE) return env.ADAPTIVE_SPEC_CACHE;
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'adaptive-spec');
}
