// Runs a controller over an exhaustive trace: the same plans as live, and the time of each step by a cost model.

import { type Controller, MAX_DEPTH } from '../control/controller.js';
import { type CostModel, isPlain } from '../control/costs.js';
import { ControllerDriver } from '../control/driver.js';
import { nativeDepthOf } from '../control/fixed-depth.js';
import { HeldPlan } from '../control/held-plan.js';
import { type NativePlan, nativePlan } from '../control/native-plan.js';
import { draftedBy, isFreeOrigin, trimmedTo } from '../control/stop-rule.js';
import { emittedAt, type ReplayGeneration, roomAt } from './generation.js';
import { ReportBuffer } from './report-buffer.js';

export interface ReplayOptions {
  /** Sequences that run at the same time, for a controller's eyes: the cost model has their price. Default 1. */
  sequences?: number;
  /** Told of every step; the object is reused. */
  onStep?: (step: Readonly<ReplayStep>) => void;
}

/** One replayed step. */
export interface ReplayStep {
  /** Output position that it started from. */
  position: number;
  depth: number;
  /** Draft tokens in the draft, of those computed, and verified. */
  drafted: number;
  computed: number;
  verified: number;
  accepted: number;
  emitted: number;
  asked: boolean;
  draftMs: number;
  catchUpMs: number;
  /** v(rows, contextLength), and what another number of rows than before costs. */
  verifyMs: number;
  otherMs: number;
}

/**
 * Sums over the steps of a replay, up to the generation's `end`. A step that straddles it counts by the share of its
 * tokens before, as in a benchmark's figures. Times are in milliseconds.
 */
export interface ReplaySums {
  tokens: number;
  ms: number;
  steps: number;
  /** Sum of planned depths. */
  depth: number;
  drafted: number;
  computed: number;
  verified: number;
  accepted: number;
  plansAsked: number;
  /** Throws, answers that are no plan, depths that were clamped. */
  controllerErrors: number;
}

/**
 * Replays one generation. A controller made by `fixedDepth` or `off` isn't asked, like live, and pays no callback.
 * Everything else goes by the engine's rules: step 0 is the prompt's report, the last plan holds where an answer is
 * no plan, the first draft token is made while the plan is awaited, no plan is asked for after the last step.
 */
export function replay(
  generation: ReplayGeneration,
  controller: Controller,
  costs: CostModel,
  options: ReplayOptions = {},
): ReplaySums {
  return new Replay(generation, controller, costs, options).run();
}

class Replay {
  readonly #generation: ReplayGeneration;
  readonly #costs: CostModel;
  readonly #onStep: ReplayOptions['onStep'];
  readonly #buffer: ReportBuffer;
  readonly #driver: ControllerDriver | undefined;
  #plan: Readonly<NativePlan>;
  readonly #held = new HeldPlan<Readonly<NativePlan>>();
  #rowsBefore = 0;
  /** Whether the step before was one of plain decoding. */
  #isPlain = false;
  /** Accepted tokens that the drafter has not read; at first the prompt, which it reads with its first draft. */
  #lag: number;
  /** The same as reports have it, which are made before wrong draft tokens are taken back. */
  #reportedLag = 0;
  /** Share of the step that counts. */
  #share = 1;
  readonly #step: ReplayStep = {
    position: 0,
    depth: 0,
    drafted: 0,
    computed: 0,
    verified: 0,
    accepted: 0,
    emitted: 0,
    asked: false,
    draftMs: 0,
    catchUpMs: 0,
    verifyMs: 0,
    otherMs: 0,
  };
  readonly #sums: ReplaySums = {
    tokens: 0,
    ms: 0,
    steps: 0,
    depth: 0,
    drafted: 0,
    computed: 0,
    verified: 0,
    accepted: 0,
    plansAsked: 0,
    controllerErrors: 0,
  };

  constructor(
    generation: ReplayGeneration,
    controller: Controller,
    costs: CostModel,
    { sequences = 1, onStep }: ReplayOptions,
  ) {
    this.#generation = generation;
    this.#costs = costs;
    this.#onStep = onStep;
    this.#lag = generation.promptTokens;
    this.#buffer = new ReportBuffer(generation, sequences);
    const nativeDepth = nativeDepthOf(controller);
    this.#plan = nativePlan(Math.min(nativeDepth ?? 0, generation.width));
    if (nativeDepth !== undefined) return;
    const maxDepth = Math.min(generation.width, MAX_DEPTH);
    const drafters = generation.width > 0 ? [generation.drafter] : [];
    this.#driver = new ControllerDriver(controller, {
      maxDepth,
      drafters,
      firstPlan: nativePlan(0),
      onWarning: () => {},
    });
    const { promptTokens, promptText, maxTokens, temperature } = generation;
    this.#driver.begin({
      promptTokens,
      promptText,
      maxTokens,
      maxDepth,
      drafters,
      temperature,
      costs: costs.table,
    });
  }

  run(): ReplaySums {
    const { end } = this.#generation;
    let position = 0;
    if (this.#driver !== undefined && end > 0) this.#buffer.prompt();
    while (position < end) {
      this.#step.position = position;
      const ahead = this.#nextPlan();
      this.#draft(ahead);
      this.#verify();
      this.#book();
      position += this.#step.emitted;
      if (this.#driver !== undefined && position < end) {
        this.#buffer.step(this.#step, this.#sums.steps, this.#reportedLag);
      }
    }
    this.#sums.controllerErrors = this.#driver?.errors ?? 0;
    return this.#sums;
  }

  /** Takes the plan for this step. Answers the draft tokens made while it was awaited: 0 or 1. */
  #nextPlan(): number {
    const step = this.#step;
    step.asked = false;
    if (this.#driver === undefined) return 0;
    step.asked = this.#held.isDue;
    const ahead = this.#held.isOver && this.#worthStarting() ? 1 : 0;
    let answer: Readonly<NativePlan> | undefined;
    if (step.asked) {
      // The driver's one object is the last plan's, which may still hold.
      this.#plan = { ...this.#plan };
      answer = this.#driver.answer(this.#buffer.report);
    } else this.#driver.observe(this.#buffer.report);
    this.#plan = this.#held.next(answer) ?? this.#plan;
    return ahead;
  }

  /** Whether the last plan would draft here, if the answer were the same again. */
  #worthStarting(): boolean {
    const { counts, hasSignals } = this.#generation;
    const { position } = this.#step;
    const depth = this.#depth();
    if (depth === 0 || counts[position] === 0) return false;
    return !hasSignals || draftedBy(this.#plan, this.#signals(1), depth).computed > 0;
  }

  /** The plan's depth, within what the output has room for. */
  #depth(): number {
    const { maxTokens } = this.#generation;
    return Math.max(0, Math.min(this.#plan.depth, maxTokens - this.#step.position - 1));
  }

  #signals(places: number) {
    const { width, probabilities, margins, entropies, matches, origins } = this.#generation;
    const start = this.#step.position * width;
    return {
      probabilities: probabilities.subarray(start, start + places),
      margins: margins.subarray(start, start + places),
      entropies: entropies.subarray(start, start + places),
      matches: matches.subarray(start, start + places),
      origins: origins.subarray(start, start + places),
    };
  }

  #draft(ahead: number): void {
    const { counts, draftMs, drafter, hasSignals, width } = this.#generation;
    const step = this.#step;
    const { position } = step;
    const depth = this.#depth();
    const available = roomAt(this.#generation, position);
    const most = Math.min(depth, available);
    step.depth = this.#plan.depth;
    const { drafted, computed, wantsMore } =
      hasSignals && depth > 0
        ? draftedBy(this.#plan, this.#signals(available), depth)
        : { drafted: most, computed: most, wantsMore: most < depth };
    step.drafted = drafted;
    step.computed = Math.max(computed, ahead);
    // The drafter itself ended here, at a token that the target's vocabulary or its own lacks: it was computed.
    const ended = wantsMore && available === counts[position] && available < width;
    if (ended && drafter !== 'ngram' && (available > 0 || draftMs[position]! > 0)) step.computed++;
    const { verify, trim } = this.#plan;
    step.verified = Math.min(drafted, verify);
    if (trim && hasSignals) {
      step.verified = trimmedTo(this.#plan, this.#signals(step.verified), step.verified, this.#rowsBefore);
    }
  }

  #verify(): void {
    const step = this.#step;
    step.accepted = Math.min(step.verified, this.#generation.right[step.position]!);
    const { emitted, share } = emittedAt(this.#generation, step.position, step.accepted);
    step.emitted = emitted;
    this.#share = share;
  }

  /** What the step costs, and what it leaves behind. */
  #book(): void {
    const step = this.#step;
    const { draftMs, catchUpMs } = this.#draftTime();
    const { overheadMs, callbackMs, rebuildMs } = this.#costs.table;
    const rows = step.verified + 1;
    step.draftMs = draftMs;
    step.catchUpMs = catchUpMs;
    const asked = step.computed > 0;
    const isMixed = !this.#isPlain || asked;
    this.#isPlain = isPlain(rows, asked);
    const contextLength = this.#generation.contextLength[step.position]!;
    step.verifyMs = this.#costs.stepMs(rows, contextLength, isMixed, asked);
    if (rows !== this.#rowsBefore) step.verifyMs += rebuildMs;
    step.otherMs = overheadMs + (step.asked ? callbackMs : 0);
    this.#rowsBefore = rows;
    this.#reportedLag =
      step.computed === 0 ? this.#lag + step.emitted : Math.max(0, step.accepted + 1 - this.#read());
    this.#lag = Math.max(1, this.#reportedLag);

    const sums = this.#sums;
    const share = this.#share;
    sums.tokens += Math.min(step.emitted, this.#generation.end - step.position);
    sums.ms += share * (step.draftMs + step.catchUpMs + step.verifyMs + step.otherMs);
    sums.steps += share;
    sums.depth += share * step.depth;
    sums.drafted += share * step.drafted;
    sums.computed += share * step.computed;
    sums.verified += share * step.verified;
    sums.accepted += share * step.accepted;
    sums.plansAsked += step.asked ? share : 0;
    this.#onStep?.(step);
  }

  /** Draft tokens that the model has read: all before the last that it made itself. Those stay that were accepted. */
  #read(): number {
    const { origins, width } = this.#generation;
    const { position, computed, drafted } = this.#step;
    let made = 0;
    for (let place = 0; place < drafted; place++) {
      if (!isFreeOrigin(origins[position * width + place]) && ++made === computed) return place;
    }
    return drafted;
  }

  #draftTime(): { draftMs: number; catchUpMs: number } {
    const { position, computed } = this.#step;
    if (computed === 0) return { draftMs: 0, catchUpMs: 0 };
    const perToken = draftMsAt(this.#generation, position, this.#costs);
    const startMs = this.#costs.table.draft.startMs ?? 0;
    return {
      draftMs: startMs + computed * perToken,
      catchUpMs: this.#costs.catchUpMs(this.#lag, perToken),
    };
  }
}

/** Time of a draft token: the cost table's, or as recorded where the table has none. */
export function draftMsAt(generation: ReplayGeneration, position: number, costs: CostModel): number {
  const { msPerToken } = costs.table.draft;
  if (msPerToken > 0) return msPerToken;
  return generation.draftMs[position]! / Math.max(1, generation.counts[position]!);
}
