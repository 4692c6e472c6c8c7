// SpecDec++: stop where the probability that at least one draft token is rejected exceeds a threshold.

import { AcceptanceFit, type AcceptanceFitState, DRAFTER_MODEL } from './acceptance-fit.js';
import { type DetailedPlan, MAX_DEPTH, type StepReport } from './controller.js';
import { type Kinds, oneOf, readSettings, real, whole } from './settings.js';
import { StopRulePreset } from './stop-rule-preset.js';

/** Settings of a `SpecDecController`. */
export interface SpecDecConfig {
  /** Stop where 1 - (product of acceptances) exceeds this, 0 to 1. Default 0.7. */
  threshold: number;
  /** Most tokens of a draft; 1 to 64. Default 20. */
  maxDepth: number;
  /** 'fitted': acceptance by a logistic model of the signals, fitted on line. 'drafter': its own probability. */
  acceptance: 'fitted' | 'drafter';
}

const DEFAULTS: Readonly<SpecDecConfig> = {
  threshold: 0.7,
  maxDepth: 20,
  acceptance: 'fitted',
};
const KINDS: Kinds<SpecDecConfig> = {
  threshold: real(0, 1),
  maxDepth: whole(1, MAX_DEPTH),
  acceptance: oneOf('fitted', 'drafter'),
};

/** Drafts until the draft is accepted whole with less than 1 - threshold. INVALID_ARGUMENT for a wrong setting. */
export class SpecDecController extends StopRulePreset<{ fit: AcceptanceFitState }> {
  readonly name = 'specdec++';
  protected override readonly maxDepth: number;
  readonly #config: Readonly<SpecDecConfig>;
  readonly #fit = new AcceptanceFit({
    weights: ['bias', 'logit', 'margin', 'entropy', 'place'],
    start: DRAFTER_MODEL,
    interval: 8,
    damping: 0,
    ridge: 4,
    keep: 0.98,
  });

  constructor(config: Partial<SpecDecConfig> = {}) {
    super();
    this.#config = readSettings(KINDS, DEFAULTS, config);
    this.maxDepth = this.#config.maxDepth;
  }

  protected override fit(report: StepReport): void {
    if (this.#config.acceptance === 'fitted') this.#fit.learn(report);
  }

  protected override rule(): Omit<DetailedPlan, 'depth'> {
    const minSurvival = 1 - this.#config.threshold;
    if (this.#config.acceptance === 'drafter') return { stop: { minSurvival, keep: true } };
    return { stop: { minSurvival, keep: true, acceptance: this.#fit.model } };
  }

  protected override why(): string {
    return `rejection at most ${this.#config.threshold}, ${this.#fit.fits} fits`;
  }

  protected override ownKinds(): Kinds<{ fit: AcceptanceFitState }> {
    return { fit: this.#fit.kind };
  }

  protected override saveOwn(): { fit: AcceptanceFitState } {
    return { fit: this.#fit.snapshot() };
  }

  protected override loadOwn({ fit }: { fit: AcceptanceFitState }): void {
    this.#fit.restore(fit);
  }
}
