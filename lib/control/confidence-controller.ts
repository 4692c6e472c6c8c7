// Hugging Face's confidence threshold: stop where the drafter is unsure, with a threshold refitted after every step.

import { type DetailedPlan, MAX_DEPTH, type StepReport } from './controller.js';
import { flag, type Kinds, list, readSettings, real, shape, whole } from './settings.js';
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

/** A draft token whose outcome is known. */
export interface Token {
  probability: number;
  matched: boolean;
  /** How many tokens it stands for. */
  weight: number;
}

/** What a `ConfidenceController` adds to a snapshot. */
export interface ConfidenceState {
  threshold: number;
  /** The last tokens whose outcome is known, oldest first. */
  tokens: Token[];
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

const TOKEN = shape<Token>({ probability: real(0, 1), matched: flag, weight: real(0, 1_000_000) });

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
  /** Tokens of the request whose outcome is known: oldest first, and the same ones most probable first. */
  #tokens: Token[] = [];
  #ranked: Token[] = [];
  #sinceProbe = 0;

  constructor(config: Partial<ConfidenceConfig> = {}) {
    super();
    this.#config = readSettings(KINDS, DEFAULTS, config);
    this.maxDepth = this.#config.maxDepth;
    this.#threshold = this.#config.threshold;
  }

  protected override start(): void {
    this.#threshold = this.#config.threshold;
    this.#tokens = [];
    this.#ranked = [];
    this.#sinceProbe = 0;
  }

  protected override fit({ accepted, verified, probabilities }: StepReport): void {
    const isProbe = this.#isProbe();
    for (let j = 0; j < Math.min(accepted + 1, verified); j++) {
      const probability = probabilities[j]!;
      const isDoubtful = probability < this.#threshold;
      // Transformers sees the first doubtful token of every draft. A probe's stands for those of all drafts since the
      // last one; one that was drafted because a draft was empty is among them and must not count twice.
      if (isDoubtful && !isProbe) break;
      const weight = isDoubtful ? this.#config.probeInterval : 1;
      this.#take({ probability, matched: j < accepted, weight });
      if (isDoubtful) break;
    }
    // Nearly sorted already, which the sort makes use of.
    this.#ranked.sort((one, other) => other.probability - one.probability);
    if (this.#tokens.length > 5) {
      this.#threshold = bestThreshold(this.#ranked, this.#config.missCost) ?? this.#threshold;
    }
    this.#sinceProbe = isProbe ? 0 : this.#sinceProbe + 1;
  }

  #take(token: Token): void {
    this.#tokens.push(token);
    this.#ranked.push(token);
    if (this.#tokens.length <= this.#config.window) return;
    const oldest = this.#tokens.shift()!;
    this.#ranked.splice(this.#ranked.indexOf(oldest), 1);
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
      tokens: list(TOKEN, 0, this.#config.window),
      sinceProbe: whole(0, Number.MAX_SAFE_INTEGER),
    };
  }

  protected override saveOwn(): ConfidenceState {
    const tokens = this.#tokens.map((token) => ({ ...token }));
    return { threshold: this.#threshold, tokens, sinceProbe: this.#sinceProbe };
  }

  protected override loadOwn({ threshold, tokens, sinceProbe }: ConfidenceState): void {
    this.#threshold = threshold;
    this.#tokens = tokens.map(({ probability, matched, weight }) => ({ probability, matched, weight }));
    this.#ranked = [...this.#tokens].sort((one, other) => other.probability - one.probability);
    this.#sinceProbe = sinceProbe;
  }
}

/**
 * The probability from which on tokens should be drafted, given tokens with the most probable first: of theirs, the one
 * with the least false positive rate + missCost * false negative rate, the largest where several have it. Undefined
 * where only one outcome occurs.
 */
export function bestThreshold(ranked: readonly Token[], missCost: number): number | undefined {
  let [positives, negatives] = [0, 0];
  for (const { matched, weight } of ranked) {
    if (matched) positives += weight;
    else negatives += weight;
  }
  if (positives === 0 || negatives === 0) return undefined;
  let [right, wrong] = [0, 0];
  let best: number | undefined;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let i = 0; i < ranked.length; i++) {
    const { probability, matched, weight } = ranked[i]!;
    if (matched) right += weight;
    else wrong += weight;
    // A threshold takes in all tokens of its probability.
    if (ranked[i + 1]?.probability === probability) continue;
    const cost = wrong / negatives + missCost * (1 - right / positives);
    if (cost < bestCost) {
      bestCost = cost;
      best = probability;
    }
  }
  return best;
}
