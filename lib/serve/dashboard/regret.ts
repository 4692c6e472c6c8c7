// What fixed depths would have taken on the text of the last steps, by estimate, against what the steps took.

import type { StepReport } from '../../control/controller.js';
import { CostModel, type CostTable } from '../../control/costs.js';
import { PlaceAcceptance } from '../../control/place-acceptance.js';
import { modelTokensOf } from '../../control/stop-rule.js';

/** What a step counts for after each further one: the last two hundred or so are seen. */
const DISCOUNT = 0.995;
/** Steps before anything is said, and of them with a draft. */
const LEAST_STEPS = 40;
const LEAST_DRAFTS = 20;
/** Deepest fixed depth that is asked about. */
const DEEPEST = 16;

/** Milliseconds per token, all by the cost table, so that a busy machine favours neither side. */
export interface Regret {
  /** Of the steps as they were. */
  actualMs: number;
  /** Of a fixed depth of 0, 1, 2, …, by estimate. */
  fixedMs: number[];
  /** Depth with the least of them. */
  bestDepth: number;
  /** actualMs / fixedMs[bestDepth] - 1; below 0 where the steps were better than every fixed depth. */
  share: number;
}

/**
 * For K: (overhead + start + K * draft + v(K + 1)) / (1 + a1 + a1 a2 + … + a1…aK), with acceptance by place from the
 * drafts that were verified, and the share of draft tokens that a model had to compute. Text where nothing was drafted
 * counts as like the rest; a controller that doesn't draft where it would fail looks worse by it than it is.
 */
export class RegretEstimate {
  readonly #acceptance = new PlaceAcceptance({ discount: DISCOUNT, prior: 0.5, weight: 2 });
  #steps = 0;
  #drafts = 0;
  // Discounted sums over steps.
  #ms = 0;
  #tokens = 0;
  #weight = 0;
  #context = 0;
  #drafted = 0;
  #byModel = 0;
  #lastRows = 0;
  /** The table is made anew after every calibration, and while live steps correct it. */
  #costs: CostModel | undefined;

  learn(report: StepReport, table: CostTable | undefined): void {
    const { drafted, rows, contextLength, tokens, origins, verified } = report;
    if (table === undefined || report.step === 0 || tokens.length === 0) return;
    if (this.#costs?.table !== table) this.#costs = new CostModel(table);
    const byModel = modelTokensOf(origins);
    const draftMs = byModel > 0 ? byModel * table.draft.msPerToken + (table.draft.startMs ?? 0) : 0;
    const rebuildMs = this.#lastRows > 0 && rows !== this.#lastRows ? table.rebuildMs : 0;
    const verifyMs = this.#costs.stepMs(rows, contextLength, false, byModel > 0);
    this.#lastRows = rows;
    this.#ms = DISCOUNT * this.#ms + table.overheadMs + draftMs + verifyMs + rebuildMs;
    this.#tokens = DISCOUNT * this.#tokens + tokens.length;
    this.#weight = DISCOUNT * this.#weight + 1;
    this.#context = DISCOUNT * this.#context + contextLength;
    this.#drafted = DISCOUNT * this.#drafted + drafted;
    this.#byModel = DISCOUNT * this.#byModel + byModel;
    this.#acceptance.learn(report);
    this.#steps++;
    if (verified > 0) this.#drafts++;
  }

  /** Undefined where too little has been seen, or costs aren't known. */
  estimate(maxDepth: number): Regret | undefined {
    const costs = this.#costs;
    if (!costs || this.#steps < LEAST_STEPS || this.#drafts < LEAST_DRAFTS) return undefined;
    const deepest = Math.min(maxDepth, DEEPEST);
    const acceptance = new Float64Array(deepest);
    this.#acceptance.estimate(deepest, acceptance, new Float64Array(deepest));
    const { draft, overheadMs } = costs.table;
    const modelShare = this.#drafted > 0 ? this.#byModel / this.#drafted : 1;
    const context = this.#context / this.#weight;
    const fixedMs: number[] = [];
    let survival = 1;
    let expected = 1;
    for (let k = 0; k <= deepest; k++) {
      if (k > 0) {
        survival *= acceptance[k - 1]!;
        expected += survival;
      }
      const draftMs =
        k > 0 ? modelShare * ((draft.startMs ?? 0) + (draft.afterMs ?? 0) + k * draft.msPerToken) : 0;
      fixedMs.push((overheadMs + draftMs + costs.verifyMs(k + 1, context)) / expected);
    }
    const bestDepth = fixedMs.indexOf(Math.min(...fixedMs));
    const actualMs = this.#ms / this.#tokens;
    return { actualMs, fixedMs, bestDepth, share: actualMs / fixedMs[bestDepth]! - 1 };
  }
}
