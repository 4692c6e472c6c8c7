// Keeps an engine's built-in controllers from request to request, so that what they learnt of its models is not lost.

import type { Controller } from './controller.js';
import { resolveController } from './controllers.js';
import { nativeDepthOf } from './fixed-depth.js';

/**
 * A built-in controller serves one request at a time and goes on learning with the next; requests that run side by side
 * get one each. A caller's own controller is passed through: whether it serves several requests is for the caller to say.
 */
export class ControllerPool {
  readonly #idle = new Map<string, Controller[]>();

  /** The controller of an option's value; see `resolveController`, whose errors these are. */
  take(value: Controller | string | undefined, options: { depth?: number | undefined }): Controller {
    // Made each time, for its errors and its name; a kept one takes its place.
    const made = resolveController(value, options);
    return (isBuiltIn(value) && this.#idle.get(made.name)?.pop()) || made;
  }

  /** Takes back what `take` gave for this value, when its request is over. */
  giveBack(value: Controller | string | undefined, controller: Controller): void {
    // A fixed depth learns nothing, and another may be wanted next time.
    if (!isBuiltIn(value) || nativeDepthOf(controller) !== undefined) return;
    const idle = this.#idle.get(controller.name) ?? [];
    idle.push(controller);
    this.#idle.set(controller.name, idle);
  }
}

function isBuiltIn(value: Controller | string | undefined): boolean {
  return value === undefined || typeof value === 'string';
}
