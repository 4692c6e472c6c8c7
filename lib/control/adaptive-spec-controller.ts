// The experiment's policy: K follows the rolling acceptance rate, and bends to what the text looks like.

import { type DepthController, MAX_DEPTH, type RequestInfo, type StepReport } from './controller.js';
import {
  clamp,
  finite,
  type Kinds,
  list,
  oneOf,
  readSettings,
  readState,
  real,
  requireKind,
  text,
  whole,
} from './settings.js';

/** Settings of an `AdaptiveSpecController`. */
export interface AdaptiveSpecConfig {
  /** Smallest K, in tokens; 0 to 64. Default 4. */
  kMin: number;
  /** Largest K, in tokens; kMin to 64. Default 24. */
  kMax: number;
  /** K to start with; kMin to kMax. Default 8, or the nearest K in the range. */
  kCurrent: number;
  /** Acceptance rate that K is steered around; 0 to 1. Default 0.55. */
  targetAcceptance: number;
  /** Drafted tokens between two adjustments of K; 1 or more. Default 64. */
  adjustmentInterval: number;
  /** Steps whose acceptance rates are averaged; 1 to 4096. Default 128. */
  acceptanceWindow: number;
}

/** What `snapshot` gives and `restore` takes; plain data that survives JSON. */
export interface AdaptiveSpecState {
  kCurrent: number;
  tokensSinceAdjustment: number;
  /** Acceptance rates of the last steps, oldest first. */
  acceptances: number[];
  /** Last characters of prompt and output. */
  tail: string;
  maxDepth: number;
  reason: string;
  context: ContextOverride | '';
}

/** Kinds of text that bend K. */
export type ContextOverride = 'code' | 'math' | 'json';

const DEFAULTS: Readonly<AdaptiveSpecConfig> = {
  kMin: 4,
  kMax: 24,
  kCurrent: 8,
  targetAcceptance: 0.55,
  adjustmentInterval: 64,
  acceptanceWindow: 128,
};
const KINDS: Kinds<AdaptiveSpecConfig> = {
  kMin: whole(0, MAX_DEPTH),
  kMax: whole(0, MAX_DEPTH),
  kCurrent: whole(0, MAX_DEPTH),
  targetAcceptance: real(0, 1),
  adjustmentInterval: whole(1, Number.MAX_SAFE_INTEGER),
  acceptanceWindow: whole(1, 4096),
};
const TAIL_CHARACTERS = 256;
/** By UTF-16 unit; a table, because this is looked up 256 times a step. */
const IS_CODE_CHARACTER = new Uint8Array(128);
for (const character of '{}()[];:') IS_CODE_CHARACTER[character.charCodeAt(0)] = 1;
const MATH = /[∑∀∃→⇒∫]|therefore|proof/;

/**
 * Raises K while drafts are accepted and lowers it while they aren't; deeper in code, shallower in mathematics.
 *
 * One object serves one request after another and keeps what it learnt (K, the window of acceptance rates, the
 * count towards the next adjustment): only the text starts anew with each `begin`. Requests that run at the same
 * time need an object each. Memory and time per step are bounded by the configuration.
 *
 * Throws INVALID_ARGUMENT where a setting is unknown or out of range.
 */
export class AdaptiveSpecController implements DepthController {
  readonly name = 'adaptive';
  readonly #config: Readonly<AdaptiveSpecConfig>;
  readonly #thresholds: Readonly<Record<'high' | 'above' | 'below' | 'low', number>>;
  #k: number;
  #tokensSinceAdjustment = 0;
  #acceptances: number[] = [];
  #tail = '';
  #maxDepth = MAX_DEPTH;
  #reason = 'start';
  #context: ContextOverride | '' = '';

  constructor(config: Partial<AdaptiveSpecConfig> = {}) {
    this.#config = checkConfig(config);
    this.#k = this.#config.kCurrent;
    const target = this.#config.targetAcceptance;
    this.#thresholds = {
      high: decimal(target + 0.1),
      above: target,
      below: decimal(target - 0.1),
      low: decimal(target - 0.2),
    };
  }

  /** Takes in one step's counts. A step that drafted nothing says nothing of acceptance. */
  recordAcceptance(accepted: number, drafted: number): void {
    if (!(drafted > 0)) return;
    this.#acceptances.push(accepted / drafted);
    if (this.#acceptances.length > this.#config.acceptanceWindow) this.#acceptances.shift();
    this.#tokensSinceAdjustment += drafted;
  }

  /** Mean acceptance rate of the steps in the window, 0 to 1; 0.5 before the first. */
  rollingAcceptance(): number {
    if (this.#acceptances.length === 0) return 0.5;
    // Summed anew, for a running sum would drift away from the window's true mean.
    let sum = 0;
    for (const acceptance of this.#acceptances) sum += acceptance;
    return sum / this.#acceptances.length;
  }

  /** Whether enough tokens were drafted since the last adjustment of K. */
  shouldAdjust(): boolean {
    return this.#tokensSinceAdjustment >= this.#config.adjustmentInterval;
  }

  /** Moves K by the rolling acceptance rate, restarts the count towards the next adjustment, and returns K. */
  computeNewK(): number {
    const { kMin, kMax } = this.#config;
    const { high, above, below, low } = this.#thresholds;
    const rate = this.rollingAcceptance();
    let change = 0;
    if (rate > high) {
      change = 4;
      this.#reason = 'high acceptance';
    } else if (rate > above) {
      change = 2;
      this.#reason = 'acceptance above target';
    } else if (rate < low) {
      change = -4;
      this.#reason = 'low acceptance';
    } else if (rate < below) {
      change = -2;
      this.#reason = 'acceptance below target';
    } else {
      this.#reason = 'acceptance near target';
    }
    this.#k = clamp(this.#k + change, kMin, kMax);
    this.#tokensSinceAdjustment = 0;
    return this.#k;
  }

  /**
   * The depth for a piece of text: K, or what its kind bends K to. JSON gets at least 6, even above a smaller kMax.
   * Characters are UTF-16 units; every character looked for is one unit, so half a surrogate pair does no harm.
   */
  kForContext(snippet: string): number {
    return this.#bend(contextOverride(snippet));
  }

  begin(request: RequestInfo): void {
    this.#tail = request.promptText.slice(-TAIL_CHARACTERS);
    this.#maxDepth = request.drafters.length > 0 ? request.maxDepth : 0;
  }

  nextPlan(report: StepReport): number {
    this.recordAcceptance(report.accepted, report.drafted);
    if (this.shouldAdjust()) this.computeNewK();
    this.#tail = (this.#tail + report.text).slice(-TAIL_CHARACTERS);
    this.#context = contextOverride(this.#tail);
    return Math.min(this.#bend(this.#context), this.#maxDepth);
  }

  /** `k` is K before the text bends it; `reason` is the last adjustment's, and the text's kind where it counts. */
  explain(): { k: number; acceptance: number; reason: string } {
    const context = this.#context && `; context ${this.#context}`;
    return { k: this.#k, acceptance: this.rollingAcceptance(), reason: this.#reason + context };
  }

  snapshot(): AdaptiveSpecState {
    return {
      kCurrent: this.#k,
      tokensSinceAdjustment: this.#tokensSinceAdjustment,
      acceptances: [...this.#acceptances],
      tail: this.#tail,
      maxDepth: this.#maxDepth,
      reason: this.#reason,
      context: this.#context,
    };
  }

  /** Takes over a snapshot of a controller with the same configuration; INVALID_ARGUMENT for anything else. */
  restore(state: unknown): void {
    const { kMin, kMax, acceptanceWindow } = this.#config;
    const kinds: Kinds<AdaptiveSpecState> = {
      kCurrent: whole(kMin, kMax),
      tokensSinceAdjustment: whole(0, Number.MAX_SAFE_INTEGER),
      acceptances: list(finite, 0, acceptanceWindow),
      tail: text,
      maxDepth: whole(0, MAX_DEPTH),
      reason: text,
      context: oneOf('', 'code', 'math', 'json'),
    };
    const { kCurrent, tokensSinceAdjustment, acceptances, tail, maxDepth, reason, context } = readState(
      kinds,
      state,
      this.name,
    );
    this.#k = kCurrent;
    this.#tokensSinceAdjustment = tokensSinceAdjustment;
    this.#acceptances = acceptances;
    this.#tail = tail.slice(-TAIL_CHARACTERS);
    this.#maxDepth = maxDepth;
    this.#reason = reason;
    this.#context = context;
  }

  #bend(context: ContextOverride | ''): number {
    const { kMin, kMax } = this.#config;
    switch (context) {
      case 'code':
        return Math.min(this.#k + 8, kMax);
      case 'math':
        return Math.max(this.#k - 4, kMin);
      case 'json':
        return Math.max(kMin, 6);
      default:
        return this.#k;
    }
  }
}

/** The experiment's tests, in its order: code wins over mathematics, mathematics over JSON. */
function contextOverride(snippet: string): ContextOverride | '' {
  let codeCharacters = 0;
  for (let i = 0; i < snippet.length; i++) {
    if (IS_CODE_CHARACTER[snippet.charCodeAt(i)] === 1) codeCharacters++;
  }
  // "Over 5 %", in whole numbers.
  if (codeCharacters * 20 > snippet.length || snippet.includes('```')) return 'code';
  if (MATH.test(snippet)) return 'math';
  if (snippet.trimStart().startsWith('{') || snippet.includes('"type":')) return 'json';
  return '';
}

function checkConfig(config: Partial<AdaptiveSpecConfig>): AdaptiveSpecConfig {
  const settings = readSettings(KINDS, DEFAULTS, config);
  const { kMin, kMax } = settings;
  requireKind('kMax', kMax, whole(kMin, MAX_DEPTH));
  if (config.kCurrent === undefined) settings.kCurrent = clamp(DEFAULTS.kCurrent, kMin, kMax);
  requireKind('kCurrent', settings.kCurrent, whole(kMin, kMax));
  return settings;
}

/** 0.55 - 0.1 is a little over 0.45 in binary; this gives the number that a reader would write. */
function decimal(value: number): number {
  return Math.round(value * 1e12) / 1e12;
}
