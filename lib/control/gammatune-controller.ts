// GammaTune: deeper after a full accept, else the moving average of accepted lengths; with a confidence stop GammaTune+.

import { MAX_DEPTH, type Plan, type StepReport } from './controller.js';
import { PresetController } from './preset.js';
import { clamp, type Kinds, readSettings, real, requireKind, text, whole } from './settings.js';

/** Settings of a `GammaTuneController`. */
export interface GammaTuneConfig {
  /** Smallest depth, in tokens; 1 to 64. Default 1. */
  minDepth: number;
  /** Largest depth, in tokens; minDepth to 64. Default 10. */
  maxDepth: number;
  /** Depth to start with, and the average's first value; minDepth to maxDepth. Default 3, or the nearest in the range. */
  depth: number;
  /** Weight of the last step in the average, 0 to 1. Default 0.3. */
  rate: number;
  /** Tokens more than were accepted, after a draft that was accepted whole; 1 to 64. Default 2. */
  growth: number;
  /** GammaTune+: stop before a token less probable than this, 0 to 1. Default 0: GammaTune. */
  minProbability: number;
}

/** What a `GammaTuneController` adds to a snapshot. */
export interface GammaTuneState {
  depth: number;
  average: number;
  why: string;
}

const DEFAULTS: Readonly<GammaTuneConfig> = {
  minDepth: 1,
  maxDepth: 10,
  depth: 3,
  rate: 0.3,
  growth: 2,
  minProbability: 0,
};
const KINDS: Kinds<GammaTuneConfig> = {
  minDepth: whole(1, MAX_DEPTH),
  maxDepth: whole(1, MAX_DEPTH),
  depth: whole(1, MAX_DEPTH),
  rate: real(0, 1),
  growth: whole(1, MAX_DEPTH),
  minProbability: real(0, 1),
};

/** The next depth from the accepted lengths. Throws INVALID_ARGUMENT where a setting is unknown or out of range. */
export class GammaTuneController extends PresetController<GammaTuneState> {
  readonly name = 'gammatune';
  readonly #config: Readonly<GammaTuneConfig>;
  #depth: number;
  #average: number;
  #why = 'start';

  constructor(config: Partial<GammaTuneConfig> = {}) {
    super();
    const settings = readSettings(KINDS, DEFAULTS, config);
    const { minDepth, maxDepth } = settings;
    requireKind('maxDepth', maxDepth, whole(minDepth, MAX_DEPTH));
    if (config.depth === undefined) settings.depth = clamp(settings.depth, minDepth, maxDepth);
    requireKind('depth', settings.depth, whole(minDepth, maxDepth));
    this.#config = settings;
    this.#depth = settings.depth;
    this.#average = settings.depth;
  }

  protected override learn({ drafted, accepted, depth }: StepReport): void {
    if (drafted === 0) return;
    const { minDepth, maxDepth, rate, growth } = this.#config;
    if (accepted < drafted) {
      this.#average = clamp((1 - rate) * this.#average + rate * accepted, minDepth, maxDepth);
      this.#depth = Math.ceil(this.#average);
      this.#why = `average ${this.#average.toFixed(2)} accepted`;
    } else if (drafted >= depth) {
      this.#depth = clamp(accepted + growth, minDepth, maxDepth);
      this.#why = 'all accepted';
    }
    // A draft that ended early and was accepted says neither that it was too deep nor that it was too shallow.
  }

  protected override choose(): Plan {
    const { minProbability } = this.#config;
    return minProbability > 0 ? { depth: this.#depth, stop: { minProbability } } : this.#depth;
  }

  protected override depth(): number {
    return this.#depth;
  }

  protected override reason(): string {
    return this.#why;
  }

  protected override kinds(): Kinds<GammaTuneState> {
    const { minDepth, maxDepth } = this.#config;
    return { depth: whole(minDepth, maxDepth), average: real(minDepth, maxDepth), why: text };
  }

  protected override save(): GammaTuneState {
    return { depth: this.#depth, average: this.#average, why: this.#why };
  }

  protected override load({ depth, average, why }: GammaTuneState): void {
    this.#depth = depth;
    this.#average = average;
    this.#why = why;
  }
}
