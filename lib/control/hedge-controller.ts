// Hedge of Freund and Schapire over the other policies, scored by what each would have done with the drafts seen.

import { percent } from '../percent.js';
import {
  type DepthController,
  MAX_DEPTH,
  type Plan,
  type RequestInfo,
  type StepReport,
} from './controller.js';
import { ExponentialWeights } from './exponential-weights.js';
import { type Counterfactual, counterfactual, EXPERTS, viewOf } from './hedge-experts.js';
import { PENDING_DRAFTS, type PendingDraft, PendingDrafts, type PlanOutcome } from './pending-drafts.js';
import { PresetController } from './preset.js';
import { clamp, flag, type Kinds, list, readSettings, real, text, whole } from './settings.js';
import { STEP_COSTS, StepCosts, type StepCostsState } from './step-costs.js';
import { modelTokensOf } from './stop-rule.js';

/** Settings of a `HedgeController`. */
export interface HedgeConfig {
  /** How much a weight's logarithm changes for a gain of one token, above 0 to 10. Default 0.1. */
  rate: number;
  /** What a step counts for in the weights after each further one, 0 to 1. Default 0.995. */
  discount: number;
  /** Tokens that another expert must be ahead to be followed instead, 0 to 1e6. Default 8. */
  lead: number;
  /** Steps between two looks that draft deeper than the followed expert, 8 or more, or 0 for none. Default 32. */
  lookInterval: number;
}

/** What a `HedgeController` adds to a snapshot. */
export interface HedgeState {
  costs: StepCostsState;
  weights: number[];
  /** By expert: its state (null for those without), its plan for the step under way, its rows in the last one. */
  experts: unknown[];
  plans: Plan[];
  rows: number[];
  /** By expert: tokens that it verifies in the mean, lately. */
  lengths: number[];
  pending: PendingDraft[];
  followed: number;
  /** Emitted tokens and milliseconds of the last steps by the cost model, older ones counting less. */
  tokens: number;
  ms: number;
  planned: Plan;
  isLook: boolean;
  sinceLook: number;
  /** Looks in a row since plain decoding is followed. */
  looks: number;
  why: string;
}

const DEFAULTS: Readonly<HedgeConfig> = { rate: 0.1, discount: 0.995, lead: 8, lookInterval: 32 };
const KINDS: Kinds<HedgeConfig> = {
  rate: real(1e-6, 10),
  discount: real(0, 1),
  lead: real(0, 1e6),
  lookInterval: {
    is: (value) => value === 0 || (Number.isInteger(value) && (value as number) >= 8),
    hint: 'Give 0 for none, or a whole number from 8.',
  },
};
/** The expert that is followed at first, and while nothing is known of costs. */
const FIRST = EXPERTS.findIndex(({ name }) => name === 'goodput');
/** Depth of a look: what half of a plain step pays for, within these. The deepest fixed depth is within it. */
const LOOK = { from: 8, to: 16 };
/** What a step counts for in the rate of tokens, and in what an expert verifies, after each further one. */
const DISCOUNT = 0.98;
/** Times that the interval of looks doubles while plain decoding is followed. */
const MOST_DOUBLINGS = 3;
const COUNT = whole(0, Number.MAX_SAFE_INTEGER);
const AMOUNT = real(0, Number.MAX_VALUE);
const PLAN = {
  is: (value: unknown) => DEPTH.is(value) || DEPTH.is((value as { depth?: unknown } | null)?.depth),
  hint: 'Give a depth or a plan.',
};
const DEPTH = whole(0, MAX_DEPTH);

/**
 * Every expert is asked for a plan at every step. Once it is known how many tokens of a step's draft were right, each
 * whose own draft is within it gains what it would have emitted, less lambda for each millisecond it would have taken.
 * The expert of the largest weight is followed; there is no chance in it.
 * Throws INVALID_ARGUMENT where a setting is unknown or out of range.
 */
export class HedgeController extends PresetController<HedgeState> {
  readonly name = 'hedge';
  readonly #config: Readonly<HedgeConfig>;
  readonly #weights: ExponentialWeights;
  readonly #costs = new StepCosts();
  readonly #pending = new PendingDrafts();
  readonly #gains = new Float64Array(EXPERTS.length);
  readonly #rows = new Float64Array(EXPERTS.length);
  readonly #lengths = new Float64Array(EXPERTS.length);
  readonly #view = {} as StepReport;
  #experts: DepthController[] = EXPERTS.map(({ make }) => make());
  #plans: Plan[] = EXPERTS.map(() => 0);
  #followed = FIRST;
  #tokens = 0;
  #ms = 0;
  #planned: Plan = 0;
  #isLook = false;
  #sinceLook = 0;
  #looks = 0;
  #why = 'first step';

  constructor(config: Partial<HedgeConfig> = {}) {
    super();
    this.#config = readSettings(KINDS, DEFAULTS, config);
    const { rate, discount } = this.#config;
    this.#weights = new ExponentialWeights(EXPERTS.length, { rate, discount });
  }

  protected override start(request: RequestInfo): void {
    this.#costs.begin(request);
    this.#pending.clear();
    for (const expert of this.#experts) expert.begin?.(request);
  }

  protected override learn(report: StepReport): void {
    this.#costs.learn(report);
    const own = report.step > 0 ? this.#score(report) : undefined;
    for (const [i, expert] of this.#experts.entries()) {
      const mine = EXPERTS[i]!.sees === 'own' ? own?.[i] : undefined;
      const view = mine ? viewOf(report, depthOf(this.#plans[i]!), mine, this.#view) : report;
      this.#plans[i] = this.#limited(expert.nextPlan(view));
    }
  }

  /** What each expert would have done; their gains follow as soon as the draft's tokens are known. */
  #score(report: StepReport): Counterfactual[] {
    const ended = report.drafted < report.depth && !report.late && !hasStop(this.#planned);
    const own = this.#plans.map((plan, i) => counterfactual(plan, report, ended, this.#rows[i]!));
    // Where the plan was an expert's own: whatever ended the draft, it was all there would have been.
    const isOwn = !this.#isLook && !report.late;
    if (isOwn) own[this.#followed]!.isKnown = true;
    const outcomes = own.map((mine, i) => this.#outcome(report, mine, this.#rows[i]!));
    // And its time is known, with that of a token that was computed and refused.
    if (isOwn) this.#replaceDraftMs(outcomes[this.#followed]!, own[this.#followed]!, report.draftMs);
    for (const [i, { isKnown, verified }] of own.entries()) {
      this.#rows[i] = isKnown ? verified + 1 : report.rows;
      this.#lengths[i] = DISCOUNT * this.#lengths[i]! + (1 - DISCOUNT) * verified;
    }
    this.#book(report);
    // With no draft at all there is nothing that would tell the experts apart.
    if (report.drafted > 0) {
      this.#pending.learn(report, outcomes, (right, known) => this.#settle(right, known));
    }
    return own;
  }

  #outcome(
    report: StepReport,
    { isKnown, computed, verified }: Counterfactual,
    rowsBefore: number,
  ): PlanOutcome {
    const costs = this.#costs.model;
    if (!isKnown || costs === undefined) return { verified: -1, ms: 0 };
    const ms = this.#stepMs(computed > 0, verified + 1, rowsBefore, report.contextLength);
    return { verified, ms: computed * this.#draftMsPerToken() + ms };
  }

  #replaceDraftMs(outcome: PlanOutcome, { computed }: Counterfactual, draftMs: number): void {
    if (outcome.verified >= 0) outcome.ms += draftMs - computed * this.#draftMsPerToken();
  }

  #draftMsPerToken(): number {
    const { msPerToken } = this.#costs.model!.table.draft;
    return msPerToken > 0 ? msPerToken : this.#costs.draftMsPerToken;
  }

  /** A step without its draft's own time. */
  #stepMs(asked: boolean, rows: number, rowsBefore: number, contextLength: number): number {
    const costs = this.#costs.model!;
    const { overheadMs, rebuildMs, callbackMs } = costs.table;
    const change = rows !== rowsBefore && rowsBefore > 0 ? rebuildMs : 0;
    const passMs = costs.stepMs(rows, contextLength, asked || rowsBefore > 1, asked);
    return passMs + change + overheadMs + callbackMs;
  }

  /** The step as it was, by the cost model, for the rate that is reached anyway. */
  #book({ tokens, origins, draftMs, catchUpMs, rows, contextLength }: StepReport): void {
    if (this.#costs.model === undefined) return;
    const ms = draftMs + catchUpMs + this.#stepMs(modelTokensOf(origins) > 0, rows, rows, contextLength);
    this.#tokens = DISCOUNT * this.#tokens + tokens.length;
    this.#ms = DISCOUNT * this.#ms + ms;
  }

  #settle(right: number, outcomes: readonly PlanOutcome[]): void {
    const tokensPerMs = this.#ms > 0 ? this.#tokens / this.#ms : 0;
    for (const [i, { verified, ms }] of outcomes.entries()) {
      this.#gains[i] = verified < 0 ? Number.NaN : Math.min(verified, right) + 1 - tokensPerMs * ms;
    }
    this.#weights.learn(this.#gains, this.#followed);
  }

  /** An expert's plan for one step, within the request's limit. */
  #limited(plan: Plan): Plan {
    const depth = clamp(depthOf(plan), 0, this.limit);
    if (typeof plan === 'number' || depth === 0) return depth;
    const { steps: _, ...rest } = plan;
    return { ...rest, depth };
  }

  protected override choose(): Plan {
    if (this.#costs.model === undefined) this.#followed = FIRST;
    else this.#followed = this.#weights.best(this.#followed, this.#config.lead);
    const look = this.#look();
    this.#isLook = look !== undefined;
    this.#planned = look ?? this.#plans[this.#followed]!;
    return this.#planned;
  }

  /** A plan that drafts deep and verifies what the followed expert would, every so many steps. */
  #look(): Plan | undefined {
    const name = EXPERTS[this.#followed]!.name;
    const plain = depthOf(this.#plans[this.#followed]!) === 0;
    if (!plain) this.#looks = 0;
    const { lookInterval } = this.#config;
    const share = `${percent(this.#weights.share(this.#followed))} of the weight`;
    this.#why = `follows ${name}, ${share}`;
    const interval = lookInterval * 2 ** Math.min(this.#looks, MOST_DOUBLINGS);
    const costs = this.#costs.model;
    if (lookInterval === 0 || costs === undefined || ++this.#sinceLook < interval) return undefined;
    const perToken = Math.max(costs.table.draft.msPerToken, this.#costs.draftMsPerToken, 1e-9);
    const affordable = Math.floor((0.5 * costs.table.target[0]!.ms) / perToken);
    const depth = Math.min(this.limit, clamp(affordable, LOOK.from, LOOK.to));
    const plan = this.#plans[this.#followed]!;
    if (depth === 0 || (!hasStop(plan) && depthOf(plan) >= depth)) return undefined;
    this.#sinceLook = 0;
    if (plain) this.#looks++;
    this.#why = `look at ${depth} tokens; follows ${name}, ${share}`;
    const verify = hasStop(plan) ? Math.ceil(this.#lengths[this.#followed]!) : depthOf(plan);
    return { depth, verify: Math.min(verify, depth) };
  }

  protected override depth(): number {
    return depthOf(this.#planned);
  }

  protected override reason(): string {
    return this.#why;
  }

  protected override kinds(): Kinds<HedgeState> {
    const { length } = EXPERTS;
    return {
      costs: STEP_COSTS,
      weights: this.#weights.kind,
      experts: {
        is: (value) => Array.isArray(value) && value.length === length && restored(value) !== undefined,
        hint: 'Give a state of each expert.',
      },
      plans: list(PLAN, length, length),
      rows: list(COUNT, length, length),
      lengths: list(real(0, MAX_DEPTH), length, length),
      pending: PENDING_DRAFTS,
      followed: whole(0, length - 1),
      tokens: AMOUNT,
      ms: AMOUNT,
      planned: PLAN,
      isLook: flag,
      sinceLook: COUNT,
      looks: COUNT,
      why: text,
    };
  }

  protected override save(): HedgeState {
    return {
      costs: this.#costs.snapshot(),
      weights: this.#weights.snapshot(),
      experts: this.#experts.map((expert) => expert.snapshot?.() ?? null),
      plans: this.#plans.map(plain),
      rows: [...this.#rows],
      lengths: [...this.#lengths],
      pending: this.#pending.snapshot(),
      followed: this.#followed,
      tokens: this.#tokens,
      ms: this.#ms,
      planned: plain(this.#planned),
      isLook: this.#isLook,
      sinceLook: this.#sinceLook,
      looks: this.#looks,
      why: this.#why,
    };
  }

  protected override load(state: HedgeState): void {
    this.#experts = restored(state.experts)!;
    this.#costs.restore(state.costs);
    this.#weights.restore(state.weights);
    this.#plans = structuredClone(state.plans);
    this.#rows.set(state.rows);
    this.#lengths.set(state.lengths);
    this.#pending.restore(state.pending);
    this.#followed = state.followed;
    this.#tokens = state.tokens;
    this.#ms = state.ms;
    this.#planned = structuredClone(state.planned);
    this.#isLook = state.isLook;
    this.#sinceLook = state.sinceLook;
    this.#looks = state.looks;
    this.#why = state.why;
  }
}

function depthOf(plan: Plan): number {
  return typeof plan === 'number' ? plan : plan.depth;
}

function hasStop(plan: Plan): boolean {
  return typeof plan !== 'number' && plan.stop !== undefined;
}

/** A plan as plain data: its cost curve is a list then. */
function plain(plan: Plan): Plan {
  if (typeof plan === 'number') return plan;
  const copy = structuredClone(plan);
  if (copy.stop?.value) copy.stop.value.verifyMs = Array.from(copy.stop.value.verifyMs);
  return copy;
}

/** New experts in these states; undefined where one is no state of its expert. */
function restored(states: readonly unknown[]): DepthController[] | undefined {
  try {
    return EXPERTS.map(({ make }, i) => {
      const expert = make();
      expert.restore?.(structuredClone(states[i]));
      return expert;
    });
  } catch {
    return undefined;
  }
}
