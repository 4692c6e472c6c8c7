// The built-in controllers by name, and what a caller's `controller` option becomes.

import { AdaptiveSpecError } from '../errors.js';
import { AdaEdlController } from './adaedl-controller.js';
import { AdaptiveSpecController } from './adaptive-spec-controller.js';
import { AutoController } from './auto-controller.js';
import { closestName } from './closest-name.js';
import { ConfidenceController } from './confidence-controller.js';
import type { Controller, DepthController } from './controller.js';
import { DiscoController } from './disco-controller.js';
import { fixedDepth, off } from './fixed-depth.js';
import { GammaTuneController } from './gammatune-controller.js';
import { HeuristicController } from './heuristic-controller.js';
import { SpecDecController } from './specdec-controller.js';
import { SvipController } from './svip-controller.js';
import { TiersController } from './tiers-controller.js';
import { VllmController } from './vllm-controller.js';

/** A policy that can be chosen by its name alone. */
interface Entry {
  /** A new controller; the settings are optional. */
  make: (config?: never) => DepthController;
  /** What it does, in a line. */
  summary: string;
}

/** What `resolveController` takes where neither a controller nor a depth is given. */
const DEFAULT_NAME = 'auto';

/** The policies by name; 'fixed', which needs a depth, and 'off' come on top. */
const POLICIES = {
  auto: { make: maker(AutoController), summary: 'drafts and verifies what is worth its time' },
  adaptive: {
    make: maker(AdaptiveSpecController),
    summary: "the experiment's: K follows the acceptance rate",
  },
  heuristic: { make: maker(HeuristicController), summary: 'Hugging Face: +2 after a full accept, else -1' },
  confidence: { make: maker(ConfidenceController), summary: 'Hugging Face: probability threshold, refitted' },
  'specdec++': { make: maker(SpecDecController), summary: 'SpecDec++: stops when a rejection is likely' },
  adaedl: { make: maker(AdaEdlController), summary: 'AdaEDL: entropy bound against an adapted threshold' },
  svip: { make: maker(SvipController), summary: 'SVIP: entropy threshold' },
  gammatune: { make: maker(GammaTuneController), summary: 'GammaTune: moving average of accepted lengths' },
  tiers: { make: maker(TiersController), summary: 'SGLang: tiers of depths with hysteresis' },
  vllm: { make: maker(VllmController), summary: 'vLLM: verifies what survival and cost are worth' },
  disco: { make: maker(DiscoController), summary: 'DISCO: classifier of acceptance' },
} satisfies Record<string, Entry>;

/** Name of a built-in controller. */
export type ControllerName = keyof typeof POLICIES | 'fixed' | 'off';

type Makers = { readonly [Name in keyof typeof POLICIES]: (typeof POLICIES)[Name]['make'] };

/** Makers of the built-in controllers. Each call gives a new object: a controller serves one request at a time. */
export const controllers: Makers & { readonly fixedDepth: typeof fixedDepth; readonly off: typeof off } = {
  ...(Object.fromEntries(Object.entries(POLICIES).map(([name, { make }]) => [name, make])) as Makers),
  fixedDepth,
  off,
};

/** Names that `resolveController` knows, and what each does in a line. */
export const controllerSummaries: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(POLICIES).map(([name, { summary }]) => [name, summary])),
  fixed: 'the same depth at every step',
  off: 'plain decoding',
};

/** Names that `resolveController` knows. */
export const controllerNames: readonly string[] = Object.keys(controllerSummaries);

/**
 * A controller from an option's value: one of `controllerNames`, a controller object, or a function.
 * `depth` belongs to 'fixed', and alone means it; with neither, the default is 'auto'.
 * Throws INVALID_ARGUMENT for an unknown name, a depth that has no use, or a value that is no controller.
 */
export function resolveController(
  value: Controller | string | undefined,
  options: { depth?: number | undefined } = {},
): Controller {
  const { depth } = options;
  const byDefault = depth === undefined ? DEFAULT_NAME : 'fixed';
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
  if (choice === 'off') return off();
  if (typeof choice === 'string') {
    if (isPolicy(choice)) return POLICIES[choice].make();
    const near = closestName(choice, controllerNames);
    throw invalid(
      `There is no controller named ${JSON.stringify(choice.slice(0, 80))}`,
      `${near ? `Did you mean '${near}'? ` : ''}Known names: ${controllerNames.join(', ')}.`,
    );
  }
  checkController(choice);
  return choice;
}

/** Own names only: 'toString' is no policy. */
function isPolicy(name: string): name is keyof typeof POLICIES {
  return Object.hasOwn(POLICIES, name);
}

/** A class's constructor as a function. */
function maker<Config, Made extends DepthController>(
  Policy: new (config?: Partial<Config>) => Made,
): (config?: Partial<Config>) => Made {
  return (config) => new Policy(config);
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
