// SGLang's adaptive steps: a moving average of accepted lengths moves the depth along a few tiers, with hysteresis.

import { MAX_DEPTH, type StepReport } from './controller.js';
import { PresetController } from './preset.js';
import { invalid, type Kinds, list, optional, readSettings, real, whole } from './settings.js';

/** Settings of a `TiersController`. */
export interface TiersConfig {
  /** Depths to choose from, rising; 1 to 65 of 0 to 64. Default 1, 3, 5, 7. */
  tiers: readonly number[];
  /** Tier to start with. Default the middle one, the upper of two. */
  depth: number | undefined;
  /** Weight of the last step in the average, 0 to 1. Default 0.2. */
  alpha: number;
  /** Steps before the first change, 0 or more. Default 10. */
  warmup: number;
  /** Steps between two changes, 1 or more. Default 5. */
  interval: number;
  /** Added to what the average must fall to for a lower tier; -64 to 64. Default -0.25. */
  downHysteresis: number;
  /** Added to what the average must exceed for a higher tier; -64 to 64. Default 0. */
  upHysteresis: number;
}

/** What a `TiersController` adds to a snapshot. */
export interface TiersState {
  tier: number;
  average: number;
  steps: number;
}

const DEFAULTS: Readonly<TiersConfig> = {
  tiers: [1, 3, 5, 7],
  depth: undefined,
  alpha: 0.2,
  warmup: 10,
  interval: 5,
  downHysteresis: -0.25,
  upHysteresis: 0,
};
const KINDS: Kinds<TiersConfig> = {
  tiers: list(whole(0, MAX_DEPTH), 1, MAX_DEPTH + 1),
  depth: optional(whole(0, MAX_DEPTH)),
  alpha: real(0, 1),
  warmup: whole(0, Number.MAX_SAFE_INTEGER),
  interval: whole(1, Number.MAX_SAFE_INTEGER),
  downHysteresis: real(-MAX_DEPTH, MAX_DEPTH),
  upHysteresis: real(-MAX_DEPTH, MAX_DEPTH),
};

/** SGLang's EMA strategy for a batch of one. Throws INVALID_ARGUMENT where a setting is unknown or out of range. */
export class TiersController extends PresetController<TiersState> {
  readonly name = 'tiers';
  readonly #config: Readonly<TiersConfig>;
  readonly #tiers: readonly number[];
  #tier: number;
  #average: number;
  #steps = 0;

  constructor(config: Partial<TiersConfig> = {}) {
    super();
    this.#config = readSettings(KINDS, DEFAULTS, config);
    this.#tiers = [...this.#config.tiers];
    if (this.#tiers.some((tier, i) => i > 0 && tier <= this.#tiers[i - 1]!)) {
      throw invalid('tiers is out of order', 'Give each depth once, the smallest first.');
    }
    const { depth } = this.#config;
    this.#tier = depth === undefined ? Math.floor(this.#tiers.length / 2) : this.#tiers.indexOf(depth);
    if (this.#tier < 0) throw invalid('depth is no tier', `Give one of: ${this.#tiers.join(', ')}.`);
    // Neutral: one token less than the tier, which neither raises nor lowers it.
    this.#average = this.#depth - 1;
  }

  get #depth(): number {
    return this.#tiers[this.#tier]!;
  }

  protected override learn({ step, drafted, accepted }: StepReport): void {
    if (step === 0) return;
    const { alpha, warmup, interval } = this.#config;
    if (drafted > 0) this.#average = (1 - alpha) * this.#average + alpha * accepted;
    this.#steps++;
    if (this.#steps > warmup && (this.#steps - warmup) % interval === 0) this.#move();
  }

  #move(): void {
    const tiers = this.#tiers;
    // Tier 0 learns nothing: it lasts for one interval, then the next tier is tried.
    if (this.#depth === 0) {
      this.#tier = Math.min(this.#tier + 1, tiers.length - 1);
      if (this.#average < 0) this.#average = Math.max(0, this.#depth - 1);
      return;
    }
    const before = this.#tier;
    while (this.#tier > 0 && this.#average <= this.#dropAt(tiers[this.#tier - 1]!)) this.#tier--;
    if (this.#tier < before) return;
    while (this.#tier < tiers.length - 1 && this.#average > this.#depth - 0.5 + this.#config.upHysteresis) {
      this.#tier++;
    }
  }

  /** The average at which the tier above `lower` is left for it. No draft at all asks for less than half a token. */
  #dropAt(lower: number): number {
    return (lower === 0 ? 0.5 : lower - 0.5) + this.#config.downHysteresis;
  }

  protected override choose(): number {
    return this.#depth;
  }

  protected override depth(): number {
    return this.#depth;
  }

  protected override reason(): string {
    return this.#steps <= this.#config.warmup ? 'warm-up' : `average ${this.#average.toFixed(2)} accepted`;
  }

  protected override kinds(): Kinds<TiersState> {
    return {
      tier: whole(0, this.#tiers.length - 1),
      average: real(-1, MAX_DEPTH),
      steps: whole(0, Number.MAX_SAFE_INTEGER),
    };
  }

  protected override save(): TiersState {
    return { tier: this.#tier, average: this.#average, steps: this.#steps };
  }

  protected override load({ tier, average, steps }: TiersState): void {
    this.#tier = tier;
    this.#average = average;
    this.#steps = steps;
  }
}
