// An engine: a loaded pair of models with its thread, and the requests that run on it.

import { EventEmitter } from 'node:events';
import { resolve } from 'node:path';
import {
  bindingPath,
  type EngineBinding,
  EVENT,
  loadBinding,
  MEASURE,
  type NativeEngine,
  type NativeFault,
  type NativeLoaded,
  type NativeResult,
  type NativeSessionState,
  type NativeTurn,
} from './binding.js';
import { type CacheFacts, machineFacts } from './calibration/cache-key.js';
import { type CalibrationSubject, calibrate } from './calibration/calibrate.js';
import type { Calibration } from './calibration/calibration.js';
import { EngineCosts } from './calibration/engine-costs.js';
import { fileStamp, modelFingerprint, weightsFingerprint } from './calibration/fingerprint.js';
import type { StepSample } from './calibration/step-samples.js';
import type { Controller, RequestInfo, StepReport } from './control/controller.js';
import { ControllerPool } from './control/controller-pool.js';
import type { CostTable } from './control/costs.js';
import { drafterIndex } from './control/drafter-names.js';
import { ControllerDriver, type MadePlan } from './control/driver.js';
import { fixedDepth, nativeDepthOf } from './control/fixed-depth.js';
import { nativePlan } from './control/native-plan.js';
import { modelTokensOf } from './control/stop-rule.js';
import { ControlNames } from './control-names.js';
import { deferred } from './deferred.js';
import { AdaptiveSpecError, type ErrorCode } from './errors.js';
import { StepExchange } from './exchange.js';
import { ABANDONED, Generation } from './generation.js';
import { guardNative } from './guard-native.js';
import type { NativeTokenLogprobs } from './logprobs.js';
import { type ModelPair, openPair } from './models/pair.js';
import { mustBeStorable, nativeStore } from './ngram-store.js';
import { type AuditLog, openAuditLog } from './observe/audit-log.js';
import { traceGeneration } from './observe/generate-channel.js';
import { RequestTrace, StepTraceFile } from './observe/step-trace.js';
import type { TraceGeneration } from './observe/trace-format.js';
import { traceHeader } from './observe/trace-header.js';
import {
  type CalibrateOptions,
  type CheckedEngineOptions,
  type CheckedRequest,
  checkCalibrateOptions,
  checkEngineOptions,
  checkRequestOptions,
  checkSessionOptions,
  DEFAULT_BRANCHES,
  type EngineOptions,
  type Message,
  type RequestOptions,
  type SessionOptions,
  threadLimit,
  type Warning,
} from './options.js';
import { PrefixCache } from './prefix-cache.js';
import { closedError, RunningRequest } from './request.js';
import { type GenerationResult, unreadResult } from './result.js';
import { type HeldSession, Session, type SessionRequest } from './session.js';
import { readSession, type SessionFacts, sessionFacts, writeSession } from './session-file.js';
import { type Structure, structureOf } from './structured/structure.js';
import { messagesText, type Tool } from './structured/tools.js';
import { WordDesk } from './word-desk.js';
import {
  LONG_TEXT,
  pause,
  slices,
  templated,
  tokensOf,
  type Wording,
  withTools,
  wordNow,
} from './wording.js';

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
  /** Most paths that leave a step's draft for guesses beside it; 0 where drafts are chains. */
  branches: number;
  /** Names that a plan may use; empty where nothing can be drafted. */
  drafters: readonly string[];
  hasChatTemplate: boolean;
  /**
   * What sessions do with what they have read: 'save' reuses it and saves it to files, 'reuse' can't save it (a sliding
   * window), 'none' reads every prompt whole (recurrent models; a sliding window with `parallel` above 1; a trained head).
   */
  sessions: 'save' | 'reuse' | 'none';
  /** 'native' is an addon built on this machine, 'portable' a prebuilt one, 'simulated' that of a test engine. */
  variant: 'native' | 'portable' | 'simulated';
  loadMs: number;
}

/** A prompt that has been read; figures as in `Statistics`. */
export interface ReadPrompt {
  promptTokens: number;
  /** Of them, those that were there from an earlier request, and needed no reading. */
  reusedPromptTokens: number;
  promptMs: number;
}

/** What `Engine.on` tells of, and with what. */
export interface EngineEvents {
  warning: [warning: Warning];
  /** Before a request's first step. */
  prompt: [prompt: ReadPrompt, requestId: number];
  /** After every step of every request. The report is a copy. */
  step: [report: StepReport, requestId: number];
  /** After every plan that a controller was asked for. */
  plan: [plan: MadePlan, requestId: number];
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

/** How a conversation becomes a prompt. */
export interface ChatTemplateOptions {
  /** Functions that the model may call. Default: none. */
  tools?: readonly Tool[];
  /** Whether the prompt ends where the assistant's answer begins. Default true. */
  addGenerationPrompt?: boolean;
  /** As `RequestOptions` have them. */
  continueFinalMessage?: boolean;
  enableThinking?: boolean;
}

/** How the engine starts a request of its own, or of a session. */
interface StartOptions {
  quiet?: boolean;
  session?: HeldSession;
}

/** A request on its way to native code, which lacks its prompt's tokens. */
interface AskedRequest {
  request: CheckedRequest;
  generation: Generation;
  quiet: boolean;
  how: StartOptions;
  /** The controller as it was named or given, and itself. */
  chosen: Controller | string | undefined;
  controller: Controller;
  maxDepth: number;
  nativeDepth: number | undefined;
  drafter: number;
  seed: number;
  id: number;
}

/** What a request's words come to. */
interface Worded {
  structure: Structure;
  tokens: Int32Array;
  /** The prompt as text, where it was one. */
  words?: string;
}

/**
 * Loads a pair of models. Without options: the default pair, which is downloaded if it isn't there.
 * Throws INVALID_ARGUMENT, MODEL_NOT_FOUND, MODEL_INVALID, DOWNLOAD_FAILED, VOCAB_MISMATCH, OUT_OF_MEMORY, UNSUPPORTED,
 * NATIVE_MISSING, CPU_UNSUPPORTED, AUDIT_FAILED, STORE_INVALID or STORE_FAILED.
 */
export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const checked = checkEngineOptions(options);
  mustBeStorable(checked.ngramStore);
  const binding = loadBinding();
  const pair = await openPair(checked);
  return Engine.load(binding, checked, pair);
}

/** A loaded pair of models. Made by `createEngine`; close it, or declare it with `await using`. */
export class Engine implements AsyncDisposable {
  readonly #binding: EngineBinding;
  readonly #native: NativeEngine;
  readonly #exchange: StepExchange;
  readonly #options: CheckedEngineOptions;
  readonly #pair: ModelPair;
  readonly #audit: AuditLog | undefined;
  readonly #emitter = new EventEmitter();
  readonly #requests = new Map<number, RunningRequest>();
  readonly #controllers = new ControllerPool();
  readonly #loaded = deferred<NativeLoaded>();
  readonly #closed = deferred<void>();
  readonly #measurements = new Map<number, ReturnType<typeof deferred<number[]>>>();
  /** Traces that requests named, by their absolute paths. */
  readonly #traces = new Map<string, StepTraceFile>();
  /** Requests of our own, of which listeners hear nothing. */
  readonly #quiet = new Set<number>();
  /** Requests for whose text somebody waits. */
  readonly #followed = new Set<number>();
  #isFollowed = false;
  #costs: EngineCosts | undefined;
  /** Found when messages are first given. */
  #names: ControlNames | undefined;
  #sessionFacts: SessionFacts | undefined;
  /** Made when a request first names a cache. */
  #prefixes: PrefixCache | undefined;
  readonly #desk: WordDesk;
  /** Requests whose prompts are being put into tokens. */
  #wording = 0;
  #isClosing = false;
  #nextId = 1;
  #info!: EngineInfo;

  /** `made` is the engine, where it is of a class of its own. @internal */
  static async load(
    binding: EngineBinding,
    options: CheckedEngineOptions,
    pair: ModelPair,
    made?: Engine,
  ): Promise<Engine> {
    const engine = made ?? new Engine(binding, options, pair);
    // Now, while the native thread loads.
    const files = options.calibrate === 'off' ? undefined : fileFacts(pair);
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
      branches: loaded.branches,
      drafters: loaded.drafters,
      hasChatTemplate: loaded.hasChatTemplate,
      sessions: loaded.saves ? 'save' : loaded.reuses ? 'reuse' : 'none',
      variant: binding.variant,
      loadMs: loaded.loadMs,
    };
    await engine.#findCosts(files);
    return engine;
  }

  /** Costs from the cache, or measured now where that is asked for. */
  async #findCosts(files: FileFacts | undefined): Promise<void> {
    const { calibrate: when, numa, flashAttention, kvCacheType, mmap, onProgress } = this.#options;
    if (when === 'off') return;
    const { threads, draftThreads, kernels, drafters } = this.#info;
    this.#costs = new EngineCosts({
      facts: files && {
        ...files,
        ...machineFacts(),
        threads,
        draftThreads,
        kernels,
        numa,
        flashAttention,
        kvCacheType,
        mmap,
      },
      drafts: drafters.includes('model'),
      threads,
      draftThreads,
    });
    if (when !== 'load' || this.#costs.cached?.source === 'calibrate') return;
    try {
      await this.calibrate(onProgress ? { onProgress } : {});
    } catch (error) {
      // Live steps will teach what they cost; a load that worked is not lost for it.
      if (!(error instanceof AdaptiveSpecError)) throw error;
      this.#warn({ code: error.code, message: `Costs could not be measured: ${error.message}` });
    }
  }

  protected constructor(binding: EngineBinding, options: CheckedEngineOptions, pair: ModelPair) {
    this.#binding = binding;
    this.#options = options;
    this.#pair = pair;
    this.#audit = openAuditLog({ ...options.audit, onWarning: (warning) => this.#warn(warning) });
    this.#exchange = new StepExchange(pair.maxDepth);
    const threads = Math.min(options.threads ?? threadLimit(), threadLimit());
    this.#native = new binding.NativeEngine(
      {
        modelPath: pair.target.path,
        draftPath: pair.draft?.path ?? '',
        mtp: pair.mtp,
        contextSize: pair.contextSize,
        parallel: options.parallel,
        maxDepth: pair.maxDepth,
        branches: options.branches,
        batchSize: Math.min(options.batchSize, pair.contextSize),
        threads,
        draftThreads: Math.min(options.draftThreads ?? 0, threadLimit()),
        cores: threadLimit(),
        mmap: options.mmap,
        mlock: options.mlock,
        kvCacheType: options.kvCacheType,
        flashAttention: { auto: -1, off: 0, on: 1 }[options.flashAttention] as -1 | 0 | 1,
        kernels: options.kernels,
        numa: options.numa === 'none' ? '' : options.numa,
        planDeadlineMs: options.planDeadlineMs,
        chatTemplate: options.chatTemplate ?? '',
        ...nativeStore(options.ngramStore),
      },
      this.#exchange.arrays,
      (kind, requestId, value, logprobs) => this.#dispatch(kind, requestId, value, logprobs),
    );
    this.#desk = new WordDesk(this.#native, () => this.#nextId++);
  }

  get info(): EngineInfo {
    return this.#info;
  }

  /** What a step costs, as far as it is known by now; undefined where nothing is, or with `calibrate: 'off'`. */
  get costs(): CostTable | undefined {
    return this.#costs?.table;
  }

  /** When and how the table that `costs` began with was measured; undefined where none was found. */
  get costsOrigin(): { source: 'calibrate' | 'live'; measuredAt: string } | undefined {
    const cached = this.#costs?.cached;
    return cached && { source: cached.source, measuredAt: cached.measuredAt };
  }

  /** Requests that were started and have not ended. */
  get pending(): number {
    return this.#requests.size + this.#wording;
  }

  /** Adds a listener; answers a function that takes it off again. */
  on<Name extends keyof EngineEvents>(
    event: Name,
    listener: (...values: EngineEvents[Name]) => void,
  ): () => void {
    this.#emitter.on(event, listener as (...values: unknown[]) => void);
    this.#tellFollowed();
    return () => {
      this.#emitter.off(event, listener as (...values: unknown[]) => void);
      this.#tellFollowed();
    };
  }

  /** Tells native code whether somebody waits for steps, or text. */
  #tellFollowed(): void {
    const isFollowed = this.#followed.size > 0 || this.#emitter.listenerCount('step') > 0;
    if (isFollowed === this.#isFollowed) return;
    this.#isFollowed = isFollowed;
    this.#native.setFollowed(isFollowed);
  }

  /**
   * Starts a generation. Whatever is wrong rejects it: INVALID_ARGUMENT, CONTEXT_OVERFLOW, UNSUPPORTED (messages for
   * a model without chat template), BUSY where the queue is full, DISPOSED, or the signal's reason.
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

  /**
   * A conversation that keeps what it has read, so that each request reads only what is new. With `restore` it goes on
   * from a file of `Session.save`. Throws INVALID_ARGUMENT, DISPOSED, UNSUPPORTED; SESSION_INVALID where the file is
   * damaged or of other models or settings; SESSION_FAILED where it can't be read.
   */
  session(options?: SessionOptions & { restore?: undefined }): Session;
  session(options: SessionOptions): Promise<Session>;
  session(options: SessionOptions = {}): Session | Promise<Session> {
    if (options?.restore !== undefined) return this.#restored(options);
    checkSessionOptions(options);
    this.#mustBeOpen();
    return new Session(this, this.#nextId++);
  }

  async #restored(options: SessionOptions): Promise<Session> {
    const { restore } = checkSessionOptions(options);
    this.#mustBeOpen();
    this.mustSaveSessions();
    const state = await readSession(resolve(restore!), this.#factsOfSessions(), this.#info);
    return new Session(this, this.#nextId++, state);
  }

  /** @internal */
  writeSession(path: string, state: NativeSessionState): Promise<void> {
    return writeSession(resolve(path), this.#factsOfSessions(), state);
  }

  /** @internal */
  forgetSession(id: number): void {
    if (!this.#isClosing) this.#native.forgetSession(id);
  }

  /** @internal */
  mustSaveSessions(): void {
    if (this.#info.sessions === 'save') return;
    throw new AdaptiveSpecError(
      'UNSUPPORTED',
      `Sessions of ${this.#info.model} can't be saved: its state is not that of all tokens`,
      'Use a model without recurrent layers and without a sliding window, and no draft head that reads hidden states; or ' +
        'keep the messages and read them again.',
    );
  }

  #factsOfSessions(): SessionFacts {
    const { target, draft } = this.#pair;
    const { flashAttention, kvCacheType } = this.#options;
    this.#sessionFacts ??= sessionFacts({
      model: weightsFingerprint(target),
      draft: draft ? weightsFingerprint(draft) : '',
      kernels: this.#info.kernels,
      flashAttention,
      kvCacheType,
      llama: loadBinding().llamaTree,
    });
    return this.#sessionFacts;
  }

  /**
   * Starts a checked request: a quiet one is told of to nobody else. Throws what is wrong with it for this engine.
   * @internal
   */
  start(request: CheckedRequest, generation: Generation, how: StartOptions = {}): void {
    const start = () => this.#start(request, generation, how);
    if (how.quiet) start();
    else traceGeneration(generation, request, this.#info.model, start);
  }

  #start(request: CheckedRequest, generation: Generation, { quiet = false, ...how }: StartOptions): void {
    this.#mustBeOpen();
    const { signal } = request;
    if (signal?.aborted && request.onAbort === 'throw') throw signal.reason;
    if (!quiet) this.#mustHaveRoom();
    const chosen = request.controller as Controller | string | undefined;
    const controller = this.#controllers.take(chosen, { depth: request.depth });
    const maxDepth = Math.min(request.maxDepth ?? this.#info.maxDepth, this.#info.maxDepth);
    const nativeDepth = this.#nativeDepth(controller, maxDepth);
    const drafter = drafterIndex(this.#info.drafters, request.drafter);
    this.#mustBranch(request.tree);
    this.#mustKnow(request.logitBias);
    const seed = request.seed ?? Math.floor(Math.random() * 2 ** 32);
    const id = this.#nextId++;
    const asked = {
      request,
      generation,
      quiet,
      how,
      chosen,
      controller,
      maxDepth,
      nativeDepth,
      drafter,
      seed,
      id,
    };
    if (this.#isLong(request)) this.#startLater(asked);
    else this.#submit(asked, wordNow(this.#native, this.#worded(request)));
    if (signal) followSignal(signal, generation);
  }

  /** Sends a request off when its prompt is tokens. */
  #startLater(asked: AskedRequest): void {
    const { request, generation, quiet, how, chosen, controller, seed, id } = asked;
    const abort = new AbortController();
    const release = how.session?.hold();
    this.#wording++;
    // Who follows it is told to what comes after.
    const stop = (reason: unknown) => abort.abort(reason);
    generation.connect({ id, promptTokens: undefined, follow: () => {}, abort: stop });
    this.#desk
      .word(this.#worded(request), abort.signal)
      .finally(() => this.#wording--)
      .then((worded) => {
        this.#mustBeOpen();
        this.#submit(asked, worded);
      })
      .catch((error) => {
        release?.();
        this.#controllers.giveBack(chosen, controller);
        const { aborted, reason } = abort.signal;
        if (!aborted || this.#isClosing || !(reason === ABANDONED || request.onAbort === 'return')) {
          generation.fail(error);
          return;
        }
        const result = unreadResult(seed, nameOf(controller));
        generation.finish(result);
        if (!quiet) this.#emit('finish', result, id);
      });
  }

  #submit(asked: AskedRequest, { structure, tokens, words }: Worded): void {
    const { request, generation, quiet, how, chosen, controller, maxDepth, nativeDepth, drafter, seed, id } =
      asked;
    const session = how.session ?? this.#cached(request.cache, tokens);
    const drafters = this.#info.drafters;
    // Now, because by its first step the engine may be closing, and its vocabulary gone.
    const wantsText = nativeDepth === undefined || request.trace !== undefined;
    const promptText = words ?? (wantsText ? this.#native.detokenize(tokens) : '');
    const { maxTokens, temperature } = request;
    const prompt = { promptTokens: tokens.length, promptText, maxTokens, temperature };
    const controllerName = nameOf(controller);
    const trace = this.#requestTrace(request.trace, {
      id: String(id),
      kind: '',
      ...prompt,
      ...{ seed, controller: controllerName },
    });
    const driver =
      nativeDepth === undefined
        ? new ControllerDriver(controller, {
            maxDepth,
            drafters,
            firstPlan: nativePlan(0),
            onWarning: request.onWarning ?? ((warning) => this.#warn(warning)),
            audit: this.#audit,
            onPlan: quiet ? undefined : (plan) => this.#emit('plan', plan, id),
          })
        : undefined;
    const running = new RunningRequest({
      id,
      promptTokens: tokens.length,
      native: this.#native,
      generation,
      controllerName,
      driver,
      begin: () => {
        const { costs } = this;
        const info: RequestInfo = { ...prompt, maxDepth, drafters };
        if (request.drafter !== undefined) info.drafter = request.drafter;
        if (costs) info.costs = costs;
        trace?.begin(info);
        driver?.begin(info);
      },
      observe: quiet ? undefined : (report, asked) => this.#costs?.observe(report, asked),
      drafters,
      seed,
      onAbort: request.onAbort,
      onFollow: () => {
        if (this.#requests.has(id)) this.#followed.add(id);
        this.#tellFollowed();
      },
      audit: this.#audit,
      onOver: (native) => {
        this.#controllers.giveBack(chosen, controller);
        session?.over(tokens, native);
      },
      trace,
      wantsLogprobs: request.logprobs !== undefined,
      read: structure.read,
      answer: structure.answer,
    });
    const wasIdle = this.#requests.size === 0;
    this.#requests.set(id, running);
    if (quiet) this.#quiet.add(id);
    const restored = session?.begin();
    this.#native.submit({
      id,
      prompt: tokens,
      maxTokens: request.maxTokens,
      stop: [...(typeof request.stop === 'string' ? [request.stop] : request.stop), ...structure.stops],
      ignoreEos: request.ignoreEos,
      keepSteps: request.steps,
      shares: request.share && !quiet,
      asks: driver !== undefined,
      depth: nativeDepth ?? 0,
      drafter,
      treeNodes: request.tree,
      temperature: request.temperature,
      topK: request.topK,
      topP: request.topP,
      minP: request.minP,
      repeatPenalty: request.repeatPenalty,
      frequencyPenalty: request.frequencyPenalty,
      presencePenalty: request.presencePenalty,
      penaltyLastN: request.penaltyLastN,
      dry: {
        ...request.dry,
        lastN: Math.min(request.dry.lastN ?? Number.POSITIVE_INFINITY, this.#info.contextSize),
      },
      seed,
      ...(structure.grammar ? { grammar: structure.grammar } : {}),
      named: structure.named,
      rejection: request.acceptance === 'rejection',
      biasedTokens: Int32Array.from(request.logitBias, ([token]) => token),
      biases: Float32Array.from(request.logitBias, ([, bias]) => bias),
      logprobs: request.logprobs ?? -1,
      session: session?.id ?? 0,
      saves: session?.saves ?? false,
      ...(restored ? { restored } : {}),
    });
    if (wasIdle) {
      this.#costs?.busy(true);
      // While the prompt is read. A request that has to wait may share its controller with one that runs.
      if (driver !== undefined) running.begin();
    }
    generation.connect(running);
  }

  /** Token ids of a text, as the target model has them. Throws INVALID_ARGUMENT, CONTEXT_OVERFLOW, DISPOSED. */
  tokenize(text: string, { addSpecial = true, parseSpecial = true }: TokenizeOptions = {}): Int32Array {
    this.#mustBeText(text);
    return guardNative(() => this.#native.tokenize(text, addSpecial === true, parseSpecial === true));
  }

  /**
   * The same, a long text on another thread while JavaScript goes on. Rejects as `tokenize` throws, with BUSY where as many
   * texts wait as requests may, and with the signal's reason.
   */
  async tokenizeAsync(
    text: string,
    { addSpecial = true, parseSpecial = true, signal }: TokenizeOptions & { signal?: AbortSignal } = {},
  ): Promise<Int32Array> {
    this.#mustBeText(text);
    return this.#word(tokensOf(text, addSpecial === true, parseSpecial === true), text.length, signal);
  }

  /** Goes through the steps here where the text is short, and over the desk where it is long. */
  async #word<T>(wording: Wording<T>, length: number, signal: AbortSignal | undefined): Promise<T> {
    signal?.throwIfAborted();
    if (length <= LONG_TEXT || !this.#desk.isThere) return wordNow(this.#native, wording);
    this.#mustHaveRoom(this.#desk.size);
    return this.#desk.word(wording, signal);
  }

  #mustBeText(text: unknown): void {
    this.#mustBeOpen();
    if (typeof text !== 'string') {
      throw new AdaptiveSpecError('INVALID_ARGUMENT', 'What to tokenize is no string', 'Give a string.');
    }
    // No vocabulary has tokens this long, so the answer is known before the work is done.
    const most = this.#info.contextSize * 512;
    if (text.length > most) {
      throw overflow(`A text of ${text.length} characters`, this.#info.contextSize);
    }
  }

  /** The text of token ids; control tokens have none. Throws INVALID_ARGUMENT, DISPOSED. */
  detokenize(tokens: Int32Array | readonly number[]): string {
    this.#mustBeOpen();
    const ids = this.#tokenIds(tokens);
    return guardNative(() => this.#native.detokenize(ids));
  }

  /** The bytes of each token; a control token has its name. Throws INVALID_ARGUMENT, DISPOSED. */
  pieces(tokens: Int32Array | readonly number[]): Uint8Array[] {
    this.#mustBeOpen();
    const ids = this.#tokenIds(tokens);
    return guardNative(() => this.#native.pieces(ids));
  }

  /**
   * A conversation in the words of the model's chat template. Throws UNSUPPORTED where it has none, and INVALID_ARGUMENT
   * for what the template refuses.
   */
  applyChatTemplate(messages: readonly Message[], options: ChatTemplateOptions = {}): string {
    this.#mustBeOpen();
    return wordNow(this.#native, this.#conversation(messages, options));
  }

  /** The same, a long conversation on another thread, as `tokenizeAsync` does it. */
  async applyChatTemplateAsync(
    messages: readonly Message[],
    options: ChatTemplateOptions & { signal?: AbortSignal } = {},
  ): Promise<string> {
    this.#mustBeOpen();
    return this.#word(this.#conversation(messages, options), charactersOf(messages), options.signal);
  }

  *#conversation(messages: readonly Message[], options: ChatTemplateOptions): Wording<string> {
    const { tools = [], addGenerationPrompt = true, continueFinalMessage, enableThinking } = options;
    const turn = { ...turnOf({ continueFinalMessage, enableThinking }), answers: addGenerationPrompt };
    this.#mustHaveTemplate();
    if (tools.length === 0) return yield* templated(messages, turn);
    const choice = { required: false, parallel: false };
    return (yield* withTools(messagesText(messages), JSON.stringify(tools), choice, turn)).prompt;
  }

  /** Tokens of the prompt that a request would have. Throws as `generate` rejects. */
  countPromptTokens(options: RequestOptions): number {
    const request = checkRequestOptions(options);
    this.#mustBeOpen();
    return wordNow(this.#native, this.#worded(request)).tokens.length;
  }

  /** The same, a long prompt's on another thread, as `tokenizeAsync` does it. */
  async countPromptTokensAsync(options: RequestOptions): Promise<number> {
    const request = checkRequestOptions(options);
    this.#mustBeOpen();
    const worded = await this.#word(this.#worded(request), promptLength(request), request.signal);
    return worded.tokens.length;
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
    return this.#measure(MEASURE.target, [rows], contextLength, repeats, logits === 'all');
  }

  /**
   * Measures what a step costs, for up to `budgetMs`: v(n) by rows and context, a draft token, sampling, a change of
   * shape, the callback. `costs` begins anew with it, and where the machine was quiet it is cached for later engines of
   * the same models and settings on this machine; not so with `rows` or `contextLength`. Requests that come meanwhile wait for one pass, or run in between and
   * take their time from the budget. Throws INVALID_ARGUMENT, DISPOSED, or the signal's reason.
   */
  async calibrate(options: CalibrateOptions = {}): Promise<Calibration> {
    const { onProgress, ...settings } = checkCalibrateOptions(options);
    this.#mustBeOpen();
    const subject = this.#calibrationSubject();
    const { contextLength = 0 } = settings;
    mustBeWhole('contextLength', contextLength, 0, subject.contextSize - 1);
    const most = Math.min(subject.maxRows, subject.contextSize - contextLength);
    for (const rows of settings.rows ?? []) mustBeWhole('rows', rows, 1, most);
    const calibration = await calibrate(subject, {
      ...settings,
      onProgress: (done) =>
        this.#guarded(() => onProgress?.({ phase: 'calibrate', name: 'model', done, total: 1 })),
    });
    // What was asked for in particular is for the caller alone: plans need the usual rows.
    if (settings.rows === undefined && settings.contextLength === undefined)
      this.#costs?.calibrated(calibration);
    for (const warning of calibration.warnings) this.#warn(warning);
    return calibration;
  }

  #calibrationSubject(): CalibrationSubject {
    const { contextSize, maxDepth, parallel, threads, draftThreads, drafters, vocabularySize } = this.#info;
    return {
      maxRows: Math.min(parallel * (maxDepth + 1), contextSize),
      contextSize,
      threads,
      drafts: drafters.includes('model'),
      draftThreads,
      vocabularySize,
      target: (rows, contextLength, repeats) => this.#measure(MEASURE.target, rows, contextLength, repeats),
      draft: (tokens, repeats) => this.#measure(MEASURE.draft, [tokens], 0, repeats),
      sampling: (repeats) => this.#measure(MEASURE.sampling, [1], 0, repeats),
      steps: (count, asked) => this.#stepOverheads(count, asked),
      draftingSteps: (count, depth) => this.#draftingSteps(count, depth),
    };
  }

  async #measure(
    kind: number,
    rows: readonly number[],
    contextLength: number,
    repeats: number,
    allLogits = true,
  ): Promise<number[]> {
    // Every abort of a request that waits meanwhile cuts a measurement short: then it is done again.
    const attempts = kind === MEASURE.draft ? 3 : 50;
    for (let attempt = 0; attempt < attempts; attempt++) {
      this.#mustBeOpen();
      const id = this.#nextId++;
      const measurement = deferred<number[]>();
      this.#measurements.set(id, measurement);
      this.#native.measure(id, kind, Int32Array.from(rows), contextLength, repeats, allLogits);
      const ms = await measurement.promise;
      if (ms.length > 0) return ms;
    }
    if (kind === MEASURE.draft) return []; // No draft of that length can be had from this drafter.
    throw new AdaptiveSpecError(
      'NATIVE_FAILURE',
      `${rows.join(', ')} rows after ${contextLength} tokens can't be computed`,
      'Run `adaptive-spec doctor`; the engine stays usable.',
    );
  }

  /** What steps of a plain generation cost beside the target's pass, in milliseconds. */
  async #stepOverheads(count: number, asked: boolean): Promise<number[]> {
    const steps = await this.#ownSteps(count, { maxTokens: count, controller: asked ? () => 0 : 'off' });
    return steps.map(({ otherMs }) => otherMs);
  }

  /** Steps of a generation of its own that draft `depth` tokens each by the model. */
  async #draftingSteps(count: number, depth: number): Promise<StepSample[]> {
    const drafts = depth === 0 ? { controller: 'off' } : { controller: fixedDepth(depth), drafter: 'model' };
    const steps = await this.#ownSteps(count, { maxTokens: count * (depth + 1), ...drafts });
    return steps.map(({ rows, contextLength, tokens, verifyMs, draftMs, origins }) => ({
      rows,
      contextLength: contextLength - tokens.length,
      verifyMs,
      draftMs,
      modelTokens: modelTokensOf(origins),
    }));
  }

  /** The first steps of a generation that nobody is told of. */
  async #ownSteps(count: number, options: Partial<RequestOptions>): Promise<StepReport[]> {
    const generation = new Generation();
    const parts = generation.events();
    this.start(checkRequestOptions({ prompt: [0], ignoreEos: true, ...options }), generation, {
      quiet: true,
    });
    const steps: StepReport[] = [];
    for await (const part of parts) {
      if (part.type === 'step' && part.step.step > 0) steps.push(part.step);
      if (steps.length === count) break;
    }
    return steps;
  }

  /** Ends running requests with DISPOSED and frees the models. Resolves when they are freed. */
  close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#desk.close(closedError());
      this.#native.close();
    }
    return this.#closed.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #dispatch(
    kind: number,
    requestId: number,
    value: unknown,
    logprobs?: readonly NativeTokenLogprobs[],
  ): boolean {
    switch (kind) {
      case EVENT.step:
        return this.#onStep(requestId, value as string, logprobs);
      case EVENT.plainSteps:
        for (const [i, text] of (value as string[]).entries()) this.#onStep(this.#exchange.unpack(i), text);
        break;
      case EVENT.end: {
        const request = this.#requests.get(requestId);
        this.#requests.delete(requestId);
        this.#followed.delete(requestId);
        this.#tellFollowed();
        if (this.#requests.size === 0) this.#costs?.busy(false);
        const result = request?.onEnd(value as NativeResult, this.#isClosing);
        const quiet = this.#quiet.delete(requestId);
        if (result && !quiet) this.#emit('finish', result, requestId);
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
        // None: cut short by a close, or what was to be measured can't be done.
        if (ms.length > 0 || !this.#isClosing) this.#measurements.get(requestId)?.resolve(ms);
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
      case EVENT.worded:
        this.#desk.answered(requestId, value);
        break;
      case EVENT.wordsFailed:
        this.#desk.failed(requestId, value as NativeFault);
        break;
      case EVENT.closed:
        this.#isClosing = true;
        this.#desk.close(closedError());
        this.#guarded(() => this.#audit?.close());
        this.#guarded(() => this.#costs?.close());
        for (const measurement of this.#measurements.values()) measurement.reject(closedError());
        this.#measurements.clear();
        Promise.all([...this.#traces.values()].map((trace) => trace.close())).then(() => {
          this.#closed.resolve();
          this.#emit('close');
        });
        break;
    }
    return false;
  }

  /** Answers true where the next plan is in the exchange. */
  #onStep(requestId: number, text: string, logprobs?: readonly NativeTokenLogprobs[]): boolean {
    const request = this.#requests.get(requestId);
    if (request === undefined) return false;
    const isQuiet = this.#quiet.has(requestId);
    const { prompt } = this.#exchange;
    if (prompt && !isQuiet) {
      const { promptTokens } = request;
      const read = { promptTokens, reusedPromptTokens: prompt.reused, promptMs: prompt.ms };
      this.#emit('prompt', read, requestId);
    }
    const isHeard = this.#emitter.listenerCount('step') > 0 && !isQuiet;
    const onReport = isHeard ? (report: StepReport) => this.#emit('step', report, requestId) : undefined;
    return request.onStep(this.#exchange, text, onReport, logprobs);
  }

  #requestTrace(
    path: string | undefined,
    generation: TraceGeneration['generation'],
  ): RequestTrace | undefined {
    if (path === undefined) return undefined;
    const { model, draft, maxDepth } = this.#info;
    const absolute = resolve(path);
    let file = this.#traces.get(absolute);
    if (file === undefined) {
      const { costs } = this;
      const fields = { mode: 'steps', maxDepth, ...(costs ? { costs } : {}) } as const;
      const header = () => traceHeader(draft === undefined ? { model } : { model, draft }, fields);
      file = new StepTraceFile(absolute, header, (warning) => this.#warn(warning));
      this.#traces.set(absolute, file);
    }
    return new RequestTrace(file, generation);
  }

  /** What a request that names a cache goes on from. */
  #cached(cache: string | undefined, prompt: Int32Array): SessionRequest | undefined {
    const { parallel, sessions } = this.#info;
    if (cache === undefined || sessions === 'none') return undefined;
    this.#prefixes ??= new PrefixCache(
      parallel,
      () => this.#nextId++,
      (id) => this.forgetSession(id),
    );
    return this.#prefixes.request(cache, prompt);
  }

  /** The depth that the engine can run without asking; undefined where the controller must be asked. */
  #nativeDepth(controller: Controller, most: number): number | undefined {
    const depth = nativeDepthOf(controller);
    if (depth === undefined) return undefined;
    if (depth > this.#info.maxDepth) {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        `A depth of ${depth} is more than this engine's ${this.#info.maxDepth}`,
        'Give createEngine() a larger maxDepth.',
      );
    }
    return Math.min(depth, most);
  }

  /** An engine whose target can't branch has said so when it was loaded: there a tree is its chain. */
  #mustBranch(nodes: number): void {
    if (nodes === 0 || this.#options.branches > 0) return;
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      "A tree is asked for, and this engine's drafts are chains",
      `Give createEngine() { branches: ${DEFAULT_BRANCHES} }.`,
    );
  }

  /** Whether a request's prompt takes long to become tokens. */
  #isLong(request: CheckedRequest): boolean {
    return this.#desk.isThere && promptLength(request) > LONG_TEXT;
  }

  /** A request's form, and its prompt. */
  *#worded(request: CheckedRequest): Wording<Worded> {
    if (request.messages) this.#mustHaveTemplate();
    const guarded = request.messages && (yield* this.#controlNames().guard(request.messages));
    const asked = guarded ? { ...request, messages: guarded.messages } : request;
    const turn = turnOf(request);
    const structure = yield* structureOf(asked, { native: this.#native, binding: this.#binding, turn });
    return { structure, ...(yield* this.#promptOf(asked, structure.prompt, guarded?.mark)) };
  }

  /** `mark` stands in names of control tokens that messages hold. */
  *#promptOf(
    request: CheckedRequest,
    prompt?: string,
    mark?: string,
  ): Wording<{ tokens: Int32Array; words?: string }> {
    const { contextSize } = this.#info;
    const said =
      prompt ?? (request.messages ? yield* templated(request.messages, turnOf(request)) : request.prompt!);
    const guarded = typeof said === 'string' && mark !== undefined;
    const words = guarded ? said.replaceAll(mark, '') : said;
    if (typeof words === 'string') yield* this.#mayFit(words);
    const tokens = guarded
      ? yield* this.#controlNames().tokens(said, mark)
      : typeof words === 'string'
        ? yield* tokensOf(words, true, true)
        : this.#tokenIds(words);
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

  /** Before a text is tokenized, which takes long for a long one: whether its length alone is too much. */
  *#mayFit(text: string): Wording<void> {
    const { contextSize } = this.#info;
    // A short one is tokenized at once.
    if (text.length <= contextSize) return;
    // No vocabulary has tokens this long.
    let fits = text.length <= contextSize * 512;
    let fewest = 0;
    for (const slice of fits ? slices(text) : []) {
      // A token may stand in two slices.
      fewest += guardNative(() => this.#native.fewestTokens(slice)) - 1;
      fits = fewest < contextSize;
      if (!fits) break;
      yield* pause();
    }
    if (!fits) throw overflow(`A prompt of ${text.length} characters`, contextSize);
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

  /** An id outside of the vocabulary would end the process. */
  #mustKnow(biased: CheckedRequest['logitBias']): void {
    const { vocabularySize } = this.#info;
    const wrong = biased.findIndex(([token]) => token >= vocabularySize);
    if (wrong < 0) return;
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `logitBias.${wrong}.0 is ${biased[wrong]![0]}, no id of this model`,
      `Give whole numbers from 0 to ${vocabularySize - 1}.`,
    );
  }

  #controlNames(): ControlNames {
    this.#names ??= new ControlNames(guardNative(() => this.#native.controlNames()));
    return this.#names;
  }

  #mustHaveTemplate(): void {
    if (this.#info.hasChatTemplate) return;
    throw new AdaptiveSpecError(
      'UNSUPPORTED',
      `${this.#info.model} has no chat template`,
      "Give a prompt instead of messages, or use an 'Instruct' model.",
    );
  }

  /** `taken`: places that are. */
  #mustHaveRoom(taken = this.pending): void {
    const { parallel, queue } = this.#options;
    if (taken < parallel + queue) return;
    throw new AdaptiveSpecError(
      'BUSY',
      `${taken - parallel} requests are waiting, and no more may`,
      'Try again when one has ended, or give createEngine() a larger queue or parallel.',
    );
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

type FileFacts = Pick<CacheFacts, 'model' | 'draft' | 'quantization' | 'addon'>;

/** The files' part of what a cost table holds for; undefined where one of them can't be read any more. */
function fileFacts({ target, draft, mtp }: ModelPair): FileFacts | undefined {
  try {
    return {
      model: modelFingerprint(target),
      draft: draft ? modelFingerprint(draft) : mtp ? 'mtp' : '',
      quantization: target.quantization,
      addon: fileStamp(bindingPath()),
    };
  } catch {
    return undefined;
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

/** Characters of messages, whatever part of them they are in. */
function charactersOf(messages: readonly Message[]): number {
  let characters = 0;
  for (const { role, content, toolCalls = [] } of messages) {
    characters += role.length + content.length;
    for (const call of toolCalls) characters += call.name.length + call.arguments.length;
  }
  return characters;
}

function promptLength({ prompt, messages }: CheckedRequest): number {
  if (messages) return charactersOf(messages);
  return typeof prompt === 'string' ? prompt.length : 0;
}

/** How the prompt of a request ends. */
function turnOf({
  continueFinalMessage = false,
  enableThinking = true,
}: {
  continueFinalMessage?: boolean | undefined;
  enableThinking?: boolean | undefined;
}): NativeTurn {
  return { answers: !continueFinalMessage, continues: continueFinalMessage, thinks: enableThinking };
}

function overflow(what: string, contextSize: number): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'CONTEXT_OVERFLOW',
    // Programs look for llama-server's words, which begin with "exceeds".
    `${what} exceeds the available context size of ${contextSize} tokens`,
    'Shorten it, or give a larger contextSize.',
  );
}

function mustBeWhole(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `${name} is ${String(value)}`,
    `Give a whole number from ${min} to ${max}.`,
  );
}
