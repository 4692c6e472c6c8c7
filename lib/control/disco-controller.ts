// DISCO's form: a classifier says of each draft token whether the target will accept it; stop where it says no.

import { ACCEPTANCE_MODEL, AcceptanceFit, type AcceptanceFitState, DRAFTER_MODEL } from './acceptance-fit.js';
import { type AcceptanceModel, type DetailedPlan, MAX_DEPTH, type StepReport } from './controller.js';
import { type Kinds, optional, readSettings, real, whole } from './settings.js';
import { StopRulePreset } from './stop-rule-preset.js';

/** Settings of a `DiscoController`. */
export interface DiscoConfig {
  /** Stop after a token whose acceptance is below this, 0 to 1. Default 0.5. */
  threshold: number;
  /** Most tokens of a draft; 1 to 64. Default 20. */
  maxDepth: number;
  /** Weights of a classifier that was trained before; they stay. Default: fitted on line, from the drafter's own probability. */
  weights: AcceptanceModel | undefined;
}

const DEFAULTS: Readonly<DiscoConfig> = { threshold: 0.5, maxDepth: 20, weights: undefined };
const KINDS: Kinds<DiscoConfig> = {
  threshold: real(0, 1),
  maxDepth: whole(1, MAX_DEPTH),
  weights: optional(ACCEPTANCE_MODEL),
};

/** Drafts until a token's predicted acceptance is below the threshold. INVALID_ARGUMENT for a wrong setting. */
export class DiscoController extends StopRulePreset<{ fit: AcceptanceFitState }> {
  readonly name = 'disco';
  protected override readonly maxDepth: number;
  readonly #threshold: number;
  readonly #isTrained: boolean;
  readonly #fit: AcceptanceFit;

  constructor(config: Partial<DiscoConfig> = {}) {
    super();
    const { threshold, maxDepth, weights } = readSettings(KINDS, DEFAULTS, config);
    this.maxDepth = maxDepth;
    this.#threshold = threshold;
    this.#isTrained = weights !== undefined;
    this.#fit = new AcceptanceFit({
      weights: ['bias', 'logit', 'margin', 'entropy', 'place'],
      start: weights ?? DRAFTER_MODEL,
      interval: 8,
      damping: 0,
      ridge: 4,
      keep: 0.98,
    });
  }

  protected override fit(report: StepReport): void {
    if (!this.#isTrained) this.#fit.learn(report);
  }

  protected override rule(): Omit<DetailedPlan, 'depth'> {
    return { stop: { minAcceptance: this.#threshold, keep: true, acceptance: this.#fit.model } };
  }

  protected override why(): string {
    return this.#isTrained ? 'trained classifier' : `classifier of ${this.#fit.fits} fits`;
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
