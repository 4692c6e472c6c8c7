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
import type { CostModel, CostTable } from './costs.js';
import { costModelAtLoad } from './costs-at-load.js';
import { LossGuard, type LossGuardState } from './loss-guard.js';
import { positionPhase } from './position-phase.js';
import {
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
import { isTrainedHead } from './trained-heads.js';

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
  tokens: number;
  ms: number;
  recent: number;
  ahead: number;
  depth: number;
  limit: number;
  drafters: string[];
  position: number;
  rows: number;
  /** Context length that the cost curve in use is of; undefined before the first. */
  curveAt: number | undefined;
  surroundings: Surroundings;
  running: number;
  costs: CostTable | undefined;
  live: LiveCostsState | undefined;
}

const DEFAULTS: Readonly<AutoConfig> = { maxDepth: 24, askingShare: 0.003 };
const KINDS: Kinds<AutoConfig> = { maxDepth: whole(1, MAX_DEPTH), askingShare: real(0, 1) };
const POSITIVE = real(0, Number.MAX_VALUE);
/** The classifier checks its own state in `restore`. */
const PART = { is: (value: unknown) => typeof value === 'object' && value !== null, hint: 'Give an object.' };
const STATE_KINDS: Kinds<AutoState> = {
  learner: AcceptanceLearner.kind,
  kind: PART,
  guards: list(LossGuard.kind, CONTEXT_KINDS.length, CONTEXT_KINDS.length),
  tokens: POSITIVE,
  ms: POSITIVE,
  recent: real(0, 1),
  ahead: real(0, 1),
  depth: real(0, MAX_DEPTH),
  limit: whole(0, MAX_DEPTH),
  drafters: list(text, 0, 64),
  position: whole(0, Number.MAX_SAFE_INTEGER),
  rows: whole(0, Number.MAX_SAFE_INTEGER),
  curveAt: optional(whole(0, Number.MAX_SAFE_INTEGER)),
  surroundings: shape<Surroundings>({ kind: oneOf(...CONTEXT_KINDS), recent: real(0, 1), isEarly: flag }),
  running: whole(1, 4096),
  costs: optional(COST_TABLE),
  live: optional(LIVE_COSTS),
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
/** Depths of the first steps where nothing is known of costs: what they take says what rows cost. */
const EXPLORING = [0, 0, 0, 0, 0, 0, 3, 3, 3, 3, 3, 3, 7, 7, 7, 7, 7, 7];

/**
 * Expected tokens against time, token by token (docs/controllers/auto.md): drafting goes on while some m >= 1 has
 * sum of survival - lambda * (m * c + v(k + m + 1) - v(k + 1)) > 0, then what is verified is trimmed by the same rule.
 * lambda is the rate reached anyway, a ratio of sums, at least that of plain decoding. Survival comes from a logistic
 * regression that learns on line. Guards, one a context kind, count what speculation has lost against plain decoding and,
 * with back-off, leave first the draft model and then all drafting alone.
 *
 * One object serves one request after another and keeps what it learnt. Throws INVALID_ARGUMENT for a wrong setting.
 */
export class AutoController implements DepthController {
  readonly name = 'auto';
  readonly #config: Readonly<AutoConfig>;
  readonly #learner = new AcceptanceLearner();
  readonly #kind = new ContextKindClassifier();
  /** One a context kind: what one kind of text loses says nothing of another, and is remembered over requests. */
  #guards: readonly LossGuard[] = guardsOf(0);
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
  /** Whom the guard lets draft, from nobody on: who drafts, and whether a draft model is asked. */
  #levels: readonly Level[] = [NOBODY];
  #limit = 0;
  #drafters: string[] = [];
  #position = 0;
  #rows = 0;
  /** As the steps now running are drafted. */
  #surroundings: Surroundings = { kind: 'prose', recent: 0.5, isEarly: true };

  constructor(config: Partial<AutoConfig> = {}) {
    this.#config = readSettings(KINDS, DEFAULTS, config);
  }

  begin({ promptText, drafters, maxDepth, costs }: RequestInfo): void {
    this.#kind.begin(promptText);
    this.#levels = levelsOf(drafters);
    if (drafters.join() !== this.#drafters.join()) this.#guards = guardsOf(this.#levels.length - 1);
    this.#drafters = [...drafters];
    this.#limit = drafters.length > 0 ? Math.min(maxDepth, this.#config.maxDepth) : 0;
    this.#take(costs);
    this.#position = 0;
    this.#rows = 0;
    this.#tokens = 0;
    this.#ms = 0;
    this.#recent = 0.5;
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
    if (report.load.running !== this.#running) {
      this.#running = Math.max(1, report.load.running);
      this.#price(this.#table);
    }
    if (report.step === 0) return;
    this.#learnCosts(report);
    this.#learner.learn(report, this.#surroundings);
    this.#learnOutcomes(report);
    this.#count(report);
    this.#kind.push(report.text);
    this.#depth += DEPTH_SHARE * (report.verified - this.#depth);
    this.#position = report.position;
    this.#rows = report.rows;
  }

  #learnCosts(report: StepReport): void {
    if (this.#live === undefined) return;
    this.#live.observe(report);
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
  #count({ tokens, origins, rows, contextLength, catchUpMs, draftMs }: StepReport): void {
    const costs = this.#costs;
    if (costs === undefined) return;
    const { draft, overheadMs, rebuildMs } = costs.table;
    const made = modelTokensOf(origins);
    let ms = overheadMs + catchUpMs + costs.stepMs(rows, contextLength, this.#rows > 1 || made > 0, made > 0);
    // A token that the stop rule refused took its time as well, and is in no list.
    ms += Math.min(draftMs, (made + 1) * draft.msPerToken + (draft.startMs ?? 0));
    if (this.#rows > 0 && rows !== this.#rows) ms += rebuildMs;
    this.#tokens = RATE_KEEP * this.#tokens + tokens.length;
    this.#ms = RATE_KEEP * this.#ms + ms;
    const plainMs = overheadMs + costs.verifyMs(1, contextLength);
    // Of the kind that the plan was made for: the step's own text may begin another.
    this.#guard.step(tokens.length - ms / plainMs);
  }

  nextPlan(report: StepReport): Plan {
    this.observe(report);
    if (this.#isHopeless(report.contextLength)) return { depth: 0, steps: MOST_PLAIN_STEPS };
    this.#surroundings = {
      kind: this.#kind.kind,
      recent: this.#recent,
      isEarly: positionPhase(this.#position) === 'early',
    };
    if (this.#limit === 0) return 0;
    const costs = this.#costs;
    const level = this.#levels[this.#guard.level]!;
    if (costs === undefined) {
      // Steps that others share teach nothing of what rows cost: until some are had alone, nothing is drafted.
      if (this.#running > 1) return 0;
      return { depth: Math.min(EXPLORING[report.step] ?? 3, this.#limit), ...named(level.drafter) };
    }
    const verifyMs = this.#curveOf(costs, report.contextLength);
    const steps = this.#stepsOf(costs, verifyMs[0]!);
    if (level.drafter === undefined) {
      const least = this.#running > 1 ? steps : 1;
      return {
        depth: 0,
        steps: steps === 1 ? 1 : Math.min(Math.max(least, this.#guard.wait), MOST_PLAIN_STEPS),
      };
    }
    const tokensPerMs = this.#worth(verifyMs[0]! + costs.table.overheadMs);
    return {
      depth: this.#limit,
      drafter: level.drafter,
      trim: true,
      steps,
      stop: {
        acceptance: this.#learner.model(this.#surroundings),
        value: {
          tokensPerMs,
          draftMs: level.asksModel ? costs.table.draft.msPerToken : NEVER_MS,
          verifyMs: this.#amongDrafts(verifyMs),
          rebuildMs: costs.table.rebuildMs,
          ahead: this.#ahead,
        },
      },
    };
  }

  /** Whether no draft can be worth its rows, whatever the text, since so many share a step. */
  #isHopeless(contextLength: number): boolean {
    const costs = this.#costs;
    if (this.#running === 1 || this.#limit === 0 || costs === undefined) return false;
    const verifyMs = this.#curveOf(costs, contextLength);
    return !canPay(verifyMs, this.#worth(verifyMs[0]! + costs.table.overheadMs));
  }

  get #guard(): LossGuard {
    return this.#guards[CONTEXT_KINDS.indexOf(this.#surroundings.kind)]!;
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
  explain(): { k: number; acceptance: number; reason: string; tokensPerMs: number; ahead: number } {
    const { drafter, asksModel } = this.#levels[this.#guard.level]!;
    const who = drafter === undefined ? 'speculation lost' : asksModel ? 'value' : 'value, n-grams alone';
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
      tokens: this.#tokens,
      ms: this.#ms,
      recent: this.#recent,
      ahead: this.#ahead,
      depth: this.#depth,
      limit: this.#limit,
      drafters: [...this.#drafters],
      position: this.#position,
      rows: this.#rows,
      curveAt: this.#curve && this.#curveAt,
      surroundings: { ...this.#surroundings },
      running: this.#running,
      costs: this.#table,
      live: this.#live?.snapshot(),
    };
  }

  /** Takes over a snapshot of a controller with the same configuration; INVALID_ARGUMENT for anything else. */
  restore(state: unknown): void {
    const s = readState(STATE_KINDS, state, this.name);
    this.#kind.restore(s.kind);
    this.#learner.restore(s.learner);
    this.#drafters = s.drafters;
    this.#levels = levelsOf(s.drafters);
    this.#guards = guardsOf(this.#levels.length - 1);
    for (const [i, state] of s.guards.entries()) this.#guards[i]!.restore(state);
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

function guardsOf(highest: number): LossGuard[] {
  return CONTEXT_KINDS.map(() => new LossGuard(highest));
}

function levelsOf(drafters: readonly string[]): Level[] {
  if (drafters.includes('hybrid')) {
    return [NOBODY, { drafter: 'hybrid', asksModel: false }, { drafter: 'hybrid', asksModel: true }];
  }
  // What it does hangs on probabilities, which a trained head doesn't give.
  const first = drafters.find((name) => !isTrainedHead(name));
  return first === undefined ? [NOBODY] : [NOBODY, { drafter: first, asksModel: first !== 'ngram' }];
}

function named(drafter: string | undefined): { drafter?: string } {
  return drafter === undefined ? {} : { drafter };
}
