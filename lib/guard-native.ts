// Runs calls of native code, so that what they throw is an AdaptiveSpecError.

import type { NativeFault } from './binding.js';
import { AdaptiveSpecError, type ErrorCode } from './errors.js';

/** Our own native errors carry code and hint; an exception of llama.cpp's gets them here. */
export function guardNative<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    const {
      code = 'NATIVE_FAILURE',
      message,
      hint = 'Run `adaptive-spec doctor`; the engine stays usable.',
    } = error as Partial<NativeFault>;
    throw new AdaptiveSpecError(code as ErrorCode, String(message), hint, { cause: error });
  }
}
