// Policies that always want the same depth, so that the engine need not ask them.

import { AdaptiveSpecError } from '../errors.js';
import { type Controller, type DepthController, MAX_DEPTH } from './controller.js';

/** A controller whose depth never changes: the engine runs `nativeDepth` without a call to JavaScript. */
export interface NativeDepthController extends DepthController {
  readonly nativeDepth: number;
}

/** The same depth at every step, set natively. `k`: a whole number, 0 to 64; otherwise INVALID_ARGUMENT. */
export function fixedDepth(k: number): NativeDepthController {
  return new FixedDepth('fixed', k);
}

/** No speculation: plain decoding, set natively. */
export function off(): NativeDepthController {
  return new FixedDepth('off', 0);
}

/** The depth that a controller made by `fixedDepth` or `off` wants; undefined for every other one. */
export function nativeDepthOf(controller: Controller): number | undefined {
  return FixedDepth.is(controller) ? controller.nativeDepth : undefined;
}

class FixedDepth implements NativeDepthController {
  readonly name: string;
  readonly #depth: number;

  constructor(name: string, depth: number) {
    if (!Number.isInteger(depth) || depth < 0 || depth > MAX_DEPTH) {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        'The depth of a fixed-depth controller is out of range',
        `Give a whole number from 0 (plain decoding) to ${MAX_DEPTH}.`,
      );
    }
    this.name = name;
    this.#depth = depth;
  }

  /** Asks for the private field, which no look-alike has and no proxy can fake or trap. */
  static is(value: Controller): value is FixedDepth {
    return (typeof value === 'object' || typeof value === 'function') && value !== null && #depth in value;
  }

  get nativeDepth(): number {
    return this.#depth;
  }

  nextPlan(): number {
    return this.#depth;
  }

  explain(): Record<string, unknown> {
    return { k: this.#depth, reason: this.name };
  }
}
