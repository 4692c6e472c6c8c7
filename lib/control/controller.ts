// The contract between the speculation loop and a policy that chooses the depth K.

import type { CostTable } from './costs.js';

/** Largest depth that any engine accepts, in tokens. */
export const MAX_DEPTH = 64;

/**
 * How probable it is that the target agrees with a draft token, given that it agreed with those before it:
 * 1 / (1 + exp(-z)). For a draft model's token z = bias + logit * ln(p / (1 - p)) + margin * m + entropy * H +
 * place * ln(1 + j) + match * x, where p is the model's probability of the token (kept within 1e-6 of 0 and 1), m its
 * margin to the second best, H the entropy in nats, j its place in the draft, from 0, and x what the text's n-grams
 * say of it (`StepReport.matches`). For an n-gram's token z = ngramBias + ngramLogit * ln(p / (1 - p)), p its score.
 */
export interface AcceptanceModel {
  bias: number;
  logit: number;
  margin: number;
  entropy: number;
  place: number;
  /** Default 0. */
  match?: number;
  /** Default 0. */
  ngramBias?: number;
  /** Default 1. */
  ngramLogit?: number;
}

/**
 * Drafts on while what further tokens are expected to add is worth more than their time:
 * some m >= 1 has sum over i = 1..m of S * ahead^i > tokensPerMs * (m * draftMs + v(k + m + 1) - v(k + 1)), where k
 * tokens are drafted, S is the probability that all of them are accepted (by `acceptance`) and v(n) is the time of
 * n rows. Looking m tokens ahead carries it over the steps of a staircase. Where an n-gram proposes the next token,
 * which takes no time to draft, its own acceptance stands for the first `ahead`, and draftMs is counted m - 1 times. startMs
 * is counted with the first draftMs of a draft.
 */
export interface ValueRule {
  /** What a millisecond is worth, in tokens: the rate that is reached anyway. Above 0. */
  tokensPerMs: number;
  /** Time of one draft token, in milliseconds. */
  draftMs: number;
  /** What the first token that a model is asked for costs more, in milliseconds. Default 0. */
  startMs?: number;
  /** v(n) in milliseconds, from n = 1 on; a further row costs what the last one does. 1 to 65 numbers. */
  verifyMs: ArrayLike<number>;
  /** What a number of rows other than the step's before costs more, in milliseconds. Default 0. */
  rebuildMs?: number;
  /** Expected acceptance of each token that is not proposed yet, 0 to 1. */
  ahead: number;
}

/** Where a draft token comes from, as `StepReport.origins` says. */
export const ORIGIN = {
  /** The draft model. */
  model: 0,
  /** An n-gram of the text that was sure enough: the model was not asked. */
  ngram: 1,
  /** An n-gram that was preferred to what the model said. */
  ngramOverModel: 2,
  /** The only text that the request's grammar allows there; nobody was asked. */
  grammar: 3,
} as const;

/** When the drafter stops before the planned depth; runs natively, per draft token. Every condition given counts. */
export interface StopRule {
  /** Stop before a token whose probability, by the drafter, is below this (0 to 1). */
  minProbability?: number;
  /** Stop before a token where the drafter's entropy, in nats, is above this. */
  maxEntropy?: number;
  /** Stop before a token whose acceptance, by `acceptance`, is below this (0 to 1). */
  minAcceptance?: number;
  /** Stop before a token with which the probability that all are accepted, by `acceptance`, falls below this. */
  minSurvival?: number;
  /**
   * The token at which one of the four conditions above stops becomes the draft's last, instead of being left out: it
   * has been computed by then, and a rule that is fitted sees how such tokens fare. Default false.
   */
  keep?: boolean;
  /** Turns the drafter's signals into a probability of acceptance. Default: the drafter's own probability. */
  acceptance?: AcceptanceModel;
  /** Stop after the last token that is worth its time. */
  value?: ValueRule;
}

/**
 * What of a tree is verified: a chain, and other tokens beside it where the drafter was unsure, with what may follow
 * those (docs/trees.md).
 */
export interface TreePlan {
  /** Draft tokens verified at most, those beside the chain included. 0: a chain alone, which is never cut for it. */
  nodes: number;
  /** Paths that leave the chain at most. Default: as many as the engine has `branches`. */
  branches?: number;
}

/**
 * What was verified beside a step's draft: guesses of the drafter for places where its own token may be wrong, and what
 * may follow them.
 */
export interface Branches {
  /** Ids of the tokens. */
  tokens: Int32Array;
  /**
   * Per token, the place in the draft of the token that it follows, from 0; -1: the last accepted one. From `verified`
   * on: one of `tokens`, parents[i] - verified, which stands before it.
   */
  parents: Int32Array;
  /** Per token, how probable it was thought that it and all before it are right. */
  probabilities: Float32Array;
  /** How many the target agreed with, behind the `accepted` ones of the draft. */
  accepted: number;
}

/** A depth with details. */
export interface DetailedPlan {
  /** Tokens asked of the drafter; 0 is plain decoding. */
  depth: number;
  stop?: StopRule;
  /** Which drafter; the request's by default. */
  drafter?: string;
  /**
   * Verify only as many of the drafted tokens as are worth their time by `stop.value`: the j with the largest
   * 1 + (sum of the first j survivals) - tokensPerMs * v(j + 1), rebuildMs added where j + 1 rows are a change.
   * Where the plan or the request wants a `tree`, the draft and the guesses beside it are one choice: the likeliest of
   * all. Without effect on drafts with tokens that were drawn (`acceptance: 'rejection'`): all of them are verified.
   */
  trim?: boolean;
  /** Draft tokens to verify at most. 0 only looks at what would be drafted. Default: all. */
  verify?: number;
  /**
   * Verify guesses beside the draft too. With `stop.value`, only those that are worth their rows. Default: the
   * request's `tree`. Without effect where the engine has no `branches`.
   */
  tree?: TreePlan;
  /**
   * Steps that this plan holds for: 1 to 256, by default 1. Of several, the next plan is asked for before the last one.
   * Fewer where twice or half as many requests share the steps meanwhile. Reports of the steps between come later,
   * several at once, to `observe`.
   */
  steps?: number;
}

/** What to do in the next step: a depth, or a depth with details. Depth 0 is plain decoding. */
export type Plan = number | DetailedPlan;

/** What is known of a request before its first step. */
export interface RequestInfo {
  /** Number of prompt tokens. */
  promptTokens: number;
  /** The prompt as text: after the chat template, where there is one. */
  promptText: string;
  /** Most tokens that will be emitted. */
  maxTokens: number;
  /** Largest depth that the engine accepts; larger plans are clamped to it. */
  maxDepth: number;
  /**
   * Names of the drafters that a plan may name: 'model', 'ngram', 'hybrid', and llama.cpp's. Empty: only depth 0 is
   * possible.
   */
  drafters: readonly string[];
  /** The one that the request asks for: who drafts where a plan names none, and what `auto` keeps to. */
  drafter?: string;
  temperature: number;
  /** What a step costs on this machine, as far as it is known. */
  costs?: CostTable;
}

/** How busy the engine is. */
export interface Load {
  running: number;
  waiting: number;
}

/**
 * What one step did. The object and its typed arrays are reused for the next step of the same request:
 * copy what you keep. Step 0 is the prompt's report: nothing drafted, nothing emitted.
 */
export interface StepReport {
  /** Number of this step; 0 for the prompt. */
  step: number;
  /** Tokens emitted so far, this step's included. */
  position: number;
  /** Depth that was planned. Limits may have made the draft shorter: see `drafted`. */
  depth: number;
  /** Draft tokens that were made. */
  drafted: number;
  /** Draft tokens that were verified: the first so many of `drafted`, all of them unless the plan trims. */
  verified: number;
  /** Verified tokens that the target agreed with. Where it is less than `verified`, the next one was wrong. */
  accepted: number;
  /** Ids of the draft tokens; length `drafted`. */
  draftTokens: Int32Array;
  /** Ids of the tokens that this step emitted; length 1 to accepted + 1, and those of `branches` accepted. */
  tokens: Int32Array;
  /** Text that this step released: whole characters only, and nothing that may yet be a stop string. */
  text: string;
  /**
   * Per draft token, the drafter's probability of it; length `drafted`. Empty where it gives none. With `acceptance:
   * 'rejection'` these, the margins and the entropies are of its likeliest token, whichever was drawn in its place.
   */
  probabilities: Float32Array;
  /** Per draft token, its probability less the second-best one's; as long as `probabilities`. */
  margins: Float32Array;
  /** Per draft token, the entropy of the drafter's distribution in nats; as long as `probabilities`. */
  entropies: Float32Array;
  /** Per draft token, where it comes from: one of `ORIGIN`; length `drafted`. */
  origins: Uint8Array;
  /**
   * Per draft token of a hybrid drafter's model, the score of an n-gram that proposes the same token, or less its
   * score where it proposes another; 0 where none is known. Of an n-gram's token, its score. Length `drafted`.
   */
  matches: Float32Array;
  /** What was verified beside the draft; missing where nothing was. */
  branches?: Branches;
  /** Time spent drafting, in milliseconds; a first token drafted ahead and not wanted is in it. */
  draftMs: number;
  /** Time of the target's verification, in milliseconds. Step 0: of the prompt. */
  verifyMs: number;
  /** Time to bring the drafter's cache up to the accepted text, in milliseconds. */
  catchUpMs: number;
  /** The step's remaining time, in milliseconds: sampling, roll-back, waiting for the controller. */
  otherMs: number;
  /**
   * Rows of the target's batch that belong to this request: verified + 1, and those of `branches` and of the tokens that
   * the step before accepted there.
   */
  rows: number;
  /** Tokens in the target's cache after the step. */
  contextLength: number;
  /** Name of the drafter that drafted, or '' where none did. */
  drafter: string;
  /** Accepted tokens that the drafter has not read yet. */
  drafterLag: number;
  /** True where the plan for this step came too late and the one before was used. */
  late: boolean;
  load: Load;
}

/**
 * A depth policy. `nextPlan` is called synchronously before every step, the first time with the prompt's
 * report, never after the last step. Keep it free of clocks, I/O and randomness: then the same object gives
 * the same plans live and over a recorded trace. If it throws or answers with something that is no plan,
 * the last plan is used for that step, which is counted; the text is never affected.
 */
export interface DepthController {
  readonly name: string;
  nextPlan(report: StepReport): Plan;
  /** Told of a step after which no plan is asked for, because the last one holds for more `steps`. */
  observe?(report: StepReport): void;
  /** Called once, before the first `nextPlan` of a request. */
  begin?(request: RequestInfo): void;
  /**
   * Why the last plan is what it is. `k`, `acceptance` and `reason` go to the audit log, where `k` stands
   * for the value whose changes are logged; without it the plan's depth is.
   */
  explain?(): Record<string, unknown>;
  snapshot?(): unknown;
  restore?(state: unknown): void;
}

/** A controller, or just its `nextPlan`. */
export type Controller = DepthController | ((report: StepReport) => Plan);
