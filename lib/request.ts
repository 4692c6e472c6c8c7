// One request while it runs: its controller, its text so far, and how its end reaches the caller.

import type { NativeEngine, NativeResult } from './binding.js';
import type { Branches, StepReport } from './control/controller.js';
import type { ControllerDriver } from './control/driver.js';
import { AdaptiveSpecError, type ErrorCode } from './errors.js';
import type { StepExchange } from './exchange.js';
import { ABANDONED, type Generation, type GenerationSource } from './generation.js';
import { logprobsOf, type NativeTokenLogprobs, type TokenLogprobs } from './logprobs.js';
import type { AuditLog } from './observe/audit-log.js';
import type { RequestTrace } from './observe/step-trace.js';
import { type GenerationResult, resultOf } from './result.js';
import type { AnswerDelta, AnswerReader } from './structured/answer-reader.js';
import { PacedReading } from './structured/paced-reading.js';
import { idOfCall, isComplete, toolCall } from './structured/tools.js';

export interface RequestParts {
  id: number;
  promptTokens: number;
  native: NativeEngine;
  generation: Generation;
  controllerName: string;
  /** Missing where the depth is set natively. */
  driver: ControllerDriver | undefined;
  /** Tells the driver of its request. */
  begin: () => void;
  /** Hears every step, before anybody else does; must not keep the report. */
  observe: ((report: StepReport, asked: boolean) => void) | undefined;
  drafters: readonly string[];
  seed: number;
  onAbort: 'throw' | 'return';
  /** Called when somebody waits for what the request writes. */
  onFollow: () => void;
  audit: AuditLog | undefined;
  /** Called when the request is over, however it ended. */
  onOver: (native: NativeResult) => void;
  trace: RequestTrace | undefined;
  wantsLogprobs: boolean;
  /** Puts into a result what its text says. */
  read: (result: GenerationResult) => void;
  /** With tools: what tells words from calls. */
  answer: AnswerReader | undefined;
}

/** Made by the engine when it submits a request, which then tells it of every step and of the end. */
export class RunningRequest implements GenerationSource {
  readonly id: number;
  readonly promptTokens: number;
  readonly #parts: RequestParts;
  readonly #droppedBefore: number;
  #text = '';
  readonly #logprobs: TokenLogprobs[] = [];
  readonly #reading: PacedReading | undefined;
  #abortReason: unknown;
  #failure: unknown;
  /** Whether the step now running began with waiting for a plan. */
  #waited = false;
  #hasBegun = false;
  /** Whether the last plan holds for several steps: the next is asked for early then, and nothing waits for it. */
  #holds = false;

  constructor(parts: RequestParts) {
    this.id = parts.id;
    this.promptTokens = parts.promptTokens;
    this.#parts = parts;
    this.#droppedBefore = parts.audit?.dropped ?? 0;
    this.#reading = parts.answer && new PacedReading(parts.answer, (deltas) => this.#tell(deltas));
  }

  /** Tells the controller of the request, once: at the prompt's report at the latest, whose answer a step waits for. */
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#parts.begin();
  }

  follow(): void {
    this.#parts.onFollow();
  }

  abort(reason: unknown): void {
    this.#abortReason = reason;
    this.#parts.native.abort(this.id);
  }

  /** Takes a step's text and report in. Answers true where the next plan is in the exchange. */
  onStep(
    exchange: StepExchange,
    text: string,
    onReport: ((report: StepReport) => void) | undefined,
    logprobs: readonly NativeTokenLogprobs[] = [],
  ): boolean {
    const { generation, driver, drafters, native, observe, trace } = this.#parts;
    this.#text += text;
    const report = exchange.report(text, drafters);
    observe?.(report, this.#waited);
    const asked = driver !== undefined && exchange.isAsked;
    this.#waited = asked && !this.#holds;
    // Who listens gets a copy made before the controller can lay hands on the report.
    if (onReport || generation.wantsSteps || trace) {
      const copy = copyOf(report);
      trace?.step(copyOf(report), asked);
      onReport?.(copy);
      if (generation.wantsSteps) generation.push({ type: 'step', step: copy });
    }
    if (logprobs.length > 0) {
      const told = logprobsOf(logprobs);
      this.#logprobs.push(...told);
      generation.push({ type: 'logprobs', logprobs: told });
    }
    if (text !== '') {
      generation.push({ type: 'text', text });
      this.#reading?.add(text, generation.wantsSteps);
    }
    if (!driver || exchange.isLast) return false;
    if (report.step === 0) this.begin();
    if (!exchange.isAsked) {
      driver.observe(report);
      if (exchange.isTorn) native.setExchange(exchange.renew());
      return false;
    }
    const plan = driver.answer(report);
    if (exchange.isTorn) native.setExchange(exchange.renew());
    exchange.plan(plan);
    this.#holds = plan.steps > 1;
    if (driver.failure && this.#failure === undefined) {
      this.#failure = driver.failure;
      native.abort(this.id);
    }
    return true;
  }

  #tell(deltas: readonly AnswerDelta[]): void {
    const { generation } = this.#parts;
    for (const { call: index, id, name, text } of deltas) {
      if (index === undefined) generation.push({ type: 'content', text });
      else {
        if (name !== undefined) generation.push({ type: 'call', index, id: idOfCall(id ?? '', index), name });
        if (text !== '') generation.push({ type: 'arguments', index, text });
      }
    }
  }

  /** Puts into a result what its text says and calls. */
  #readAnswer(result: GenerationResult): void {
    if (!this.#reading) return;
    const isWhole = result.finishReason === 'stop';
    const { content, calls } = this.#reading.end(isWhole);
    result.content = content;
    result.toolCalls = calls.map(toolCall);
    if (isWhole && calls.length > 0 && result.toolCalls.every(isComplete)) result.finishReason = 'tool_calls';
  }

  /** Settles the generation. Answers the result, where there is one. */
  onEnd(native: NativeResult, engineClosed: boolean): GenerationResult | undefined {
    const { generation, driver, controllerName, seed, onAbort, audit, onOver, trace } = this.#parts;
    onOver(native);
    const abandoned =
      this.#abortReason === ABANDONED || (this.#abortReason !== undefined && onAbort === 'return');
    if (this.#failure !== undefined) {
      generation.fail(this.#failure);
    } else if (native.reason === 'error') {
      generation.fail(
        new AdaptiveSpecError(native.errorCode as ErrorCode, native.errorMessage, native.errorHint),
      );
    } else if (native.reason === 'aborted' && !abandoned) {
      generation.fail(engineClosed || this.#abortReason === undefined ? closedError() : this.#abortReason);
    } else {
      const figures = {
        name: controllerName,
        calls: driver?.calls ?? 0,
        meanMicroseconds: driver?.meanMicroseconds ?? 0,
        errors: driver?.errors ?? 0,
      };
      const dropped = (audit?.dropped ?? 0) - this.#droppedBefore;
      const result = resultOf(native, this.#text, seed, figures, dropped);
      if (this.#parts.wantsLogprobs) result.logprobs = this.#logprobs;
      this.#parts.read(result);
      this.#readAnswer(result);
      // Who has the result may read the trace.
      if (trace) {
        const { tokens, finishReason } = result;
        trace.end({ tokens: tokens.length, finishReason }).then(() => generation.finish(result));
      } else generation.finish(result);
      return result;
    }
    this.#reading?.stop();
    trace?.end();
    return undefined;
  }
}

/** The error of a request that its engine's end cut off. */
export function closedError(): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'DISPOSED',
    'The engine is closed',
    'Make another with createEngine(); close it when no generation is needed any more.',
  );
}

function copyOf(report: StepReport): StepReport {
  return {
    ...report,
    tokens: report.tokens.slice(),
    draftTokens: report.draftTokens.slice(),
    probabilities: report.probabilities.slice(),
    margins: report.margins.slice(),
    entropies: report.entropies.slice(),
    origins: report.origins.slice(),
    matches: report.matches.slice(),
    load: { ...report.load },
    ...(report.branches ? { branches: copyOfBranches(report.branches) } : {}),
  };
}

function copyOfBranches({ tokens, parents, probabilities, accepted }: Branches): Branches {
  return {
    tokens: tokens.slice(),
    parents: parents.slice(),
    probabilities: probabilities.slice(),
    accepted,
  };
}
