// The default policy: draft and verify what is worth its time, and nothing where speculation loses.

import { LiveCosts, type LiveCostsState } from '../calibration/live.js';
import { AcceptanceLearner, type Surroundings } from './acceptance-learner.js';
import { CONTEXT_KINDS, ContextKindClassifier } from './context-kind.js';
import type { ContextKindState } from './context-kind-state.js';
import {
  type DepthController,
  MAX_DEPTH,
  type Plan,
  type RequestInfo,
  type StepReport,
} from './controller.js';
import { COST_TABLE, LIVE_COSTS } from './cost-kinds.js';
import { askedModel, type CostModel, type CostTable, isPlain } from './costs.js';
import { costModelAtLoad } from './costs-at-load.js';
import { tellsProbabilities } from './drafter-names.js';
import { GoodputController, type GoodputState } from './goodput-controller.js';
import { LossGuard, type LossGuardState } from './loss-guard.js';
import { positionPhase } from './position-phase.js';
import {
  finite,
  flag,
  type Kinds,
  list,
  oneOf,
  optional,
  readSettings,
  readState,
  real,
  shape,
  text,
  whole,
} from './settings.js';
import { isFreeOrigin, modelTokensOf } from './stop-rule.js';

/** Settings of an `AutoController`. */
export interface AutoConfig {
  /** Largest depth, in tokens; 1 to 64. Default 24. */
  maxDepth: number;
  /** Share of a step's time that asking this controller may take: plans hold for more steps above it; 0 to 1. Default 0.003. */
  askingShare: number;
}

/** What `snapshot` gives and `restore` takes; plain data that survives JSON. */
export interface AutoState {
  learner: number[];
  kind: ContextKindState;
  /** By context kind. */
  guards: LossGuardState[];
  modelGuards: LossGuardState[];
  gains: number[];
  forgone: number;
  tokens: number;
  ms: number;
  recent: number;
  ahead: number;
  depth: number;
  limit: number;
  drafters: string[];
  position: number;
  rows: number;
  modelRows: number;
  isPlain: boolean;
  lag: number;
  alone: number;
  /** Context length that the cost curve in use is of; undefined before the first. */
  curveAt: number | undefined;
  surroundings: Surroundings;
  running: number;
  costs: CostTable | undefined;
  live: LiveCostsState | undefined;
  /**
   * What was learnt with drafters that give no probabilities, and whether the request has one; undefined before the first
   * that had.
   */
  goodput: { state: GoodputState; plans: boolean } | undefined;
}

const DEFAULTS: Readonly<AutoConfig> = { maxDepth: 24, askingShare: 0.003 };
const KINDS: Kinds<AutoConfig> = { maxDepth: whole(1, MAX_DEPTH), askingShare: real(0, 1) };
const POSITIVE = real(0, Number.MAX_VALUE);
/** The classifier and `goodput` check their own states in `restore`. */
const PART = { is: (value: unknown) => typeof value === 'object' && value !== null, hint: 'Give an object.' };
const STATE_KINDS: Kinds<AutoState> = {
  learner: AcceptanceLearner.kind,
  kind: PART,
  guards: list(LossGuard.kind, CONTEXT_KINDS.length, CONTEXT_KINDS.length),
  modelGuards: list(LossGuard.kind, CONTEXT_KINDS.length, CONTEXT_KINDS.length),
  gains: list(finite, CONTEXT_KINDS.length, CONTEXT_KINDS.length),
  forgone: POSITIVE,
  tokens: POSITIVE,
  ms: POSITIVE,
  recent: real(0, 1),
  ahead: real(0, 1),
  depth: real(0, MAX_DEPTH),
  limit: whole(0, MAX_DEPTH),
  drafters: list(text, 0, 64),
  position: whole(0, Number.MAX_SAFE_INTEGER),
  rows: whole(0, Number.MAX_SAFE_INTEGER),
  modelRows: whole(0, Number.MAX_SAFE_INTEGER),
  isPlain: flag,
  lag: whole(0, Number.MAX_SAFE_INTEGER),
  alone: whole(0, Number.MAX_SAFE_INTEGER),
  curveAt: optional(whole(0, Number.MAX_SAFE_INTEGER)),
  surroundings: shape<Surroundings>({ kind: oneOf(...CONTEXT_KINDS), recent: real(0, 1), isEarly: flag }),
  running: whole(1, 4096),
  costs: optional(COST_TABLE),
  live: optional(LIVE_COSTS),
  goodput: optional(shape<NonNullable<AutoState['goodput']>>({ state: PART, plans: flag })),
};
/** What a step counts for in the rate after each further step: some fifty steps are remembered. */
const RATE_KEEP = 0.98;
/** Steps of plain decoding that the rate begins with. */
const RATE_PRIOR = 5;
const RECENT_SHARE = 0.15;
const DEPTH_SHARE = 0.1;
const AHEAD_SHARE = 0.04;
/** Acceptance of a token that nobody has proposed yet, before any is known; drifts back where none is drafted. */
const AHEAD_PRIOR = 0.55;
const AHEAD_DRIFT = 0.01;
/**
 * Time is held a little dearer than it is: of many drafts the rule picks those whose survival it overrates (the winner's
 * curse). Found by replay of texts that are no benchmark's; between 1 and 1.25 it matters by less than 1 %.
 */
const CAUTION = 1.1;
/** The same where sequences share steps: there is less to gain, and asking for each of them costs more. */
const SHARED_CAUTION = 1.25;
/**
 * For each doubling of the sequences that share steps, a draft must be worth so much more of plain decoding's time: all of
 * them wait for it, and rows are dearer in the midst of few others than in the table, where all draft.
 */
const CROWD_CAUTION = 0.15;
/** Longer plans would learn too late. */
const MOST_STEPS = 16;
/** Steps of a plan that drafts nothing, and so has nothing to learn, at most: the text comes on in the meantime. */
const MOST_PLAIN_STEPS = 64;
/**
 * Steps that a plan holds for at least, for each sequence that shares them: asking one makes all wait. The engine asks
 * before that where the load changes.
 */
const STEPS_PER_SEQUENCE = 4;
/** Tokens of context between two looks at the cost curve. */
const CURVE_SPAN = 32;
/** A draft model whose tokens cost so much is never asked, so that n-grams alone draft. */
const NEVER_MS = 1e9;
/**
 * What asking the model gains a step, in plain steps' time: before any is known, at least (it has to be tried to know), and
 * the weight of a step in its mean.
 */
const GAIN_PRIOR = 0.1;
const LEAST_GAIN = 0.02;
const GAIN_SHARE = 0.02;
/** Steps that a text is expected to go on for, whatever its length. */
const HORIZON = 32;
/**
 * The pass of a step that asks the draft model is slower by `afterMs`, and so are those of the next twenty steps, ever less:
 * together about as much again (docs/benchmarks.md).
 */
const AFTERMATH = 2;
/**
 * Steps of one row after which a few are drafted whatever they seem to cost: a table in which several rows are too dear is
 * only ever corrected by verifying some. N-grams' tokens, where there are any, since they take no time.
 */
const LOOK_AFTER = 512;
const LOOK = { depth: 2, steps: 12 };
/** A tree without a price of rows would take all that the request allows. */
const NO_TREE = { nodes: 0 };
/** Accepted tokens that the model may be behind in passing, after a run of n-grams; more is a text that it was not asked about. */
const IN_PASSING = 16;
/**
 * Depths of the first steps where costs are not known, or only by another engine's steps: what they take says what rows
 * cost. Each is held for a few steps, so that steps after which nobody is asked tell what asking costs.
 */
const EXPLORING = [0, 3, 7];
const EXPLORING_STEPS = 6;

/**
 * Expected tokens against time, token by token (docs/controllers/auto.md): drafting goes on while some m >= 1 has
 * sum of survival - lambda * (m * c + v(k + m + 1) - v(k + 1)) > 0, then what is verified is trimmed by the same rule.
 * lambda is the rate reached anyway, a ratio of sums, at least that of plain decoding. Survival comes from a logistic
 * regression that learns on line. Guards, two a context kind, count what the draft model and what all drafting has lost
 * against plain decoding and, with back-off, leave it alone. A draft model that has much to read first is asked once what
 * was forgone without it would have paid for that.
 *
 * All this goes by probabilities. Where the drafter of a request gives none, a `GoodputController`, which needs none,
 * plans it; what the two learn is kept apart.
 *
 * One object serves one request after another and keeps what it learnt. Throws INVALID_ARGUMENT for a wrong setting.
 */
export class AutoController implements DepthController {
  readonly name = 'auto';
  readonly #config: Readonly<AutoConfig>;
  readonly #learner = new AcceptanceLearner();
  readonly #kind = new ContextKindClassifier();
  /** One a context kind: what one kind of text loses says nothing of another, and is remembered over requests. */
  #guards = CONTEXT_KINDS.map(() => new LossGuard());
  /** The same of what a draft model adds. */
  #modelGuards = CONTEXT_KINDS.map(() => new LossGuard());
  /** By context kind, what asking that model gains a step, in plain steps' time. */
  #gains = CONTEXT_KINDS.map(() => GAIN_PRIOR);
  /** The same of the steps since it was asked last, and would have gained. */
  #forgone = 0;
  /** Of a sequence alone: costs that were measured; without them those that the steps themselves teach. */
  #table: CostTable | undefined;
  /** Of a step that `#running` sequences share, as if all drafted alike: then what is best for one is best for all. */
  #costs: CostModel | undefined;
  #running = 1;
  #live: LiveCosts | undefined;
  #curve: Float64Array | undefined;
  #curveAt = 0;
  #tokens = 0;
  #ms = 0;
  #recent = 0.5;
  #ahead = AHEAD_PRIOR;
  /** Tokens verified a step, of late. */
  #depth = 0;
  #limit = 0;
  #drafters: string[] = [];
  /** Of these, the one that drafts, if any. */
  #drafter: string | undefined;
  #position = 0;
  #rows = 0;
  /** Of these, those of tokens that a model made. */
  #modelRows = 0;
  /** Whether the step before was one of plain decoding. */
  #isPlain = false;
  /** Accepted tokens that the draft model has not read. */
  #lag = 0;
  /** Steps of one row since the last one of several, of all requests. */
  #alone = 0;
  /** Made with the first request whose drafter gives no probabilities. */
  #goodput: GoodputController | undefined;
  /** The same, where it plans the request that runs. */
  #byDepth: GoodputController | undefined;
  /** As the steps now running are drafted. */
  #surroundings: Surroundings = { kind: 'prose', recent: 0.5, isEarly: true };

  constructor(config: Partial<AutoConfig> = {}) {
    this.#config = readSettings(KINDS, DEFAULTS, config);
  }

  begin(info: RequestInfo): void {
    const { promptText, drafter, maxDepth, costs } = info;
    const drafters = drafter === undefined ? info.drafters : [drafter];
    this.#byDepth = undefined;
    if (drafters[0] !== undefined && !tellsProbabilities(drafters[0])) {
      this.#goodput ??= this.#newGoodput();
      this.#byDepth = this.#goodput;
      this.#byDepth.begin(info);
      return;
    }
    this.#kind.begin(promptText);
    if (drafters.join() !== this.#drafters.join()) {
      this.#guards = CONTEXT_KINDS.map(() => new LossGuard());
      this.#modelGuards = CONTEXT_KINDS.map(() => new LossGuard());
      this.#gains = CONTEXT_KINDS.map(() => GAIN_PRIOR);
    }
    this.#draftWith(drafters);
    this.#forgone = 0;
    this.#limit = drafters.length > 0 ? Math.min(maxDepth, this.#config.maxDepth) : 0;
    this.#take(costs);
    this.#position = 0;
    this.#rows = 0;
    this.#modelRows = 0;
    this.#isPlain = false;
    this.#tokens = 0;
    this.#ms = 0;
    this.#recent = 0.5;
  }

  #newGoodput(): GoodputController {
    return new GoodputController({ maxDepth: this.#config.maxDepth });
  }

  #draftWith(drafters: readonly string[]): void {
    this.#drafters = [...drafters];
    this.#drafter = drafters.includes('hybrid') ? 'hybrid' : drafters[0];
  }

  #take(costs: CostTable | undefined): void {
    this.#live ??= costs ? undefined : new LiveCosts();
    if (costs) this.#live = undefined;
    this.#price(costs);
  }

  #price(table: CostTable | undefined): void {
    this.#table = table;
    this.#costs = table && costModelAtLoad(table, this.#running);
    this.#curve = undefined;
  }

  observe(report: StepReport): void {
    if (this.#byDepth !== undefined) {
      this.#byDepth.observe(report);
      return;
    }
    if (report.load.running !== this.#running) {
      this.#running = Math.max(1, report.load.running);
      this.#price(this.#table);
    }
    if (report.step === 0) {
      this.#lag = report.drafterLag;
      return;
    }
    this.#learnCosts(report);
    this.#learner.learn(report, this.#surroundings);
    this.#learnOutcomes(report);
    const modelRows = modelTokensOf(report.origins.subarray(0, report.verified));
    this.#count(report, modelRows);
    this.#kind.push(report.text);
    this.#depth += DEPTH_SHARE * (report.verified - this.#depth);
    this.#position = report.position;
    this.#rows = report.rows;
    this.#modelRows = modelRows;
    this.#lag = report.drafterLag;
    this.#alone = report.rows > 1 ? 0 : this.#alone + 1;
  }

  #learnCosts(report: StepReport): void {
    if (this.#live === undefined) return;
    // While nothing is known plans are held, and the next is asked for early: only a request's first step waits for its own.
    this.#live.observe(report, report.step === 1);
    if (report.step % 16 !== 0 || this.#live.rowsKnown < 2) return;
    const table = this.#live.table();
    if (table === undefined) return;
    this.#price(table);
  }

  /** Outcomes of first tokens, and of those that the draft model was asked for. */
  #learnOutcomes({ accepted, verified, origins }: StepReport): void {
    if (verified > 0) this.#recent += RECENT_SHARE * ((accepted > 0 ? 1 : 0) - this.#recent);
    let asked = false;
    for (let j = 0; j < Math.min(accepted + 1, verified); j++) {
      if (isFreeOrigin(origins[j])) continue;
      asked = true;
      this.#ahead += AHEAD_SHARE * ((j < accepted ? 1 : 0) - this.#ahead);
    }
    if (!asked) this.#ahead += AHEAD_DRIFT * (AHEAD_PRIOR - this.#ahead);
  }

  /** What the step took by the cost model, so that a stall of the machine is not taken for a property of the text. */
  #count(report: StepReport, modelRows: number): void {
    const costs = this.#costs;
    if (costs === undefined) return;
    const { tokens, origins, rows, accepted, contextLength, catchUpMs, draftMs } = report;
    const { draft, overheadMs, rebuildMs } = costs.table;
    const made = modelTokensOf(origins);
    const asked = askedModel(made, draftMs, draft.msPerToken);
    const passMs = costs.stepMs(rows, contextLength, asked || !this.#isPlain, asked);
    this.#isPlain = isPlain(rows, asked);
    // A token that the stop rule refused took its time as well, and is in no list.
    const draftingMs =
      Math.min(draftMs, (made + 1) * draft.msPerToken + (draft.startMs ?? 0)) +
      (asked ? (AFTERMATH - 1) * (draft.afterMs ?? 0) : 0);
    const changeMs = this.#rows > 0 && rows !== this.#rows ? rebuildMs : 0;
    const ms = overheadMs + catchUpMs + passMs + draftingMs + changeMs;
    this.#tokens = RATE_KEEP * this.#tokens + tokens.length;
    this.#ms = RATE_KEEP * this.#ms + ms;
    const plainMs = overheadMs + costs.verifyMs(1, contextLength);
    // The step as it would have been without the model, and what that added.
    const withoutMs = costs.stepMs(rows - modelRows, contextLength, this.#rows - this.#modelRows > 1, false);
    const modelTokens = this.#hasModel ? modelTokensOf(origins.subarray(0, accepted)) : 0;
    // Reading a whole text is for `#paysReading` to weigh, which looks further than a guard.
    const readingMs = this.#hasModel && this.#lag > IN_PASSING ? catchUpMs : 0;
    const modelMs = this.#hasModel ? passMs - withoutMs + draftingMs + catchUpMs - readingMs : 0;
    // Of the kind that the plan was made for: the step's own text may begin another.
    const kind = this.#kindIndex;
    const modelGain = modelTokens - modelMs / plainMs;
    this.#modelGuards[kind]!.step(modelGain);
    const gain = tokens.length - modelTokens - (ms - modelMs - readingMs) / plainMs;
    this.#guards[kind]!.step(gain, this.#modelGuards[kind]!.credit);
    if (!this.#hasModel) return;
    if (asked) {
      this.#gains[kind]! += GAIN_SHARE * (modelGain - this.#gains[kind]!);
      this.#forgone = 0;
    } else this.#forgone += Math.max(LEAST_GAIN, this.#gains[kind]!);
  }

  nextPlan(report: StepReport): Plan {
    if (this.#byDepth !== undefined) return this.#byDepth.nextPlan(report);
    this.observe(report);
    if (this.#isHopeless(report.contextLength)) return { depth: 0, steps: MOST_PLAIN_STEPS };
    this.#surroundings = {
      kind: this.#kind.kind,
      recent: this.#recent,
      isEarly: positionPhase(this.#position) === 'early',
    };
    if (this.#limit === 0) return 0;
    const costs = this.#costs;
    const level = this.#level(report.contextLength);
    if (costs === undefined) {
      // Steps that others share teach nothing of what rows cost: until some are had alone, nothing is drafted.
      if (this.#running > 1) return 0;
      const plan = this.#exploring(report.step, level.drafter);
      return plan ?? { depth: Math.min(3, this.#limit), tree: NO_TREE, ...named(level.drafter) };
    }
    const exploring = costs.table.unconfirmed && this.#running === 1;
    const plan = exploring ? this.#exploring(report.step, level.drafter) : undefined;
    if (plan !== undefined) return plan;
    if (this.#running === 1 && this.#alone >= LOOK_AFTER && this.#drafter !== undefined) {
      this.#alone = 0;
      const drafter = this.#drafters.includes('ngram') ? 'ngram' : this.#drafter;
      return { ...LOOK, depth: Math.min(LOOK.depth, this.#limit), tree: NO_TREE, drafter };
    }
    const verifyMs = this.#curveOf(costs, report.contextLength);
    const steps = this.#stepsOf(costs, verifyMs[0]!);
    if (level.drafter === undefined) {
      const least = this.#running > 1 ? steps : 1;
      return {
        depth: 0,
        steps: steps === 1 ? 1 : Math.min(Math.max(least, this.#wait), MOST_PLAIN_STEPS),
      };
    }
    const tokensPerMs = this.#worth(verifyMs[0]! + costs.table.overheadMs);
    const { draft } = costs.table;
    return {
      depth: this.#limit,
      drafter: level.drafter,
      trim: true,
      steps,
      stop: {
        acceptance: this.#learner.model(this.#surroundings),
        value: {
          tokensPerMs,
          draftMs: level.asksModel ? draft.msPerToken : NEVER_MS,
          startMs: (draft.startMs ?? 0) + AFTERMATH * (draft.afterMs ?? 0),
          verifyMs: this.#amongDrafts(verifyMs),
          rebuildMs: costs.table.rebuildMs,
          ahead: this.#ahead,
        },
      },
    };
  }

  /** What is tried after that step; undefined once everything was. A held plan is asked for one step before its end. */
  #exploring(step: number, drafter: string | undefined): Plan | undefined {
    const depth = EXPLORING[Math.floor((step + 1) / EXPLORING_STEPS)];
    if (depth === undefined) return undefined;
    const most = Math.min(depth, this.#limit);
    return { depth: most, steps: EXPLORING_STEPS, tree: NO_TREE, ...named(drafter) };
  }

  /** Whether no draft can be worth its rows, whatever the text, since so many share a step. */
  #isHopeless(contextLength: number): boolean {
    const costs = this.#costs;
    if (this.#running === 1 || this.#limit === 0 || costs === undefined) return false;
    const verifyMs = this.#curveOf(costs, contextLength);
    return !canPay(verifyMs, this.#worth(verifyMs[0]! + costs.table.overheadMs));
  }

  /** Place of the kind that the running steps were planned for in the lists by kind. */
  get #kindIndex(): number {
    return CONTEXT_KINDS.indexOf(this.#surroundings.kind);
  }

  get #hasModel(): boolean {
    return this.#drafter === 'hybrid' || this.#drafter === 'model';
  }

  /** Steps until drafting is tried again. */
  get #wait(): number {
    const kind = this.#kindIndex;
    const wait = this.#guards[kind]!.wait;
    return this.#drafter === 'model' ? Math.max(wait, this.#modelGuards[kind]!.wait) : wait;
  }

  #level(contextLength: number): Level {
    const kind = this.#kindIndex;
    const drafter = this.#drafter;
    if (drafter === undefined || !this.#guards[kind]!.isOpen) return NOBODY;
    const asksModel =
      this.#hasModel && this.#modelGuards[kind]!.isOpen && this.#paysReading(kind, contextLength);
    return asksModel || drafter !== 'model' ? { drafter, asksModel } : NOBODY;
  }

  /**
   * What the model gains is known only by asking it, and for how long it will gain by nobody: it is asked once what was
   * forgone without it, and what is to be expected, comes up to what reading the text takes (as one who skis rents skis
   * until the rent has come up to their price).
   */
  #paysReading(kind: number, contextLength: number): boolean {
    const costs = this.#costs;
    if (costs === undefined) return true;
    const plainMs = costs.table.overheadMs + costs.verifyMs(1, contextLength);
    const expected = this.#forgone + HORIZON * Math.max(0, this.#gains[kind]!);
    return expected * plainMs >= costs.catchUpMs(this.#lag);
  }

  #curveOf(costs: CostModel, contextLength: number): Float64Array {
    if (this.#curve === undefined || Math.abs(contextLength - this.#curveAt) >= CURVE_SPAN) {
      this.#curve = costs.curve(this.#limit + 1, contextLength);
      this.#curveAt = contextLength;
    }
    return this.#curve;
  }

  /** The curve where a step that verifies nothing stands beside others that do, as far as they do of late. */
  #amongDrafts(verifyMs: Float64Array): Float64Array {
    const { mixedMs = 0 } = this.#costs!.table;
    const curve = verifyMs.slice();
    curve[0] = Math.min(curve[0]! + Math.min(1, this.#depth) * mixedMs, curve[1] ?? Number.POSITIVE_INFINITY);
    return curve;
  }

  /** Tokens per millisecond that are reached anyway: at least those of plain decoding. */
  #rate(plainMs: number): number {
    const tokens = this.#tokens + RATE_PRIOR;
    const ms = this.#ms + RATE_PRIOR * plainMs;
    return Math.max(tokens / ms, 1 / plainMs);
  }

  /** Tokens that a draft must bring for each millisecond that it takes. */
  #worth(plainMs: number): number {
    const rate = this.#rate(plainMs);
    if (this.#running === 1) return CAUTION * rate;
    return Math.max(SHARED_CAUTION * rate, (CAUTION + CROWD_CAUTION * Math.log2(this.#running)) / plainMs);
  }

  /** Steps that a plan holds for, so that being asked costs no more than its share. */
  #stepsOf(costs: CostModel, stepMs: number): number {
    const { callbackMs } = costs.table;
    const share = this.#config.askingShare * stepMs;
    const steps = callbackMs > share ? Math.min(Math.ceil(callbackMs / share), MOST_STEPS) : 1;
    if (this.#running === 1) return steps;
    const most = this.#depth < 0.5 ? MOST_PLAIN_STEPS : MOST_STEPS;
    return Math.max(steps, Math.min(STEPS_PER_SEQUENCE * this.#running, most));
  }

  /** `k` is what a step verifies of late, rounded; `acceptance` that of first tokens, of late. */
  explain(): { k: number; acceptance: number; reason: string; tokensPerMs?: number; ahead?: number } {
    if (this.#byDepth !== undefined) {
      const why = this.#byDepth.explain();
      return { ...why, reason: `goodput: ${why.reason}` };
    }
    const alone = this.#modelGuards[this.#kindIndex]!.isOpen ? '' : ', n-grams alone';
    const who = this.#wait > 0 ? 'speculation lost' : `value${alone}`;
    return {
      k: Math.round(this.#depth),
      acceptance: this.#recent,
      reason: `${this.#costs === undefined ? 'learning costs' : who}; context ${this.#surroundings.kind}`,
      tokensPerMs: this.#ms > 0 ? this.#tokens / this.#ms : 0,
      ahead: this.#ahead,
    };
  }

  snapshot(): AutoState {
    return {
      learner: this.#learner.snapshot(),
      kind: this.#kind.snapshot(),
      guards: this.#guards.map((guard) => guard.snapshot()),
      modelGuards: this.#modelGuards.map((guard) => guard.snapshot()),
      gains: [...this.#gains],
      forgone: this.#forgone,
      tokens: this.#tokens,
      ms: this.#ms,
      recent: this.#recent,
      ahead: this.#ahead,
      depth: this.#depth,
      limit: this.#limit,
      drafters: [...this.#drafters],
      position: this.#position,
      rows: this.#rows,
      modelRows: this.#modelRows,
      isPlain: this.#isPlain,
      lag: this.#lag,
      alone: this.#alone,
      curveAt: this.#curve && this.#curveAt,
      surroundings: { ...this.#surroundings },
      running: this.#running,
      costs: this.#table,
      live: this.#live?.snapshot(),
      goodput: this.#goodput && { state: this.#goodput.snapshot(), plans: this.#byDepth !== undefined },
    };
  }

  /** Takes over a snapshot of a controller with the same configuration; INVALID_ARGUMENT for anything else. */
  restore(state: unknown): void {
    const s = readState(STATE_KINDS, state, this.name);
    const goodput = s.goodput && this.#newGoodput();
    goodput?.restore(s.goodput!.state);
    this.#kind.restore(s.kind);
    this.#goodput = goodput;
    this.#byDepth = s.goodput?.plans ? goodput : undefined;
    this.#learner.restore(s.learner);
    this.#draftWith(s.drafters);
    for (const [i, state] of s.guards.entries()) this.#guards[i]!.restore(state);
    for (const [i, state] of s.modelGuards.entries()) this.#modelGuards[i]!.restore(state);
    this.#gains = s.gains;
    this.#forgone = s.forgone;
    this.#running = s.running;
    this.#take(s.costs);
    if (s.live !== undefined) {
      this.#live = new LiveCosts();
      this.#live.restore(s.live);
    }
    this.#tokens = s.tokens;
    this.#ms = s.ms;
    this.#recent = s.recent;
    this.#ahead = s.ahead;
    this.#depth = s.depth;
    this.#limit = s.limit;
    this.#position = s.position;
    this.#rows = s.rows;
    this.#modelRows = s.modelRows;
    this.#isPlain = s.isPlain;
    this.#lag = s.lag;
    this.#alone = s.alone;
    this.#surroundings = s.surroundings;
    if (s.curveAt !== undefined && this.#costs !== undefined) this.#curveOf(this.#costs, s.curveAt);
  }
}

interface Level {
  drafter?: string;
  asksModel: boolean;
}

const NOBODY: Level = { asksModel: false };

/** Whether any number of tokens would be worth its rows if all of them were free and right. */
function canPay(verifyMs: Float64Array, tokensPerMs: number): boolean {
  return verifyMs.some((ms, tokens) => tokens > tokensPerMs * (ms - verifyMs[0]!));
}

function named(drafter: string | undefined): { drafter?: string } {
  return drafter === undefined ? {} : { drafter };
}
