// The text of finished requests that an engine keeps to draft from: its options as native code has them, and the place
// of its file. What is in the file, native code reads and checks (native/draft/ngram_store_file.cc).

import { accessSync, constants, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { NativeEngineOptions } from './binding.js';
import { AdaptiveSpecError } from './errors.js';
import { type CheckedEngineOptions, STORE_TOKENS } from './options.js';

type Store = CheckedEngineOptions['ngramStore'];

/** Throws STORE_FAILED where a file could not be written at the engine's end: then is too late to say so. */
export function mustBeStorable(store: Store): void {
  if (typeof store !== 'object' || store.path === undefined) return;
  const path = resolve(store.path);
  try {
    accessSync(dirname(path), constants.W_OK);
    const file = statSync(path, { throwIfNoEntry: false });
    if (file && !file.isFile()) throw new Error('it is no file');
  } catch (cause) {
    throw new AdaptiveSpecError(
      'STORE_FAILED',
      `The n-gram store ${path} can't be written: ${(cause as Error).message}`,
      'Name a file in a folder that can be written to.',
      { cause },
    );
  }
}

/** As native code reads it; a relative path is that of now, not of the engine's end. */
export function nativeStore(store: Store): Pick<NativeEngineOptions, 'storeTokens' | 'storePath'> {
  if (store === false) return { storeTokens: 0, storePath: '' };
  if (store === true) return { storeTokens: STORE_TOKENS, storePath: '' };
  return {
    storeTokens: store.maxTokens,
    storePath: store.path === undefined ? '' : resolve(store.path),
  };
}
