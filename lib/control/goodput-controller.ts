// SmartSpec's goodput: the depth with the most expected tokens per expected time, by acceptance per place and step cost.

import { MAX_DEPTH, type RequestInfo, type StepReport } from './controller.js';
import type { CostModel } from './costs.js';
import { PLACE_ACCEPTANCE, PlaceAcceptance, type PlaceAcceptanceState } from './place-acceptance.js';
import { PresetController } from './preset.js';
import { type Kinds, readSettings, real, text, whole } from './settings.js';
import { STEP_COSTS, StepCosts, type StepCostsState } from './step-costs.js';

/** Settings of a `GoodputController`. */
export interface GoodputConfig {
  /** Largest depth, 1 to 64. Default 31. */
  maxDepth: number;
  /** What a step counts for after each further step, 0 to 1. Default 0.97. */
  discount: number;
  /** Acceptance before anything was seen, 0 to 1. Default 0.7. */
  prior: number;
  /** Tokens that the prior counts for at each place, above 0 to 1e6. Default 4. */
  weight: number;
  /** How much better another depth must be to be taken, as a share; 0 to 1. Default 0.02. */
  hysteresis: number;
  /** Steps between two deeper looks, 50 or more, or 0 for none. Default 64. */
  probeInterval: number;
}

/** What a `GoodputController` adds to a snapshot. */
export interface GoodputState {
  places: PlaceAcceptanceState;
  /** Depth that is best, and the one planned, which in a probe is another. */
  best: number;
  planned: number;
  /** Expected tokens per millisecond at `best`; 0 before costs are known. */
  rate: number;
  steps: number;
  /** Steps since the last deeper look. */
  sinceProbe: number;
  /** Steps at depth 0 since the last probe, and how many probes came to nothing. */
  idle: number;
  failed: number;
  rowsBefore: number;
  contextLength: number;
  costs: StepCostsState;
  why: string;
}

const DEFAULTS: Readonly<GoodputConfig> = {
  maxDepth: 31,
  discount: 0.97,
  prior: 0.7,
  weight: 4,
  hysteresis: 0.02,
  probeInterval: 64,
};
const KINDS: Kinds<GoodputConfig> = {
  maxDepth: whole(1, MAX_DEPTH),
  discount: real(0, 1),
  prior: real(0, 1),
  weight: real(1e-6, 1e6),
  hysteresis: real(0, 1),
  probeInterval: {
    is: (value) => value === 0 || (Number.isInteger(value) && (value as number) >= 50),
    hint: 'Give 0 for none, or a whole number from 50: at most 2 % of the steps.',
  },
};
const COUNT = whole(0, Number.MAX_SAFE_INTEGER);
const AMOUNT = real(0, Number.MAX_VALUE);

/** Without costs, how many steps of which depth are made first, so that rows can be compared. */
const FIRST_DEPTHS = [4, 4, 4, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
/** Depth while nothing is known of costs after that: passes shared with other requests tell nothing. */
const BLIND_DEPTH = 4;
/** Steps at depth 0 before the next probe, after no, one, and two or more that came to nothing. */
const BACK_OFF = [4, 16, 64];
/** A deeper look is cheap where its expected rate is at least this share of the best. */
const CHEAP = 0.85;
/** What is left of the acceptance seen when a request begins: its text is another. */
const NEW_TEXT = 0.1;
/** A change of shape is paid once; its price is spread over so many steps, which a depth is taken to last. */
const LASTS = 8;

/**
 * Takes the K with the largest E(K) / T(K):
 *
 *     E(K) = 1 + sum over k = 1..K of R(k) * a_1 * ... * a_k
 *     T(K) = sum over k = 0..K of P(draft of k) * (k * c + v(k + 1, context)) + overhead
 *
 * with a_k by `PlaceAcceptance`, R(k) the probability that the drafter goes on to k tokens (1 for a draft model, less
 * for n-grams), c the time of a draft token as seen. Needs no probabilities of the drafter. Without costs it makes
 * seven steps each of depth 4, 8, 1 and 0 first, and from then on learns costs by `LiveCosts`.
 * Throws INVALID_ARGUMENT where a setting is unknown or out of range.
 */
export class GoodputController extends PresetController<GoodputState> {
  readonly name = 'goodput';
  readonly #config: Readonly<GoodputConfig>;
  readonly #places: PlaceAcceptance;
  readonly #acceptance = new Float64Array(MAX_DEPTH);
  readonly #reach = new Float64Array(MAX_DEPTH);
  /** E(K) / T(K) by K. */
  readonly #rates = new Float64Array(MAX_DEPTH + 1);
  readonly #costs = new StepCosts();
  #best = BLIND_DEPTH;
  #planned = 0;
  #rate = 0;
  #steps = 0;
  #sinceProbe = 0;
  #idle = 0;
  #failed = 0;
  #rowsBefore = 0;
  #contextLength = 0;
  #why = 'first step';

  constructor(config: Partial<GoodputConfig> = {}) {
    super();
    this.#config = readSettings(KINDS, DEFAULTS, config);
    const { discount, prior, weight } = this.#config;
    this.#places = new PlaceAcceptance({ discount, prior, weight });
  }

  protected override start(request: RequestInfo): void {
    this.#costs.begin(request);
    this.#places.forget(NEW_TEXT);
  }

  protected override learn(report: StepReport): void {
    this.#contextLength = report.contextLength;
    this.#rowsBefore = report.rows;
    this.#costs.learn(report);
    if (report.step === 0) return;
    this.#steps++;
    // Another plan's stop rule may have ended the draft: then nothing is known of how far the drafter goes.
    const own = report.depth === this.#planned && !report.late;
    this.#places.learn(report, own ? report.depth : undefined);
    if (this.#best === 0 && this.#planned > 0 && own) this.#judgeProbe(report);
  }

  /** After a probe of a text where drafting doesn't pay: a success is followed by another probe. */
  #judgeProbe({ verified, accepted }: StepReport): void {
    if (verified > 0 && accepted === verified) {
      this.#idle = BACK_OFF[BACK_OFF.length - 1]!;
    } else {
      this.#failed = Math.min(this.#failed + 1, BACK_OFF.length - 1);
    }
  }

  protected override choose(): number {
    this.#planned = this.#next();
    return this.#planned;
  }

  #next(): number {
    const most = Math.min(this.limit, this.#config.maxDepth);
    if (most === 0) return this.#say(0, 'no drafter');
    const first = this.#costs.areGiven ? undefined : FIRST_DEPTHS[this.#steps];
    if (first !== undefined) return this.#say(Math.min(first, most), 'learns costs');
    const costs = this.#costs.model;
    if (costs === undefined) return this.#say(Math.min(BLIND_DEPTH, most), 'no costs yet');

    this.#places.estimate(most, this.#acceptance, this.#reach);
    this.#weigh(costs, most);
    this.#best = this.#pick(Math.min(this.#best, most), most);
    this.#rate = this.#rates[this.#best]!;
    return this.#best === 0 ? this.#probeDrafting(most) : this.#probeDeeper(most);
  }

  /** Fills in the rates of depth 0 to `most`. */
  #weigh(costs: CostModel, most: number): void {
    const { overheadMs, callbackMs, rebuildMs } = costs.table;
    const { draftMsPerToken: perToken, asksModel } = this.#costs;
    let tokens = 1;
    let survival = 1;
    let reached = 1;
    /** Time of the drafts that end before the depth looked at. */
    let ended = 0;
    for (let k = 0; k <= most; k++) {
      let full = k * perToken + costs.stepMs(k + 1, this.#contextLength, false, asksModel);
      if (this.#rowsBefore > 0 && k + 1 !== this.#rowsBefore) full += rebuildMs / LASTS;
      this.#rates[k] = tokens / Math.max(ended + reached * full + overheadMs + callbackMs, 1e-9);
      if (k === most) break;
      ended += reached * (1 - this.#reach[k]!) * full;
      reached *= this.#reach[k]!;
      survival *= this.#acceptance[k]!;
      tokens += reached * survival;
    }
  }

  #pick(before: number, most: number): number {
    let best = 0;
    for (let k = 1; k <= most; k++) if (this.#rates[k]! > this.#rates[best]!) best = k;
    return this.#rates[best]! > (1 + this.#config.hysteresis) * this.#rates[before]! ? best : before;
  }

  /** Depth 0, or from time to time the best of the others. */
  #probeDrafting(most: number): number {
    if (this.#idle < BACK_OFF[this.#failed]!) {
      this.#idle++;
      return this.#say(0, 'drafting does not pay');
    }
    this.#idle = 0;
    let depth = 1;
    for (let k = 2; k <= most; k++) if (this.#rates[k]! > this.#rates[depth]!) depth = k;
    return this.#say(depth, 'probe of drafting');
  }

  /** The best depth, or from time to time a deeper one, as long as that is cheap. */
  #probeDeeper(most: number): number {
    this.#idle = 0;
    this.#failed = 0;
    this.#sinceProbe++;
    const { probeInterval } = this.#config;
    const deeper = Math.min(2 * this.#best + 1, most);
    const due = probeInterval > 0 && this.#sinceProbe >= probeInterval;
    if (due && deeper > this.#best && this.#rates[deeper]! >= CHEAP * this.#rate) {
      this.#sinceProbe = 0;
      return this.#say(deeper, 'deeper probe');
    }
    return this.#say(this.#best, `${(1000 * this.#rate).toFixed(1)} tokens/s expected`);
  }

  #say(depth: number, why: string): number {
    this.#why = why;
    return depth;
  }

  protected override depth(): number {
    return this.#planned;
  }

  protected override reason(): string {
    return this.#why;
  }

  protected override kinds(): Kinds<GoodputState> {
    return {
      places: PLACE_ACCEPTANCE,
      best: whole(0, MAX_DEPTH),
      planned: whole(0, MAX_DEPTH),
      rate: AMOUNT,
      steps: COUNT,
      sinceProbe: COUNT,
      idle: COUNT,
      failed: whole(0, BACK_OFF.length - 1),
      rowsBefore: COUNT,
      contextLength: COUNT,
      costs: STEP_COSTS,
      why: text,
    };
  }

  protected override save(): GoodputState {
    return {
      places: this.#places.snapshot(),
      best: this.#best,
      planned: this.#planned,
      rate: this.#rate,
      steps: this.#steps,
      sinceProbe: this.#sinceProbe,
      idle: this.#idle,
      failed: this.#failed,
      rowsBefore: this.#rowsBefore,
      contextLength: this.#contextLength,
      costs: this.#costs.snapshot(),
      why: this.#why,
    };
  }

  protected override load(state: GoodputState): void {
    this.#places.restore(state.places);
    this.#best = state.best;
    this.#planned = state.planned;
    this.#rate = state.rate;
    this.#steps = state.steps;
    this.#sinceProbe = state.sinceProbe;
    this.#idle = state.idle;
    this.#failed = state.failed;
    this.#rowsBefore = state.rowsBefore;
    this.#contextLength = state.contextLength;
    this.#costs.restore(state.costs);
    this.#why = state.why;
  }
}
