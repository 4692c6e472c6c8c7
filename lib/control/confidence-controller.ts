// Hugging Face's confidence threshold: stop where the drafter is unsure, with a threshold refitted after every step.

import { type DetailedPlan, MAX_DEPTH, type StepReport } from './controller.js';
import { flag, type Kinds, list, readSettings, real, whole } from './settings.js';
import { StopRulePreset } from './stop-rule-preset.js';

/** Settings of a `ConfidenceController`. */
export interface ConfidenceConfig {
  /** Threshold to start with, 0 to 1. Default 0.4, the `assistant_confidence_threshold` of Transformers. */
  threshold: number;
  /** Most tokens of a draft; 1 to 64. Default 20, the `num_assistant_tokens` of Transformers. */
  maxDepth: number;
  /** What a missed token costs, a wasted one being 1; 0 to 1000. Default 3. */
  missCost: number;
  /** Tokens that the threshold is fitted to, the last ones of a request; 6 to 8192. Default 1024. */
  window: number;
  /** Every so many steps half the threshold is used, to see tokens below it; 0 is never. Default 4. */
  probeInterval: number;
}

/** What a `ConfidenceController` adds to a snapshot. */
export interface ConfidenceState {
  threshold: number;
  /** Probability and outcome of the last tokens, oldest first. */
  probabilities: number[];
  matches: boolean[];
  /** Drafts since the last probe. */
  sinceProbe: number;
}

const DEFAULTS: Readonly<ConfidenceConfig> = {
  threshold: 0.4,
  maxDepth: 20,
  missCost: 3,
  window: 1024,
  probeInterval: 4,
};
const KINDS: Kinds<ConfidenceConfig> = {
  threshold: real(0, 1),
  maxDepth: whole(1, MAX_DEPTH),
  missCost: real(0, 1000),
  window: whole(6, 8192),
  probeInterval: whole(0, 1_000_000),
};

/**
 * Stops drafting before a token that is less probable than a threshold, and moves the threshold to where, over the
 * tokens of the request, false positive rate + 3 * false negative rate is least. Threshold and tokens start anew with
 * each request. Throws INVALID_ARGUMENT where a setting is unknown or out of range.
 */
export class ConfidenceController extends StopRulePreset<ConfidenceState> {
  readonly name = 'confidence';
  protected override readonly maxDepth: number;
  protected override readonly minDepth = 1;
  readonly #config: Readonly<ConfidenceConfig>;
  #threshold: number;
  #probabilities: number[] = [];
  #matches: boolean[] = [];
  #sinceProbe = 0;

  constructor(config: Partial<ConfidenceConfig> = {}) {
    super();
    this.#config = readSettings(KINDS, DEFAULTS, config);
    this.maxDepth = this.#config.maxDepth;
    this.#threshold = this.#config.threshold;
  }

  protected override start(): void {
    this.#threshold = this.#config.threshold;
    this.#probabilities = [];
    this.#matches = [];
    this.#sinceProbe = 0;
  }

  protected override fit({ accepted, verified, probabilities }: StepReport): void {
    for (let j = 0; j < Math.min(accepted + 1, verified); j++) {
      this.#probabilities.push(probabilities[j]!);
      this.#matches.push(j < accepted);
    }
    const excess = this.#probabilities.length - this.#config.window;
    if (excess > 0) {
      this.#probabilities.splice(0, excess);
      this.#matches.splice(0, excess);
    }
    if (this.#probabilities.length > 5) {
      const best = bestThreshold(this.#probabilities, this.#matches, this.#config.missCost);
      if (best !== undefined) this.#threshold = best;
    }
    this.#sinceProbe = this.#isProbe() ? 0 : this.#sinceProbe + 1;
  }

  protected override rule(): Omit<DetailedPlan, 'depth'> {
    return { stop: { minProbability: this.#isProbe() ? this.#threshold / 2 : this.#threshold } };
  }

  /** Transformers drafts the doubtful token too and so sees what is below the threshold; here a probe does. */
  #isProbe(): boolean {
    const { probeInterval } = this.#config;
    return probeInterval > 0 && this.#sinceProbe >= probeInterval - 1;
  }

  protected override why(): string {
    return `threshold ${this.#threshold.toFixed(3)}`;
  }

  protected override ownKinds(): Kinds<ConfidenceState> {
    return {
      threshold: real(0, 1),
      probabilities: list(real(0, 1), 0, this.#config.window),
      matches: list(flag, 0, this.#config.window),
      sinceProbe: whole(0, Number.MAX_SAFE_INTEGER),
    };
  }

  protected override saveOwn(): ConfidenceState {
    return {
      threshold: this.#threshold,
      probabilities: [...this.#probabilities],
      matches: [...this.#matches],
      sinceProbe: this.#sinceProbe,
    };
  }

  protected override loadOwn({ threshold, probabilities, matches, sinceProbe }: ConfidenceState): void {
    this.#threshold = threshold;
    // Pairs only, whatever the lengths of a state that was written by hand.
    const pairs = Math.min(probabilities.length, matches.length);
    this.#probabilities = probabilities.slice(0, pairs);
    this.#matches = matches.slice(0, pairs);
    this.#sinceProbe = sinceProbe;
  }
}

/**
 * The probability from which on tokens should be drafted: of those that occur, the one with the least false positive
 * rate + missCost * false negative rate, the largest where several have it. Undefined where only one outcome occurs.
 */
export function bestThreshold(
  probabilities: readonly number[],
  matches: readonly boolean[],
  missCost: number,
): number | undefined {
  const positives = matches.filter((matched) => matched).length;
  const negatives = matches.length - positives;
  if (positives === 0 || negatives === 0) return undefined;
  const order = Array.from(matches.keys()).sort((a, b) => probabilities[b]! - probabilities[a]!);
  let [right, wrong] = [0, 0];
  let best: number | undefined;
  let bestCost = Number.POSITIVE_INFINITY;
  for (const [i, sample] of order.entries()) {
    if (matches[sample]) right++;
    else wrong++;
    const threshold = probabilities[sample]!;
    // A threshold takes in all tokens of its probability.
    if (i + 1 < order.length && probabilities[order[i + 1]!] === threshold) continue;
    const cost = wrong / negatives + missCost * (1 - right / positives);
    if (cost < bestCost) {
      bestCost = cost;
      best = threshold;
    }
  }
  return best;
}
