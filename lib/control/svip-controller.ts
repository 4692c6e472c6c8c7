// SVIP: stop where the square root of the drafter's entropy, scaled, is above a threshold. Nothing is learnt.

import { type DetailedPlan, MAX_DEPTH } from './controller.js';
import { type Kinds, readSettings, real, whole } from './settings.js';
import { StopRulePreset } from './stop-rule-preset.js';

/** Settings of an `SvipController`. */
export interface SvipConfig {
  /** Stop where sqrt(factor * entropy) is above this; 0 to 10. Default 0.3. */
  threshold: number;
  /** Scale of the entropy, in 1/nats; 0.001 to 100. Default 0.15. */
  factor: number;
  /** Most tokens of a draft; 1 to 64. Default 40. */
  maxDepth: number;
}

const DEFAULTS: Readonly<SvipConfig> = { threshold: 0.3, factor: 0.15, maxDepth: 40 };
const KINDS: Kinds<SvipConfig> = {
  threshold: real(0, 10),
  factor: real(0.001, 100),
  maxDepth: whole(1, MAX_DEPTH),
};

/**
 * Drafts until the drafter's entropy is above threshold^2 / factor nats (0.6). Throws INVALID_ARGUMENT for a wrong
 * setting.
 */
export class SvipController extends StopRulePreset<object> {
  readonly name = 'svip';
  protected override readonly maxDepth: number;
  readonly #maxEntropy: number;

  constructor(config: Partial<SvipConfig> = {}) {
    super();
    const { threshold, factor, maxDepth } = readSettings(KINDS, DEFAULTS, config);
    this.maxDepth = maxDepth;
    this.#maxEntropy = threshold ** 2 / factor;
  }

  protected override fit(): void {}

  protected override rule(): Omit<DetailedPlan, 'depth'> {
    return { stop: { maxEntropy: this.#maxEntropy, keep: true } };
  }

  protected override why(): string {
    return `entropy at most ${this.#maxEntropy.toFixed(3)}`;
  }

  protected override ownKinds(): Kinds<object> {
    return {};
  }

  protected override saveOwn(): object {
    return {};
  }

  protected override loadOwn(): void {}
}
