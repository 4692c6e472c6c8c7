// AdaEDL: stop where the entropy's lower bound on acceptance is below a threshold that follows the acceptance rate.

import { type DetailedPlan, MAX_DEPTH, type StepReport } from './controller.js';
import { clamp, type Kinds, readSettings, real, whole } from './settings.js';
import { StopRulePreset } from './stop-rule-preset.js';

/** Settings of an `AdaEdlController`. */
export interface AdaEdlConfig {
  /** Scale of the entropy in the bound 1 - sqrt(gamma * entropy), in 1/nats; 0.001 to 100. Default 0.2. */
  gamma: number;
  /** Threshold to start with, 0 to 1. Default 0.6. */
  lambda: number;
  /** Acceptance rate below which the threshold rises, 0 to 1. Default 0.9. */
  targetAcceptance: number;
  /** Weight of the past in the acceptance rate, 0 to 1. Default 0.5. */
  acceptanceMemory: number;
  /** Weight of the past in the threshold, 0 to 1. Default 0.9. */
  lambdaMemory: number;
  /** How far the threshold is drawn, 0 to 1. Default 0.01. */
  change: number;
  /** Most tokens of a draft; 1 to 64. Default 8. */
  maxDepth: number;
}

/** What an `AdaEdlController` adds to a snapshot. */
export interface AdaEdlState {
  lambda: number;
  rate: number;
}

const DEFAULTS: Readonly<AdaEdlConfig> = {
  gamma: 0.2,
  lambda: 0.6,
  targetAcceptance: 0.9,
  acceptanceMemory: 0.5,
  lambdaMemory: 0.9,
  change: 0.01,
  maxDepth: 8,
};
const KINDS: Kinds<AdaEdlConfig> = {
  gamma: real(0.001, 100),
  lambda: real(0, 1),
  targetAcceptance: real(0, 1),
  acceptanceMemory: real(0, 1),
  lambdaMemory: real(0, 1),
  change: real(0, 1),
  maxDepth: whole(1, MAX_DEPTH),
};

/** Drafts until 1 - sqrt(gamma * entropy) < lambda. Throws INVALID_ARGUMENT for a wrong setting. */
export class AdaEdlController extends StopRulePreset<AdaEdlState> {
  readonly name = 'adaedl';
  protected override readonly maxDepth: number;
  readonly #config: Readonly<AdaEdlConfig>;
  #lambda: number;
  /** Starts at 0, as published: the first drafts raise the threshold unless all is accepted. */
  #rate = 0;

  constructor(config: Partial<AdaEdlConfig> = {}) {
    super();
    this.#config = readSettings(KINDS, DEFAULTS, config);
    this.maxDepth = this.#config.maxDepth;
    this.#lambda = this.#config.lambda;
  }

  protected override fit({ accepted, drafted }: StepReport): void {
    const { targetAcceptance, acceptanceMemory, lambdaMemory, change, maxDepth } = this.#config;
    this.#rate = acceptanceMemory * this.#rate + (1 - acceptanceMemory) * (accepted / drafted);
    let drawnTo = this.#lambda;
    if (this.#rate < targetAcceptance) drawnTo += change;
    // A draft of full length was not stopped by the threshold: lowering it would change nothing.
    else if (drafted < Math.min(maxDepth, this.limit)) drawnTo -= change;
    this.#lambda = clamp(lambdaMemory * this.#lambda + (1 - lambdaMemory) * drawnTo, 0, 1);
  }

  protected override rule(): Omit<DetailedPlan, 'depth'> {
    return { stop: { maxEntropy: (1 - this.#lambda) ** 2 / this.#config.gamma, keep: true } };
  }

  protected override why(): string {
    return `lambda ${this.#lambda.toFixed(3)}`;
  }

  protected override ownKinds(): Kinds<AdaEdlState> {
    return { lambda: real(0, 1), rate: real(0, 1) };
  }

  protected override saveOwn(): AdaEdlState {
    return { lambda: this.#lambda, rate: this.#rate };
  }

  protected override loadOwn({ lambda, rate }: AdaEdlState): void {
    this.#lambda = lambda;
    this.#rate = rate;
  }
}
