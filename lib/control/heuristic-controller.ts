// Hugging Face's heuristic schedule: two deeper after a draft that was accepted whole, one shallower after any other.

import { MAX_DEPTH, type StepReport } from './controller.js';
import { PresetController } from './preset.js';
import { type Kinds, readSettings, text, whole } from './settings.js';

/** Settings of a `HeuristicController`. */
export interface HeuristicConfig {
  /** Depth to start with, in tokens; 1 to 64. Default 20, the `num_assistant_tokens` of Transformers. */
  depth: number;
  /** Largest depth; 1 to 64. Transformers has no limit. Default 64. */
  maxDepth: number;
}

const DEFAULTS: Readonly<HeuristicConfig> = { depth: 20, maxDepth: MAX_DEPTH };
const KINDS: Kinds<HeuristicConfig> = { depth: whole(1, MAX_DEPTH), maxDepth: whole(1, MAX_DEPTH) };

/** What a `HeuristicController` adds to a snapshot. */
export interface HeuristicState {
  depth: number;
  why: string;
}

/** The schedule's next depth. A step that drafted nothing leaves it as it is. */
export function heuristicDepth(depth: number, { drafted, accepted }: StepReport, maxDepth: number): number {
  if (drafted === 0) return depth;
  return accepted === drafted ? Math.min(depth + 2, maxDepth) : Math.max(1, depth - 1);
}

/** Transformers' `num_assistant_tokens_schedule: "heuristic"`. Throws INVALID_ARGUMENT for a wrong setting. */
export class HeuristicController extends PresetController<HeuristicState> {
  readonly name = 'heuristic';
  readonly #maxDepth: number;
  #depth: number;
  #why = 'start';

  constructor(config: Partial<HeuristicConfig> = {}) {
    super();
    const { depth, maxDepth } = readSettings(KINDS, DEFAULTS, config);
    this.#maxDepth = maxDepth;
    this.#depth = Math.min(depth, maxDepth);
  }

  protected override learn(report: StepReport): void {
    if (report.drafted === 0) return;
    this.#why = report.accepted === report.drafted ? 'all accepted' : 'one was wrong';
    // Beyond what the engine drafts, the schedule would only take longer to come down again.
    this.#depth = heuristicDepth(this.#depth, report, Math.min(this.#maxDepth, Math.max(1, this.limit)));
  }

  protected override choose(): number {
    return this.#depth;
  }

  protected override depth(): number {
    return this.#depth;
  }

  protected override reason(): string {
    return this.#why;
  }

  protected override kinds(): Kinds<HeuristicState> {
    return { depth: whole(1, this.#maxDepth), why: text };
  }

  protected override save(): HeuristicState {
    return { depth: this.#depth, why: this.#why };
  }

  protected override load({ depth, why }: HeuristicState): void {
    this.#depth = depth;
    this.#why = why;
  }
}
