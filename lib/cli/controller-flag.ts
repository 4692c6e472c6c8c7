// A flag that names a controller: a built-in one, or a module of the caller's.

import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Controller } from '../control/controller.js';
import { AdaptiveSpecError } from '../errors.js';

/** Whether a flag's value is a file rather than a built-in controller's name. */
export function isControllerFile(value: string): boolean {
  return /[\\/]/.test(value) || ['.mjs', '.js', '.cjs', '.mts', '.ts'].includes(extname(value));
}

/** What a module exports by default. Throws INVALID_ARGUMENT where it can't be loaded or exports nothing. */
export async function importController(value: string): Promise<Controller> {
  let module: { default?: unknown };
  try {
    module = await import(pathToFileURL(resolve(value)).href);
  } catch (cause) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The controller ${value} can't be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      'Give a JavaScript module whose default export is (report) => depth or a controller object.',
    );
  }
  if (module.default === undefined) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The controller ${value} has no default export`,
      'Write: export default (report) => 8;',
    );
  }
  return module.default as Controller;
}
