// What a finished generation gives back: text, tokens, why it ended, and what it took.

import type { NativeResult } from './binding.js';
import type { TokenLogprobs } from './logprobs.js';
import type { ToolCall } from './structured/tools.js';

/** Why a generation ended: 'tool_calls' with calls to answer, 'aborted' only where the caller wanted a result. */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'aborted';

/** Times are in milliseconds, of this request alone unless said otherwise. */
export interface Statistics {
  /** Draft + verify + accept rounds. */
  steps: number;
  draftTokens: number;
  /** Draft tokens that were verified: all of them, unless a plan trims. */
  verifiedTokens: number;
  acceptedTokens: number;
  /** Tokens verified beside drafts, as trees have them, and those of them that were right. */
  branchTokens: number;
  acceptedBranchTokens: number;
  /** acceptedTokens / draftTokens; 0 where nothing was drafted. */
  acceptanceRate: number;
  /** Emitted tokens per step. */
  meanAcceptanceLength: number;
  /** Accepted / verified at the first, second, … place of a draft. */
  acceptancePerPosition: number[];
  /** Tokens of the prompt that a session had read before. */
  reusedPromptTokens: number;
  /** Emitted tokens per second of decode. */
  tokensPerSecond: number;
  /** Prompt tokens per second of reading the prompt; 0 where there was next to none to read. */
  promptTokensPerSecond: number;
  /** From the request's start to its first token, waiting for other requests included. */
  timeToFirstTokenMs: number;
  /** Waiting for other requests. */
  queueMs: number;
  promptMs: number;
  /** The sum of the next four. */
  decodeMs: number;
  draftMs: number;
  verifyMs: number;
  /** Bringing the drafter's cache up to the accepted text. */
  catchUpMs: number;
  /** Sampling, roll-back, and waiting for the controller. */
  otherMs: number;
  controller: {
    name: string;
    /** Plans asked for; 0 where the depth is set natively. */
    calls: number;
    /** Mean time of a call, in microseconds. */
    meanMicroseconds: number;
    /** Crossing to JavaScript and waiting for plans; what was drafted meanwhile is not in it. */
    waitMs: number;
    /** Steps whose plan came too late and took the one before. */
    latePlans: number;
    /** Throws, answers that are no plan, depths that were clamped. */
    errors: number;
    /** First tokens that were drafted while a plan was awaited, and that it had no use for. */
    wastedDrafts: number;
  };
  /** Lines that the audit log lost. */
  auditLinesDropped: number;
}

/** Depth planned, tokens drafted and tokens accepted of one step. */
export interface StepCounts {
  depth: number;
  drafted: number;
  accepted: number;
}

/** A finished generation. */
export interface GenerationResult {
  /** What was generated, without a stop string. */
  text: string;
  /** Ids of all emitted tokens, an end-of-generation token included. */
  tokens: number[];
  finishReason: FinishReason;
  /** The stop string that ended the text. */
  stopString?: string;
  usage: { promptTokens: number; completionTokens: number; totalTokens: number };
  /** What the random numbers started from; the same seed gives the same text, whatever the depth. */
  seed: number;
  stats: Statistics;
  /** The text as a value, where `responseFormat` is JSON and the text came to its end. */
  json?: unknown;
  /** With `tools`: the calls. Where the text was cut short the last one may be too, and then has no `parsed`. */
  toolCalls?: ToolCall[];
  /** With `tools`: what the model says beside its calls. */
  content?: string;
  /** With the option `logprobs`: of each of `tokens`. */
  logprobs?: TokenLogprobs[];
  /** With the option `steps`. */
  steps?: StepCounts[];
}

/** Asks nothing of the controller's numbers but that they are there. */
export interface ControllerFigures {
  name: string;
  calls: number;
  meanMicroseconds: number;
  errors: number;
}

/** The result of a request that was aborted while its prompt was being put into tokens. */
export function unreadResult(seed: number, controller: string): GenerationResult {
  const none = new Int32Array(0);
  const native: NativeResult = {
    reason: 'aborted',
    ...{ errorCode: '', errorMessage: '', errorHint: '', stopString: '' },
    tokens: none,
    ...{ promptTokens: 0, reusedTokens: 0, steps: 0, draftTokens: 0, verifiedTokens: 0, acceptedTokens: 0 },
    ...{ besideTokens: 0, besideAccepted: 0, latePlans: 0, overlappedDrafts: 0, wastedDrafts: 0 },
    verifiedPerPosition: none,
    acceptedPerPosition: none,
    ...{ promptMs: 0, firstTokenMs: 0, decodeMs: 0, draftMs: 0, verifyMs: 0, catchUpMs: 0, otherMs: 0 },
    ...{ waitMs: 0, queueMs: 0 },
  };
  return resultOf(native, '', seed, { name: controller, calls: 0, meanMicroseconds: 0, errors: 0 }, 0);
}

/** Puts a native result into the words of the package. */
export function resultOf(
  native: NativeResult,
  text: string,
  seed: number,
  controller: ControllerFigures,
  auditLinesDropped: number,
): GenerationResult {
  const emitted = native.tokens.length;
  const result: GenerationResult = {
    text,
    tokens: Array.from(native.tokens),
    finishReason: native.reason as FinishReason,
    usage: {
      promptTokens: native.promptTokens,
      completionTokens: emitted,
      totalTokens: native.promptTokens + emitted,
    },
    seed,
    stats: {
      steps: native.steps,
      draftTokens: native.draftTokens,
      verifiedTokens: native.verifiedTokens,
      acceptedTokens: native.acceptedTokens,
      branchTokens: native.besideTokens,
      acceptedBranchTokens: native.besideAccepted,
      acceptanceRate: ratio(native.acceptedTokens, native.draftTokens),
      meanAcceptanceLength: ratio(emitted, native.steps),
      acceptancePerPosition: Array.from(native.verifiedPerPosition, (verified, place) =>
        ratio(native.acceptedPerPosition[place]!, verified),
      ),
      reusedPromptTokens: native.reusedTokens,
      tokensPerSecond: ratio(emitted, native.decodeMs / 1000),
      // The prompt's last token is read by the first step.
      promptTokensPerSecond: ratio(
        Math.max(0, native.promptTokens - 1 - native.reusedTokens),
        native.promptMs / 1000,
      ),
      timeToFirstTokenMs: native.firstTokenMs,
      queueMs: native.queueMs,
      promptMs: native.promptMs,
      decodeMs: native.decodeMs,
      draftMs: native.draftMs,
      verifyMs: native.verifyMs,
      catchUpMs: native.catchUpMs,
      otherMs: native.otherMs,
      controller: {
        ...controller,
        waitMs: native.waitMs,
        latePlans: native.latePlans,
        wastedDrafts: native.wastedDrafts,
      },
      auditLinesDropped,
    },
  };
  if (native.stopString !== '') result.stopString = native.stopString;
  if (native.stepDepth && native.stepDrafted && native.stepAccepted) {
    const { stepDrafted, stepAccepted } = native;
    result.steps = Array.from(native.stepDepth, (depth, i) => ({
      depth,
      drafted: stepDrafted[i]!,
      accepted: stepAccepted[i]!,
    }));
  }
  return result;
}

function ratio(a: number, b: number): number {
  return b > 0 ? a / b : 0;
}
