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
}

/** A draft token whose outcome is known. */
export interface Token {
  probability: number;
  matched: boolean;
}

/** What a `ConfidenceController` adds to a snapshot. */
export interface ConfidenceState {
  threshold: number;
  /** The last tokens whose outcome is known, oldest first. */
  tokens: Token[];
}

const DEFAULTS: Readonly<ConfidenceConfig> = {
  threshold: 0.4,
  maxDepth: 20,
  missCost: 3,
  window: 1024,
};
const KINDS: Kinds<ConfidenceConfig> = {
  threshold: real(0, 1),
  maxDepth: whole(1, MAX_DEPTH),
  missCost: real(0, 1000),
  window: whole(6, 8192),
};

const TOKEN = shape<Token>({ probability: real(0, 1), matched: flag });

/**
 * Stops drafting after a token that is less probable than a threshold, and moves the threshold to where, over the
 * tokens of the request, false positive rate + 3 * false negative rate is least. Threshold and tokens start anew with
 * each request. Throws INVALID_ARGUMENT where a setting is unknown or out of range.
 */
export class ConfidenceController extends StopRulePreset<ConfidenceState> {
  readonly name = 'confidence';
  protected override readonly maxDepth: number;
  readonly #config: Readonly<ConfidenceConfig>;
  #threshold: number;
  /** Tokens of the request whose outcome is known: oldest first, and the same ones most probable first. */
  #tokens: Token[] = [];
  #ranked: Token[] = [];

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
  }

  protected override fit({ accepted, verified, probabilities }: StepReport): void {
    for (let j = 0; j < Math.min(accepted + 1, verified); j++) {
      this.#take({ probability: probabilities[j]!, matched: j < accepted });
    }
    // Nearly sorted already, which the sort makes use of.
    this.#ranked.sort((one, other) => other.probability - one.probability);
    if (this.#tokens.length > 5) {
      this.#threshold = bestThreshold(this.#ranked, this.#config.missCost) ?? this.#threshold;
    }
  }

  #take(token: Token): void {
    this.#tokens.push(token);
    this.#ranked.push(token);
    if (this.#tokens.length <= this.#config.window) return;
    const oldest = this.#tokens.shift()!;
    this.#ranked.splice(this.#ranked.indexOf(oldest), 1);
  }

  protected override rule(): Omit<DetailedPlan, 'depth'> {
    return { stop: { minProbability: this.#threshold, keep: true } };
  }

  protected override why(): string {
    return `threshold ${this.#threshold.toFixed(3)}`;
  }

  protected override ownKinds(): Kinds<ConfidenceState> {
    return {
      threshold: real(0, 1),
      tokens: list(TOKEN, 0, this.#config.window),
    };
  }

  protected override saveOwn(): ConfidenceState {
    return { threshold: this.#threshold, tokens: this.#tokens.map((token) => ({ ...token })) };
  }

  protected override loadOwn({ threshold, tokens }: ConfidenceState): void {
    this.#threshold = threshold;
    this.#tokens = tokens.map(({ probability, matched }) => ({ probability, matched }));
    this.#ranked = [...this.#tokens].sort((one, other) => other.probability - one.probability);
  }
}

/**
 * The probability from which on tokens should be drafted, given tokens with the most probable first: of theirs, the one
 * with the least false positive rate + missCost * false negative rate, the largest where several have it. Undefined
 * where only one outcome occurs.
 */
export function bestThreshold(ranked: readonly Token[], missCost: number): number | undefined {
  const positives = ranked.filter(({ matched }) => matched).length;
  const negatives = ranked.length - positives;
  if (positives === 0 || negatives === 0) return undefined;
  let [right, wrong] = [0, 0];
  let best: number | undefined;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let i = 0; i < ranked.length; i++) {
    const { probability, matched } = ranked[i]!;
    if (matched) right++;
    else wrong++;
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
