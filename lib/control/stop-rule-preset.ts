// What the presets with a stop rule share: what they do without the drafter's signals.

import { type DetailedPlan, MAX_DEPTH, type Plan, type StepReport } from './controller.js';
import { heuristicDepth } from './heuristic-controller.js';
import { PresetController } from './preset.js';
import { flag, type Kinds, whole } from './settings.js';

/** The part of the snapshot that all of them have. */
export interface StopRuleState {
  /** Whether the drafter gave no probabilities at the last draft. */
  silent: boolean;
  /** Depth of the heuristic schedule, for drafters without probabilities. */
  heuristic: number;
}

const KINDS: Kinds<StopRuleState> = { silent: flag, heuristic: whole(1, MAX_DEPTH) };

/**
 * A policy that stops drafting by the drafter's signals.
 * Where the drafter gives no probabilities (n-grams, say), the depth follows Hugging Face's heuristic schedule.
 */
export abstract class StopRulePreset<Own extends object> extends PresetController<Own & StopRuleState> {
  /** Most tokens of a draft. */
  protected abstract readonly maxDepth: number;
  #shared: StopRuleState = { silent: false, heuristic: 5 };

  protected override learn(report: StepReport): void {
    if (report.drafted === 0) return;
    this.#shared.silent = report.probabilities.length === 0;
    if (this.#shared.silent) {
      this.#shared.heuristic = heuristicDepth(this.#shared.heuristic, report, this.maxDepth);
    } else {
      this.fit(report);
    }
  }

  protected override choose(report: StepReport): Plan {
    if (this.#shared.silent) return this.depth();
    return { depth: this.maxDepth, ...this.rule(report) };
  }

  protected override depth(): number {
    return this.#shared.silent ? Math.min(this.#shared.heuristic, this.maxDepth) : this.maxDepth;
  }

  protected override reason(): string {
    return this.#shared.silent ? 'no probabilities: heuristic schedule' : this.why();
  }

  protected override kinds(): Kinds<Own & StopRuleState> {
    return { ...KINDS, ...this.ownKinds() } as Kinds<Own & StopRuleState>;
  }

  protected override save(): Own & StopRuleState {
    return { ...this.#shared, ...this.saveOwn() };
  }

  protected override load(state: Own & StopRuleState): void {
    this.loadOwn(state);
    this.#shared = { silent: state.silent, heuristic: state.heuristic };
  }

  /** Learns from a draft with signals. */
  protected abstract fit(report: StepReport): void;
  protected abstract rule(report: StepReport): Omit<DetailedPlan, 'depth'>;
  protected abstract why(): string;
  protected abstract ownKinds(): Kinds<Own>;
  protected abstract saveOwn(): Own;
  protected abstract loadOwn(state: Own): void;
}
