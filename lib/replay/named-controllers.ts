// The controllers of a replay by name, as a list on the command line has them.

import { controllerNames, controllers, resolveController } from '../control/controllers.js';
import { AdaptiveSpecError } from '../errors.js';
import type { NamedController } from './report.js';

/** All built-in controllers that need no depth. */
export const DEFAULT_CONTROLLERS: readonly string[] = controllerNames.filter((name) => name !== 'fixed');

/**
 * Controllers of a list such as 'auto,fixed:8,plain': names that `resolveController` knows, a fixed depth as fixed:K,
 * plain for 'off'. Throws INVALID_ARGUMENT for an unknown name, an empty list or a name given twice.
 */
export function namedControllers(list: string): NamedController[] {
  const names = list.split(',').map((name) => name.trim());
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The controller ${JSON.stringify(twice)} is named twice`,
      'Name every controller once.',
    );
  }
  return names.map((name) => {
    const make = makerOf(name);
    make();
    return { name, make };
  });
}

function makerOf(name: string): NamedController['make'] {
  if (name === 'plain') return () => controllers.off();
  const fixed = /^fixed:(\d+)$/.exec(name);
  if (fixed) {
    const depth = Number(fixed[1]);
    return () => controllers.fixedDepth(depth);
  }
  if (name === 'fixed' || name.startsWith('fixed:')) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The controller ${JSON.stringify(name)} names no depth`,
      'Write it as fixed:8.',
    );
  }
  return () => resolveController(name);
}
