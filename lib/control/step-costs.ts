// What a step costs for a policy: by the request's cost table, or where there is none by what its reports have shown.

import { LiveCosts, type LiveCostsState } from '../calibration/live.js';
import type { RequestInfo, StepReport } from './controller.js';
import { COST_TABLE, LIVE_COSTS } from './cost-kinds.js';
import { CostModel, type CostTable } from './costs.js';
import { type Kind, optional, real, shape, whole } from './settings.js';

/** Plain data that survives JSON. */
export interface StepCostsState {
  /** The request's; undefined where they are learnt. */
  given: CostTable | undefined;
  live: LiveCostsState;
  /** What is in use of those that were learnt. */
  learnt: CostTable | undefined;
  steps: number;
  /** Draft tokens and milliseconds of the last steps, older ones counting less. */
  drafted: number;
  draftMs: number;
}

const AMOUNT = real(0, Number.MAX_VALUE);
export const STEP_COSTS: Kind = shape<StepCostsState>({
  given: optional(COST_TABLE),
  live: LIVE_COSTS,
  learnt: optional(COST_TABLE),
  steps: whole(0, Number.MAX_SAFE_INTEGER),
  drafted: AMOUNT,
  draftMs: AMOUNT,
});
/** Steps between two looks at what was learnt. */
const REFRESH = 16;
/** What is left of the time of draft tokens when a request begins. */
const NEW_TEXT = 0.1;
/** What a step counts for in the time of a draft token after each further one. */
const DISCOUNT = 0.98;

export class StepCosts {
  readonly #live = new LiveCosts({ drafts: false });
  #given: CostModel | undefined;
  #learnt: CostModel | undefined;
  #steps = 0;
  #drafted = 0;
  #draftMs = 0;

  /** A request begins. Without costs it goes on with what was learnt before. */
  begin({ costs }: RequestInfo): void {
    this.#given = costs === undefined ? undefined : new CostModel(structuredClone(costs));
    // Another text has another share of n-grams, which take no time.
    this.#drafted *= NEW_TEXT;
    this.#draftMs *= NEW_TEXT;
  }

  /** Whether the costs are the request's. */
  get areGiven(): boolean {
    return this.#given !== undefined;
  }

  /** Undefined as long as nothing is known. */
  get model(): CostModel | undefined {
    return this.#given ?? this.#learnt;
  }

  /**
   * Time of a draft token in milliseconds as seen in the last steps, an n-gram's counting like any other; before the
   * first, the table's.
   */
  get draftMsPerToken(): number {
    if (this.#drafted > 0) return this.#draftMs / this.#drafted;
    return this.model?.table.draft.msPerToken ?? 0;
  }

  /** Whether most draft tokens of the last steps are a model's. */
  get asksModel(): boolean {
    const { msPerToken } = this.model?.table.draft ?? { msPerToken: 0 };
    return msPerToken > 0 && 2 * this.draftMsPerToken > msPerToken;
  }

  learn(report: StepReport): void {
    if (report.drafted > 0) {
      this.#drafted = DISCOUNT * this.#drafted + report.drafted;
      this.#draftMs = DISCOUNT * this.#draftMs + Math.max(0, report.draftMs);
    }
    if (this.#given !== undefined) return;
    this.#live.observe(report);
    if (this.#learnt !== undefined && ++this.#steps % REFRESH !== 0) return;
    const table = this.#live.table();
    if (table !== undefined) this.#learnt = new CostModel(table);
  }

  snapshot(): StepCostsState {
    return {
      given: structuredClone(this.#given?.table),
      live: this.#live.snapshot(),
      learnt: structuredClone(this.#learnt?.table),
      steps: this.#steps,
      drafted: this.#drafted,
      draftMs: this.#draftMs,
    };
  }

  /** `state` must be of `STEP_COSTS`. */
  restore(state: StepCostsState): void {
    const { given, live, learnt, steps, drafted, draftMs } = structuredClone(state);
    this.#live.restore(live);
    this.#given = given && new CostModel(given);
    this.#learnt = learnt && new CostModel(learnt);
    this.#steps = steps;
    this.#drafted = drafted;
    this.#draftMs = draftMs;
  }
}
