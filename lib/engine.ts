// An engine: a loaded pair of models with its thread, and the requests that run on it.

import { EventEmitter } from 'node:events';
import {
  EVENT,
  loadBinding,
  type NativeEngine,
  type NativeFault,
  type NativeLoaded,
  type NativeResult,
} from './binding.js';
import type { Controller, StepReport } from './control/controller.js';
import { resolveController } from './control/controllers.js';
import { ControllerDriver } from './control/driver.js';
import { nativeDepthOf } from './control/fixed-depth.js';
import { nativePlan } from './control/native-plan.js';
import { deferred } from './deferred.js';
import { AdaptiveSpecError, type ErrorCode } from './errors.js';
import { StepExchange } from './exchange.js';
import { Generation } from './generation.js';
import { type ModelPair, openPair } from './models/pair.js';
import { type AuditLog, openAuditLog } from './observe/audit-log.js';
import {
  type CheckedEngineOptions,
  type CheckedRequest,
  checkEngineOptions,
  checkRequestOptions,
  type EngineOptions,
  type Message,
  type RequestOptions,
  threadLimit,
  type Warning,
} from './options.js';
import { closedError, RunningRequest } from './request.js';
import type { GenerationResult } from './result.js';

/** What an engine runs. */
export interface EngineInfo {
  /** Files of the target and of the draft model; `draft` is missing where there is none. */
  model: string;
  draft?: string;
  /** The target in llama.cpp's words, such as 'llama 135M Q4_1'. */
  description: string;
  parameters: number;
  /** Bytes of the target's weights. */
  modelBytes: number;
  vocabularySize: number;
  /** Tokens of prompt and output together, per request. */
  contextSize: number;
  /** Tokens that the target was trained for. */
  trainedContext: number;
  threads: number;
  draftThreads: number;
  /** What computes the matrix products: 'amx', 'avx512' and 'avx2' are ours. */
  kernels: string;
  parallel: number;
  maxDepth: number;
  /** Names that a plan may use; empty where nothing can be drafted. */
  drafters: readonly string[];
  hasChatTemplate: boolean;
  /** 'native' is an addon built on this machine, 'portable' a prebuilt one. */
  variant: 'native' | 'portable';
  loadMs: number;
}

/** What `Engine.on` tells of, and with what. */
export interface EngineEvents {
  warning: [warning: Warning];
  /** After every step of every request. The report is a copy. */
  step: [report: StepReport, requestId: number];
  finish: [result: GenerationResult, requestId: number];
  close: [];
}

/** How `Engine.measure` measures. */
export interface MeasureOptions {
  /** Tokens in the KV cache before. Default 0. */
  contextLength?: number;
  /** How often. Default 1. */
  repeats?: number;
  /** Whether all rows' logits are computed, as verifying does, or the last row's alone. Default 'all'. */
  logits?: 'all' | 'last';
}

/** How text becomes tokens. */
export interface TokenizeOptions {
  /** Add what the model wants at the start, such as a BOS token. Default true. */
  addSpecial?: boolean;
  /** Take the names of special tokens in the text for those tokens. Default true. */
  parseSpecial?: boolean;
}

/**
 * Loads a pair of models. Without options: the default pair, which is downloaded if it isn't there.
 * Throws INVALID_ARGUMENT, MODEL_NOT_FOUND, MODEL_INVALID, DOWNLOAD_FAILED, VOCAB_MISMATCH, OUT_OF_MEMORY, UNSUPPORTED,
 * NATIVE_MISSING, CPU_UNSUPPORTED or AUDIT_FAILED.
 */
export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const checked = checkEngineOptions(options);
  const binding = loadBinding();
  const pair = await openPair(checked);
  return Engine.load(binding.NativeEngine, binding.variant, checked, pair);
}

/** A loaded pair of models. Made by `createEngine`; close it, or declare it with `await using`. */
export class Engine implements AsyncDisposable {
  readonly #native: NativeEngine;
  readonly #exchange: StepExchange;
  readonly #options: CheckedEngineOptions;
  readonly #audit: AuditLog | undefined;
  readonly #emitter = new EventEmitter();
  readonly #requests = new Map<number, RunningRequest>();
  readonly #loaded = deferred<NativeLoaded>();
  readonly #closed = deferred<void>();
  readonly #measurements = new Map<number, ReturnType<typeof deferred<number[]>>>();
  #isClosing = false;
  #nextId = 1;
  #info!: EngineInfo;

  /** @internal */
  static async load(
    NativeEngine: ReturnType<typeof loadBinding>['NativeEngine'],
    variant: EngineInfo['variant'],
    options: CheckedEngineOptions,
    pair: ModelPair,
  ): Promise<Engine> {
    const engine = new Engine(NativeEngine, options, pair);
    const loaded = await engine.#loaded.promise;
    engine.#info = {
      model: pair.target.path,
      ...(pair.draft ? { draft: pair.draft.path } : {}),
      description: loaded.description,
      parameters: loaded.parameters,
      modelBytes: loaded.modelBytes,
      vocabularySize: loaded.vocabSize,
      contextSize: loaded.contextSize,
      trainedContext: loaded.trainedContext,
      threads: loaded.threads,
      draftThreads: loaded.draftThreads,
      kernels: loaded.kernels,
      parallel: options.parallel,
      maxDepth: pair.maxDepth,
      drafters: loaded.drafters,
      hasChatTemplate: loaded.hasChatTemplate,
      variant,
      loadMs: loaded.loadMs,
    };
    return engine;
  }

  private constructor(
    NativeEngine: ReturnType<typeof loadBinding>['NativeEngine'],
    options: CheckedEngineOptions,
    pair: ModelPair,
  ) {
    this.#options = options;
    this.#audit = openAuditLog({ ...options.audit, onWarning: (warning) => this.#warn(warning) });
    this.#exchange = new StepExchange(pair.maxDepth);
    const threads = Math.min(options.threads ?? threadLimit(), threadLimit());
    this.#native = new NativeEngine(
      {
        modelPath: pair.target.path,
        draftPath: pair.draft?.path ?? '',
        contextSize: pair.contextSize,
        parallel: options.parallel,
        maxDepth: pair.maxDepth,
        batchSize: Math.min(options.batchSize, pair.contextSize),
        threads,
        draftThreads: Math.min(options.draftThreads ?? 0, threadLimit()),
        mmap: options.mmap,
        mlock: options.mlock,
        kvCacheType: options.kvCacheType,
        flashAttention: { auto: -1, off: 0, on: 1 }[options.flashAttention] as -1 | 0 | 1,
        kernels: options.kernels,
        numa: options.numa === 'none' ? '' : options.numa,
        planDeadlineMs: options.planDeadlineMs,
      },
      this.#exchange.arrays,
      (kind, requestId, value) => this.#dispatch(kind, requestId, value),
    );
  }

  get info(): EngineInfo {
    return this.#info;
  }

  /** Requests that were started and have not ended. */
  get pending(): number {
    return this.#requests.size;
  }

  /** Adds a listener; answers a function that takes it off again. */
  on<Name extends keyof EngineEvents>(
    event: Name,
    listener: (...values: EngineEvents[Name]) => void,
  ): () => void {
    this.#emitter.on(event, listener as (...values: unknown[]) => void);
    return () => this.#emitter.off(event, listener as (...values: unknown[]) => void);
  }

  /**
   * Starts a generation. Whatever is wrong rejects it: INVALID_ARGUMENT, CONTEXT_OVERFLOW, UNSUPPORTED (messages for
   * a model without chat template), DISPOSED, or the signal's reason.
   */
  generate(options: RequestOptions): Generation {
    const generation = new Generation();
    try {
      this.start(checkRequestOptions(options), generation);
    } catch (error) {
      generation.fail(error);
    }
    return generation;
  }

  /** Starts a checked request. Throws what is wrong with it for this engine. @internal */
  start(request: CheckedRequest, generation: Generation): void {
    this.#mustBeOpen();
    const { signal } = request;
    if (signal?.aborted && request.onAbort === 'throw') throw signal.reason;
    const controller = resolveController(request.controller as Controller | string | undefined, {
      depth: request.depth,
    });
    const nativeDepth = this.#nativeDepth(controller);
    const { tokens, words } = this.#promptOf(request);
    const seed = request.seed ?? Math.floor(Math.random() * 2 ** 32);
    const id = this.#nextId++;
    const drafters = this.#info.drafters;
    // Now, because by its first step the engine may be closing, and its vocabulary gone.
    const promptText = words ?? (nativeDepth === undefined ? this.#native.detokenize(tokens) : '');
    const driver =
      nativeDepth === undefined
        ? new ControllerDriver(controller, {
            maxDepth: this.#info.maxDepth,
            drafters,
            firstPlan: nativePlan(0),
            onWarning: request.onWarning ?? ((warning) => this.#warn(warning)),
            audit: this.#audit,
          })
        : undefined;
    const running = new RunningRequest({
      id,
      native: this.#native,
      generation,
      controllerName: nameOf(controller),
      driver,
      begin: () =>
        driver?.begin({
          promptTokens: tokens.length,
          promptText,
          maxTokens: request.maxTokens,
          maxDepth: this.#info.maxDepth,
          drafters,
          temperature: request.temperature,
        }),
      drafters,
      seed,
      onAbort: request.onAbort,
      audit: this.#audit,
    });
    this.#requests.set(id, running);
    this.#native.submit({
      id,
      prompt: tokens,
      maxTokens: request.maxTokens,
      stop: typeof request.stop === 'string' ? [request.stop] : [...request.stop],
      ignoreEos: request.ignoreEos,
      keepSteps: request.steps,
      asks: driver !== undefined,
      depth: nativeDepth ?? 0,
      drafter: this.#drafterIndex(request.drafter),
      temperature: request.temperature,
      topK: request.topK,
      topP: request.topP,
      minP: request.minP,
      repeatPenalty: request.repeatPenalty,
      frequencyPenalty: request.frequencyPenalty,
      presencePenalty: request.presencePenalty,
      penaltyLastN: request.penaltyLastN,
      seed,
    });
    generation.connect(running);
    if (signal) followSignal(signal, generation);
  }

  /** Token ids of a text, as the target model has them. Throws INVALID_ARGUMENT, CONTEXT_OVERFLOW, DISPOSED. */
  tokenize(text: string, { addSpecial = true, parseSpecial = true }: TokenizeOptions = {}): Int32Array {
    this.#mustBeOpen();
    if (typeof text !== 'string') {
      throw new AdaptiveSpecError('INVALID_ARGUMENT', 'What to tokenize is no string', 'Give a string.');
    }
    // No vocabulary has tokens this long, so the answer is known before the work is done.
    const most = this.#info.contextSize * 512;
    if (text.length > most) {
      throw overflow(`A text of ${text.length} characters`, this.#info.contextSize);
    }
    return guardNative(() => this.#native.tokenize(text, addSpecial === true, parseSpecial === true));
  }

  /** The text of token ids; control tokens have none. Throws INVALID_ARGUMENT, DISPOSED. */
  detokenize(tokens: Int32Array | readonly number[]): string {
    this.#mustBeOpen();
    const ids = this.#tokenIds(tokens);
    return guardNative(() => this.#native.detokenize(ids));
  }

  /** A conversation in the words of the model's own chat template. Throws UNSUPPORTED where it has none. */
  applyChatTemplate(messages: readonly Message[]): string {
    this.#mustBeOpen();
    if (!this.#info.hasChatTemplate) {
      throw new AdaptiveSpecError(
        'UNSUPPORTED',
        `${this.#info.model} has no chat template`,
        "Give a prompt instead of messages, or use an 'Instruct' model.",
      );
    }
    return guardNative(() =>
      this.#native.applyTemplate(messages.map(({ role, content }) => ({ role, content }))),
    );
  }

  /**
   * Milliseconds that `rows` rows take in one pass through the target after `contextLength` tokens: `repeats` times, once
   * no request is running. Throws INVALID_ARGUMENT, DISPOSED.
   */
  measure(
    rows: number,
    { contextLength = 0, repeats = 1, logits = 'all' }: MeasureOptions = {},
  ): Promise<number[]> {
    this.#mustBeOpen();
    const { contextSize, maxDepth, parallel } = this.#info;
    // What the context was made for: its rows, its rows with logits, and the positions of one sequence.
    const withLogits = parallel * (maxDepth + 1);
    const most = Math.min(logits === 'last' ? this.#options.batchSize : withLogits, contextSize);
    mustBeWhole('rows', rows, 1, most);
    mustBeWhole('contextLength', contextLength, 0, contextSize - rows);
    mustBeWhole('repeats', repeats, 1, 10_000);
    if (logits !== 'all' && logits !== 'last') {
      throw new AdaptiveSpecError('INVALID_ARGUMENT', `logits is ${String(logits)}`, "Give 'all' or 'last'.");
    }
    const id = this.#nextId++;
    const measurement = deferred<number[]>();
    this.#measurements.set(id, measurement);
    this.#native.measure(id, rows, contextLength, repeats, logits === 'all');
    return measurement.promise;
  }

  /** Ends running requests with DISPOSED and frees the models. Resolves when they are freed. */
  close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#native.close();
    }
    return this.#closed.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #dispatch(kind: number, requestId: number, value: unknown): boolean {
    switch (kind) {
      case EVENT.step: {
        const listening = this.#emitter.listenerCount('step') > 0;
        return (
          this.#requests
            .get(requestId)
            ?.onStep(
              this.#exchange,
              value as string,
              listening ? (report) => this.#emit('step', report, requestId) : undefined,
            ) ?? false
        );
      }
      case EVENT.end: {
        const request = this.#requests.get(requestId);
        this.#requests.delete(requestId);
        const result = request?.onEnd(value as NativeResult, this.#isClosing);
        if (result) this.#emit('finish', result, requestId);
        break;
      }
      case EVENT.progress:
        this.#guarded(() =>
          this.#options.onProgress?.({ phase: 'load', name: 'model', done: value as number, total: 1 }),
        );
        break;
      case EVENT.warning:
        this.#warn(value as Warning);
        break;
      case EVENT.measured: {
        const ms = value as number[];
        if (ms.length > 0) this.#measurements.get(requestId)?.resolve(ms);
        else this.#measurements.get(requestId)?.reject(closedError());
        this.#measurements.delete(requestId);
        break;
      }
      case EVENT.loaded:
        this.#loaded.resolve(value as NativeLoaded);
        break;
      case EVENT.loadFailed: {
        const { code, message, hint } = value as NativeFault;
        this.#loaded.reject(new AdaptiveSpecError(code as ErrorCode, message, hint));
        break;
      }
      case EVENT.closed:
        this.#isClosing = true;
        this.#guarded(() => this.#audit?.close());
        for (const measurement of this.#measurements.values()) measurement.reject(closedError());
        this.#measurements.clear();
        this.#closed.resolve();
        this.#emit('close');
        break;
    }
    return false;
  }

  /** The depth that the engine can run without asking; undefined where the controller must be asked. */
  #nativeDepth(controller: Controller): number | undefined {
    const depth = nativeDepthOf(controller);
    if (depth === undefined) return undefined;
    if (depth > this.#info.maxDepth) {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        `A depth of ${depth} is more than this engine's ${this.#info.maxDepth}`,
        'Give createEngine() a larger maxDepth.',
      );
    }
    return depth;
  }

  /** Where a plan that names no drafter goes: an index into the engine's. */
  #drafterIndex(name: string | undefined): number {
    if (name === undefined) return 0;
    const { drafters } = this.#info;
    const index = drafters.indexOf(name);
    if (index >= 0) return index;
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `This engine has no drafter named ${JSON.stringify(name.slice(0, 80))}`,
      drafters.length > 0 ? `It has: ${drafters.join(', ')}.` : 'Its target runs without speculation.',
    );
  }

  #promptOf(request: CheckedRequest): { tokens: Int32Array; words?: string } {
    const { contextSize } = this.#info;
    const words = request.messages ? this.applyChatTemplate(request.messages) : request.prompt!;
    const tokens = typeof words === 'string' ? this.tokenize(words) : this.#tokenIds(words);
    if (tokens.length === 0) {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        'The prompt has no tokens',
        'Give a prompt with at least one character.',
      );
    }
    if (tokens.length > contextSize) throw overflow(`A prompt of ${tokens.length} tokens`, contextSize);
    return typeof words === 'string' ? { tokens, words } : { tokens };
  }

  /** A copy, checked: an id outside of the vocabulary would end the process. */
  #tokenIds(tokens: Int32Array | readonly number[]): Int32Array {
    const { contextSize, vocabularySize } = this.#info;
    // Before the copy: a sparse array may claim any length.
    if (tokens.length > contextSize) throw overflow(`${tokens.length} tokens`, contextSize);
    const ids = Array.from<unknown>(tokens);
    const wrong = ids.findIndex(
      (id) => !Number.isInteger(id) || (id as number) < 0 || (id as number) >= vocabularySize,
    );
    if (wrong >= 0) {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        `Token ${wrong} is no id of this model`,
        `Give whole numbers from 0 to ${vocabularySize - 1}.`,
      );
    }
    return Int32Array.from(ids as number[]);
  }

  #mustBeOpen(): void {
    if (this.#isClosing) throw closedError();
  }

  #warn(warning: Warning): void {
    const { code, message } = warning;
    if (this.#options.onWarning) this.#guarded(() => this.#options.onWarning?.({ code, message }));
    else if (this.#emitter.listenerCount('warning') === 0) {
      process.emitWarning(message, { type: 'AdaptiveSpecWarning', code });
    }
    this.#emit('warning', { code, message });
  }

  #emit<Name extends keyof EngineEvents>(event: Name, ...values: EngineEvents[Name]): void {
    this.#guarded(() => this.#emitter.emit(event, ...values));
  }

  /** What a caller's function throws is the caller's uncaught exception; it must not cost a step its report. */
  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/** Stops the generation when the signal says so. */
function followSignal(signal: AbortSignal, generation: Generation): void {
  const stop = () => generation.stop(signal.reason);
  if (signal.aborted) {
    stop();
    return;
  }
  signal.addEventListener('abort', stop, { once: true });
  const forget = () => signal.removeEventListener('abort', stop);
  generation.then(forget, forget);
}

function nameOf(controller: Controller): string {
  try {
    if (typeof controller.name === 'string' && controller.name !== '') return controller.name.slice(0, 80);
  } catch {
    // A hostile getter: no name then.
  }
  return 'custom';
}

function overflow(what: string, contextSize: number): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'CONTEXT_OVERFLOW',
    `${what} does not fit into a context of ${contextSize}`,
    'Shorten it, or give a larger contextSize.',
  );
}

/** Runs a native call. Our errors carry code and hint; an exception of llama.cpp's own gets them here. */
function guardNative<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    const {
      code = 'NATIVE_FAILURE',
      message,
      hint = 'Run `adaptive-spec doctor`; the engine stays usable.',
    } = error as Partial<NativeFault>;
    throw new AdaptiveSpecError(code as ErrorCode, String(message), hint, { cause: error });
  }
}

function mustBeWhole(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `${name} is ${String(value)}`,
    `Give a whole number from ${min} to ${max}.`,
  );
}
