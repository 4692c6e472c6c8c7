// The built-in controllers by name, and what a caller's `controller` option becomes.

import { AdaptiveSpecError } from '../errors.js';
import { type AdaptiveSpecConfig, AdaptiveSpecController } from './adaptive-spec-controller.js';
import { closestName } from './closest-name.js';
import type { Controller } from './controller.js';
import { fixedDepth, off } from './fixed-depth.js';

/** Makers of the built-in controllers. Each call gives a new object: a controller serves one request at a time. */
export const controllers = {
  adaptive: (config?: Partial<AdaptiveSpecConfig>): AdaptiveSpecController =>
    new AdaptiveSpecController(config),
  fixedDepth,
  off,
} as const;

/** Names that `resolveController` knows. */
export const controllerNames = ['adaptive', 'fixed', 'off'] as const;

/**
 * A controller from an option's value: one of `controllerNames`, a controller object, or a function.
 * `depth` belongs to 'fixed', and alone means it; with neither, the default is 'adaptive'.
 * Throws INVALID_ARGUMENT for an unknown name, a depth that has no use, or a value that is no controller.
 */
export function resolveController(
  value: Controller | string | undefined,
  options: { depth?: number | undefined } = {},
): Controller {
  const { depth } = options;
  const byDefault = depth === undefined ? 'adaptive' : 'fixed';
  const choice = value === undefined ? byDefault : value;

  if (choice === 'fixed') {
    if (depth === undefined) {
      throw invalid("The controller 'fixed' has no depth", 'Give the depth too, such as 8.');
    }
    return fixedDepth(depth);
  }
  if (depth !== undefined) {
    throw invalid(
      "A depth was given with a controller other than 'fixed'",
      "Leave the depth out, or choose 'fixed'.",
    );
  }
  if (choice === 'adaptive') return controllers.adaptive();
  if (choice === 'off') return off();
  if (typeof choice === 'string') {
    const near = closestName(choice, controllerNames);
    throw invalid(
      `There is no controller named ${JSON.stringify(choice.slice(0, 80))}`,
      `${near ? `Did you mean '${near}'? ` : ''}Known names: ${controllerNames.join(', ')}.`,
    );
  }
  checkController(choice);
  return choice;
}

/** Reads a caller's object, whose getters may throw. */
function checkController(value: unknown): asserts value is Controller {
  let isClass = false;
  let usable = false;
  let cause: unknown;
  try {
    isClass = typeof value === 'function' && typeof value.prototype?.nextPlan === 'function';
    usable =
      typeof value === 'function' ||
      (typeof value === 'object' &&
        value !== null &&
        'nextPlan' in value &&
        typeof value.nextPlan === 'function');
  } catch (error) {
    cause = error;
  }
  if (isClass) {
    throw invalid('The controller is a class', 'Give an instance of it: new YourController().');
  }
  if (!usable) {
    throw invalid(
      'The controller is neither a name, nor a function, nor an object with a nextPlan method',
      'Give (report) => depth, or { name, nextPlan(report) { … } }.',
      cause,
    );
  }
}

function invalid(message: string, hint: string, cause?: unknown): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    message,
    hint,
    cause === undefined ? undefined : { cause },
  );
}
