// The contract between the speculation loop and a policy that chooses the depth K.

/** Largest depth that any engine accepts, in tokens. */
export const MAX_DEPTH = 64;

/** When the drafter stops before the planned depth; runs natively, per draft token. */
export interface StopRule {
  /** Stop before a token whose probability, by the drafter, is below this (0 to 1). */
  minProbability?: number;
}

/** What to do in the next step: a depth, or a depth with details. Depth 0 is plain decoding. */
export type Plan = number | { depth: number; stop?: StopRule; drafter?: string };

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
  /** Names of the drafters that a plan may name. Empty: only depth 0 is possible. */
  drafters: readonly string[];
  temperature: number;
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
  /** Draft tokens that were verified. */
  drafted: number;
  /** Draft tokens that the target agreed with. */
  accepted: number;
  /** Ids of the tokens that this step emitted; length 1 to accepted + 1. */
  tokens: Int32Array;
  /** Text that this step released: whole characters only, and nothing that may yet be a stop string. */
  text: string;
  /** Per draft token, the drafter's probability of it; length `drafted`. Empty where it gives none. */
  probabilities: Float32Array;
  /** Per draft token, its probability less the second-best one's; length `drafted`. */
  margins: Float32Array;
  /** Per draft token, the entropy of the drafter's distribution in nats; length `drafted`. */
  entropies: Float32Array;
  /** Time spent drafting, in milliseconds; a first token drafted ahead and not wanted is in it. */
  draftMs: number;
  /** Time of the target's verification, in milliseconds. Step 0: of the prompt. */
  verifyMs: number;
  /** Time to bring the drafter's cache up to the accepted text, in milliseconds. */
  catchUpMs: number;
  /** The step's remaining time, in milliseconds: sampling, roll-back, waiting for the controller. */
  otherMs: number;
  /** Rows of the target's batch that belong to this request: drafted + 1. */
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
