// What the presets share: the request's limit on the depth, the acceptance rate they report, snapshots.

import {
  type DepthController,
  MAX_DEPTH,
  type Plan,
  type RequestInfo,
  type StepReport,
} from './controller.js';
import { type Kinds, readState, real, whole } from './settings.js';

/** The part of a preset's snapshot that all have. */
export interface PresetState {
  /** Largest depth of the request; 0 without a drafter. */
  limit: number;
  /** Accepted and verified tokens of the last steps, older ones counting less. */
  accepted: number;
  verified: number;
}

const KINDS: Kinds<PresetState> = {
  limit: whole(0, MAX_DEPTH),
  accepted: real(0, Number.MAX_VALUE),
  verified: real(0, Number.MAX_VALUE),
};
/** What a step counts for in the acceptance rate after each further step. */
const DISCOUNT = 0.95;

/**
 * A policy of the field. `Own` is the state that it adds; plain data that survives JSON.
 *
 * One object serves one request after another and keeps what it learnt, unless the policy says otherwise. Requests
 * that run at the same time need an object each.
 */
export abstract class PresetController<Own extends object> implements DepthController {
  abstract readonly name: string;
  #state: PresetState = { limit: MAX_DEPTH, accepted: 0, verified: 0 };

  begin(request: RequestInfo): void {
    this.#state.limit = request.drafters.length > 0 ? request.maxDepth : 0;
    this.start(request);
  }

  nextPlan(report: StepReport): Plan {
    this.observe(report);
    const plan = this.choose(report);
    const depth = Math.min(typeof plan === 'number' ? plan : plan.depth, this.#state.limit);
    return typeof plan === 'number' || depth === 0 ? depth : { ...plan, depth };
  }

  observe(report: StepReport): void {
    if (report.verified > 0) {
      this.#state.accepted = DISCOUNT * this.#state.accepted + report.accepted;
      this.#state.verified = DISCOUNT * this.#state.verified + report.verified;
    }
    this.learn(report);
  }

  /** `acceptance` is that of the last twenty steps or so; 0.5 before the first. */
  explain(): { k: number; acceptance: number; reason: string } {
    const { accepted, verified } = this.#state;
    return { k: this.depth(), acceptance: verified > 0 ? accepted / verified : 0.5, reason: this.reason() };
  }

  snapshot(): PresetState & Own {
    return { ...this.#state, ...this.save() };
  }

  /** Takes over a snapshot of a controller with the same configuration; INVALID_ARGUMENT for anything else. */
  restore(state: unknown): void {
    const own = readState(this.kinds(), state, this.name);
    this.#state = readState(KINDS, state, this.name);
    this.load(own);
  }

  /** Largest depth of the request. */
  protected get limit(): number {
    return this.#state.limit;
  }

  /** A request begins. */
  protected start(_request: RequestInfo): void {}
  /** Takes in a step; step 0 and steps without a draft too. */
  protected abstract learn(report: StepReport): void;
  /** The plan, but for the limit, after `learn` has seen the same report. */
  protected abstract choose(report: StepReport): Plan;
  /** The depth as the audit log has it. */
  protected abstract depth(): number;
  protected abstract reason(): string;
  protected abstract kinds(): Kinds<Own>;
  protected abstract save(): Own;
  protected abstract load(state: Own): void;
}
