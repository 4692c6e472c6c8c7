// vLLM's adaptive verification: draft a fixed number of tokens, verify as many as survival and step cost make worth it.

import { AcceptanceFit, type AcceptanceFitState } from './acceptance-fit.js';
import { type DetailedPlan, MAX_DEPTH, type Plan, type RequestInfo, type StepReport } from './controller.js';
import { COST_TABLE } from './cost-kinds.js';
import { CostModel, type CostTable } from './costs.js';
import { type Kinds, optional, readSettings, real, whole } from './settings.js';
import { StopRulePreset } from './stop-rule-preset.js';

/** Settings of a `VllmController`. */
export interface VllmConfig {
  /** Tokens of a draft; 1 to 64. Default 7, as in vLLM's own examples. */
  depth: number;
  /** Steps with a draft between two fits of the estimator, 1 or more. Default 100. */
  interval: number;
  /** Fits before anything is trimmed, 0 or more. Default 3. */
  warmupFits: number;
  /** Tokens that make a fit go half of its way, 0 or more. Default 50. */
  damping: number;
}

/** What a `VllmController` adds to a snapshot. */
export interface VllmState {
  fit: AcceptanceFitState;
  /** Tokens and milliseconds of the last steps, older ones counting less. */
  tokens: number;
  ms: number;
  /** Costs of the request; undefined where it came without. */
  costs: CostTable | undefined;
}

const DEFAULTS: Readonly<VllmConfig> = { depth: 7, interval: 100, warmupFits: 3, damping: 50 };
const KINDS: Kinds<VllmConfig> = {
  depth: whole(1, MAX_DEPTH),
  interval: whole(1, Number.MAX_SAFE_INTEGER),
  warmupFits: whole(0, Number.MAX_SAFE_INTEGER),
  damping: real(0, 1e9),
};
const TIME = real(0, Number.MAX_VALUE);
/** What a step counts for in the rate of tokens after each further step. */
const DISCOUNT = 0.98;

/**
 * The estimator is logistic in the log-odds of the drafter's probability, damped Newton steps apart. Without costs, and
 * until the estimator is warm, every drafted token is verified. Throws INVALID_ARGUMENT for a wrong setting.
 */
export class VllmController extends StopRulePreset<VllmState> {
  readonly name = 'vllm';
  protected override readonly maxDepth: number;
  readonly #warmupFits: number;
  readonly #fit: AcceptanceFit;
  #costs: CostModel | undefined;
  #tokens = 0;
  #ms = 0;

  constructor(config: Partial<VllmConfig> = {}) {
    super();
    const { depth, interval, warmupFits, damping } = readSettings(KINDS, DEFAULTS, config);
    this.maxDepth = depth;
    this.#warmupFits = warmupFits;
    this.#fit = new AcceptanceFit({
      weights: ['bias', 'logit', 'place'],
      // Says nothing of the tokens but that four in five are right.
      start: { bias: 1.5, logit: 0, margin: 0, entropy: 0, place: 0 },
      interval,
      damping,
      ridge: 1e-3,
      keep: 0,
    });
  }

  protected override start({ costs }: RequestInfo): void {
    this.#costs = costs === undefined ? undefined : new CostModel(costs);
  }

  protected override fit(report: StepReport): void {
    this.#fit.learn(report);
  }

  protected override learn(report: StepReport): void {
    super.learn(report);
    if (this.#costs === undefined || report.step === 0) return;
    this.#tokens = DISCOUNT * this.#tokens + report.tokens.length;
    this.#ms =
      DISCOUNT * this.#ms + this.#stepMs(this.#costs, report.drafted, report.rows, report.contextLength);
  }

  /** Nothing is learnt from empty drafts. Lest the estimate shuts itself out, one token is drafted after one. */
  protected override choose(report: StepReport): Plan {
    const plan = super.choose(report);
    const isEmpty = report.step > 0 && report.depth > 0 && report.drafted === 0;
    return isEmpty && typeof plan !== 'number' ? 1 : plan;
  }

  protected override rule({ contextLength }: StepReport): Omit<DetailedPlan, 'depth'> {
    const costs = this.#costs;
    if (costs === undefined || this.#fit.fits < this.#warmupFits) return {};
    const value = {
      tokensPerMs: this.#tokensPerMs(costs, contextLength),
      // vLLM drafts all and then trims. With nothing to pay and every further token right, drafting ends only where
      // no length of draft could still be worth verifying: what is verified is the same.
      draftMs: 0,
      ahead: 1,
      // By then the draft model has been asked, whatever is verified.
      verifyMs: Float64Array.from({ length: this.maxDepth + 1 }, (_, i) =>
        costs.stepMs(i + 1, contextLength, true, true),
      ),
      rebuildMs: costs.table.rebuildMs,
    };
    return { stop: { acceptance: this.#fit.model, value }, trim: true };
  }

  /** The rate that is reached anyway; before the first step, that of plain decoding. */
  #tokensPerMs(costs: CostModel, contextLength: number): number {
    if (this.#tokens > 0 && this.#ms > 0) return this.#tokens / this.#ms;
    return 1 / Math.max(this.#stepMs(costs, 0, 1, contextLength), 1e-6);
  }

  #stepMs(costs: CostModel, drafted: number, rows: number, contextLength: number): number {
    const { draft, overheadMs, callbackMs } = costs.table;
    const passMs = costs.stepMs(rows, contextLength, drafted > 0, drafted > 0);
    return drafted * draft.msPerToken + passMs + overheadMs + callbackMs;
  }

  protected override why(): string {
    if (this.#costs === undefined) return 'no costs: all is verified';
    const { fits } = this.#fit;
    return fits < this.#warmupFits ? 'warm-up: all is verified' : `survival and cost, ${fits} fits`;
  }

  protected override ownKinds(): Kinds<VllmState> {
    return { fit: this.#fit.kind, tokens: TIME, ms: TIME, costs: optional(COST_TABLE) };
  }

  protected override saveOwn(): VllmState {
    const table = this.#costs?.table;
    return {
      fit: this.#fit.snapshot(),
      tokens: this.#tokens,
      ms: this.#ms,
      costs: table && structuredClone(table),
    };
  }

  protected override loadOwn({ fit, tokens, ms, costs }: VllmState): void {
    this.#fit.restore(fit);
    this.#tokens = tokens;
    this.#ms = ms;
    this.#costs = costs === undefined ? undefined : new CostModel(structuredClone(costs));
  }
}
