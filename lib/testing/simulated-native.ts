// The native side of a test engine: steps, reports and ends as native code tells them, over texts that are given.

import {
  type Dispatch,
  EVENT,
  type Exchange,
  type NativeEngine,
  type NativeEngineOptions,
  type NativeGrammar,
  type NativeRequest,
  type NativeResult,
  type NativeToolPrompt,
  type NativeTurn,
} from '../binding.js';
import { HeldPlan } from '../control/held-plan.js';
import type { AdaptiveSpecError } from '../errors.js';
import { HEADER, PLAN } from '../exchange.js';
import { CALL, type WrittenReply } from './reply.js';
import { END, template, VOCABULARY, Words } from './words.js';

export interface Simulation {
  /** Probability that the target agrees with a draft token. */
  acceptance: number;
  /** Start of the random numbers that decide where it does. */
  seed: number;
  /** What a step waits, in milliseconds; 0 lets everything else that is due happen between steps. */
  stepMs: number;
  drafters: string[];
  /** The answer to the request that is being submitted. */
  reply: () => Promise<WrittenReply>;
}

/** Times that the reports tell, in milliseconds: made up, and so the same on every machine. */
const MS = { promptToken: 0.25, draftToken: 1, pass: 10, row: 0.5, other: 0.1 };

interface Running {
  request: NativeRequest;
  reply: Promise<WrittenReply>;
  isAborted: boolean;
  /** Ends a wait. */
  wake: () => void;
}

/** Fulfils what `Engine` needs of native code. Answers come in the order of the requests, `parallel` at a time. */
export class SimulatedNative implements NativeEngine {
  readonly #options: NativeEngineOptions;
  readonly #dispatch: Dispatch;
  readonly #simulation: Simulation;
  readonly #words = new Words();
  #exchange: Exchange;
  #running: Running[] = [];
  #waiting: Running[] = [];
  #isClosing = false;
  #isClosed = false;

  constructor(options: NativeEngineOptions, exchange: Exchange, dispatch: Dispatch, simulation: Simulation) {
    this.#options = options;
    this.#exchange = exchange;
    this.#dispatch = dispatch;
    this.#simulation = simulation;
    setImmediate(() => this.#tell(EVENT.loaded, 0, this.#loaded()));
  }

  submit(request: NativeRequest): void {
    const running: Running = {
      request,
      reply: this.#simulation.reply(),
      isAborted: false,
      wake: () => {},
    };
    running.reply.catch(() => {}); // Heard where its turn comes.
    this.#waiting.push(running);
    setImmediate(() => this.#next());
  }

  abort(requestId: number): void {
    for (const running of [...this.#running, ...this.#waiting]) {
      if (running.request.id !== requestId) continue;
      running.isAborted = true;
      running.wake();
    }
    setImmediate(() => this.#next());
  }

  /** Every prompt is read whole. */
  forgetSession(): void {}

  /** Every step is told at once. */
  setFollowed(_isFollowed: boolean): void {}

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    for (const { request } of [...this.#running, ...this.#waiting]) this.abort(request.id);
    setImmediate(() => this.#next());
  }

  measure(id: number, _kind: number, rows: Int32Array, _context: number, repeats: number): void {
    const ms = Array.from(rows, (count) => MS.pass + MS.row * count);
    setImmediate(() => this.#tell(EVENT.measured, id, Array(repeats).fill(ms).flat()));
  }

  tokenize(text: string): Int32Array {
    return this.#words.tokenize(text);
  }

  /** A word may have any length. */
  fewestTokens(): number {
    return 0;
  }

  detokenize(tokens: Int32Array): string {
    return this.#words.detokenize(tokens);
  }

  pieces(tokens: Int32Array): Uint8Array[] {
    return Array.from(tokens, (token) => Buffer.from(this.#words.detokenize([token])));
  }

  /** A word in a prompt is a word, whatever it says. */
  controlNames(): string[] {
    return [];
  }

  applyTemplate(messages: { role: string; content: string }[], turn: NativeTurn): string {
    return template(messages, turn);
  }

  applyTools(
    messages: string,
    tools: string,
    _required: boolean,
    _parallel: boolean,
    turn: NativeTurn,
  ): NativeToolPrompt {
    const offered = JSON.parse(tools) as unknown[];
    return {
      prompt: template(JSON.parse(messages), turn, offered.length > 0 ? offered : undefined),
      knowsCalls: true,
      grammar: { text: 'root ::= any', words: [CALL], patterns: [], prefill: '' },
      stops: [],
      named: new Int32Array(0),
      syntax: { format: 0, parser: '', generationPrompt: '' },
    };
  }

  /** Replies have been checked against what their requests ask for, so that there is nothing to compile. */
  compileGrammar(): NativeGrammar {
    return { native: 'grammar' };
  }

  setExchange(exchange: Exchange): void {
    this.#exchange = exchange;
  }

  #loaded() {
    const { contextSize, threads, draftThreads } = this.#options;
    return {
      description: 'test engine',
      vocabSize: VOCABULARY,
      contextSize,
      trainedContext: contextSize,
      parameters: 0,
      modelBytes: 0,
      threads,
      draftThreads,
      kernels: 'none',
      canRollBack: true,
      reuses: false,
      saves: false,
      branches: 0,
      hasChatTemplate: true,
      drafters: this.#simulation.drafters,
      loadMs: 0,
    };
  }

  /** Starts what has room, ends what was aborted before it began, and tells of the close once all is over. */
  #next(): void {
    const over = this.#waiting.filter(({ isAborted }) => isAborted);
    this.#waiting = this.#waiting.filter(({ isAborted }) => !isAborted);
    for (const { request } of over) this.#tell(EVENT.end, request.id, emptyResult(request, 'aborted'));
    while (this.#waiting.length > 0 && this.#running.length < this.#options.parallel) {
      const running = this.#waiting.shift()!;
      this.#running.push(running);
      const failed = (error: unknown): NativeResult => ({
        ...emptyResult(running.request, 'error'),
        ...{ errorCode: 'NATIVE_FAILURE', errorMessage: String(error), errorHint: 'Make another engine.' },
      });
      const ending = this.#run(running).catch(failed);
      ending.then((result) => {
        this.#running.splice(this.#running.indexOf(running), 1);
        this.#tell(EVENT.end, running.request.id, result);
        this.#next();
      });
    }
    if (!this.#isClosing || this.#isClosed || this.#running.length > 0) return;
    this.#isClosed = true;
    this.#tell(EVENT.closed, 0, undefined);
  }

  async #run(running: Running): Promise<NativeResult> {
    const { request } = running;
    const result = emptyResult(request, 'stop');
    const written = await Promise.race([running.reply.catch(refusal), interrupted(running)]);
    if (written === undefined) return { ...result, reason: 'aborted' };
    const answer = this.#answer(request, written);
    const agrees = agreement(this.#simulation, answer.text);
    const steps = new Steps(request, result);
    result.promptMs = MS.promptToken * request.prompt.length;
    result.firstTokenMs = result.promptMs + MS.pass + MS.row;
    let { depth } = request;
    /** Draft tokens verified at most. */
    let most = depth;
    const held = new HeldPlan<TakenPlan>();
    const tell = (text: string, isLast: boolean) => {
      const { header, plan } = this.#exchange;
      header[HEADER.running] = this.#running.length;
      header[HEADER.waiting] = this.#waiting.length;
      header[HEADER.last] = isLast ? 1 : 0;
      header[HEADER.asked] = request.asks && held.isDue ? 1 : 0;
      const isAnswered = this.#tell(EVENT.step, request.id, text);
      const next = held.next(isAnswered ? takenFrom(plan) : undefined);
      if (next === undefined) return;
      ({ depth, verify: most } = next);
      steps.drafter = next.drafter < 0 ? request.drafter : next.drafter;
    };
    steps.write(this.#exchange, {
      depth: 0,
      drafted: 0,
      verified: 0,
      accepted: 0,
      tokens: [],
      draftTokens: [],
    });
    tell('', answer.tokens.length === 0);
    for (let at = 0; at < answer.tokens.length; ) {
      if (await this.#pause(running))
        return { ...result, reason: 'aborted', tokens: Int32Array.from(steps.tokens) };
      // The target adds a token of its own, so that a draft needs no more than what comes before the last.
      const drafted = Math.min(depth, answer.tokens.length - at - 1);
      const verified = Math.min(drafted, most);
      let right = 0;
      while (right < drafted && agrees(at + right)) right++;
      const accepted = Math.min(right, verified);
      const tokens = answer.tokens.slice(at, at + accepted + 1);
      const draftTokens = answer.tokens.slice(at, at + drafted);
      // What the target disagrees with is another word, whether it is looked at or not.
      draftTokens.fill(END, right);
      steps.write(
        this.#exchange,
        { depth, drafted, verified, accepted, tokens, draftTokens },
        this.#simulation.acceptance,
      );
      const text = answer.text.slice(answer.ends[at - 1] ?? 0, answer.ends[at + accepted]);
      at += accepted + 1;
      tell(text, at >= answer.tokens.length);
    }
    result.tokens = Int32Array.from(steps.tokens);
    if (answer.error) return { ...result, reason: 'error', ...answer.error };
    return { ...result, reason: answer.reason, stopString: answer.stopString };
  }

  /** True where the request was aborted meanwhile. */
  #pause(running: Running): Promise<boolean> {
    const { stepMs } = this.#simulation;
    if (running.isAborted) return Promise.resolve(true);
    return new Promise((resolve) => {
      const go = () => resolve(running.isAborted);
      const timer = stepMs > 0 ? setTimeout(go, stepMs) : undefined;
      if (timer === undefined) setImmediate(go);
      running.wake = () => {
        clearTimeout(timer);
        go();
      };
    });
  }

  /** The tokens of an answer, where its text ends after each of them, and why it is over then. */
  #answer(request: NativeRequest, { text, error }: WrittenReply) {
    const stops = request.stop
      .map((stop) => ({ stop, at: text.indexOf(stop) }))
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at - b.at);
    const [first] = stops;
    const visible = first ? text.slice(0, first.at) : text;
    const words = Array.from(this.tokenize(first ? text.slice(0, first.at + first.stop.length) : text));
    const all = first || error ? words : [...words, END];
    const room = Math.min(request.maxTokens, this.#options.contextSize - request.prompt.length);
    const tokens = all.slice(0, room);
    let length = 0;
    const ends = tokens.map((token) => {
      length += this.#words.detokenize([token]).length;
      return Math.min(length, visible.length);
    });
    const isCut = tokens.length < all.length;
    return {
      tokens,
      ends,
      text: visible,
      reason: isCut ? ('length' as const) : ('stop' as const),
      stopString: first && !isCut ? first.stop : '',
      error: error && !isCut ? faultOf(error) : undefined,
    };
  }

  #tell(kind: number, requestId: number, value: unknown): boolean {
    return this.#dispatch(kind, requestId, value);
  }
}

/** A plan as it was when it was answered: the memory that it comes in is reused. */
interface TakenPlan {
  depth: number;
  steps: number;
  verify: number;
  drafter: number;
}

function takenFrom(plan: Float64Array): TakenPlan {
  return {
    depth: plan[PLAN.depth]!,
    steps: plan[PLAN.steps]!,
    verify: plan[PLAN.verify]!,
    drafter: plan[PLAN.drafter]!,
  };
}

/** What a step planned, drafted, verified and accepted, in tokens. */
interface Counts {
  depth: number;
  drafted: number;
  verified: number;
  accepted: number;
}

/** Counts a request's steps into its result, and writes their reports. */
class Steps {
  readonly tokens: number[] = [];
  drafter: number;
  readonly #request: NativeRequest;
  readonly #result: NativeResult;

  constructor(request: NativeRequest, result: NativeResult) {
    this.#request = request;
    this.#result = result;
    this.drafter = request.drafter;
  }

  write(
    exchange: Exchange,
    step: Counts & { tokens: number[]; draftTokens: number[] },
    acceptance = 0,
  ): void {
    const { header } = exchange;
    const { depth, drafted, verified, accepted, tokens, draftTokens } = step;
    const isPrompt = tokens.length === 0;
    this.tokens.push(...tokens);
    header.fill(0);
    const rows = isPrompt ? this.#request.prompt.length : verified + 1;
    const draftMs = MS.draftToken * drafted;
    const verifyMs = isPrompt ? MS.promptToken * rows : MS.pass + MS.row * rows;
    if (!isPrompt) this.#count(step, draftMs, verifyMs);
    header[HEADER.step] = this.#result.steps;
    header[HEADER.position] = this.tokens.length;
    header[HEADER.depth] = depth;
    header[HEADER.drafted] = drafted;
    header[HEADER.verified] = verified;
    header[HEADER.accepted] = accepted;
    header[HEADER.tokens] = tokens.length;
    header[HEADER.draftMs] = draftMs;
    header[HEADER.verifyMs] = verifyMs;
    header[HEADER.otherMs] = isPrompt ? 0 : MS.other;
    header[HEADER.rows] = rows;
    header[HEADER.contextLength] = this.#request.prompt.length + this.tokens.length;
    header[HEADER.drafter] = drafted > 0 ? this.drafter : -1;
    exchange.tokens.set(tokens);
    exchange.draftTokens.set(draftTokens);
    exchange.probabilities.fill(acceptance, 0, drafted);
    exchange.margins.fill(acceptance, 0, drafted);
    exchange.entropies.fill(1 - acceptance, 0, drafted);
    exchange.matches.fill(0, 0, drafted);
    exchange.origins.fill(0, 0, drafted);
  }

  #count({ depth, drafted, verified, accepted }: Counts, draftMs: number, verifyMs: number): void {
    const result = this.#result;
    result.steps++;
    result.draftTokens += drafted;
    result.verifiedTokens += verified;
    result.acceptedTokens += accepted;
    result.verifiedPerPosition = counted(result.verifiedPerPosition, verified);
    result.acceptedPerPosition = counted(result.acceptedPerPosition, accepted, verified);
    result.draftMs += draftMs;
    result.verifyMs += verifyMs;
    result.otherMs += MS.other;
    result.decodeMs += draftMs + verifyMs + MS.other;
    if (!this.#request.keepSteps) return;
    result.stepDepth = joined(result.stepDepth, depth);
    result.stepDrafted = joined(result.stepDrafted, drafted);
    result.stepAccepted = joined(result.stepAccepted, accepted);
  }
}

/** One more at each of the first `places`; as long as the longest of `length` so far. */
function counted(counts: Int32Array, places: number, length = places): Int32Array {
  return Int32Array.from(
    { length: Math.max(counts.length, length) },
    (_, place) => (counts[place] ?? 0) + (place < places ? 1 : 0),
  );
}

function joined(values: Int32Array = new Int32Array(0), value: number): Int32Array {
  return Int32Array.of(...values, value);
}

/** Resolves with nothing when the request is aborted. */
function interrupted(running: Running): Promise<undefined> {
  return new Promise((resolve) => {
    running.wake = () => resolve(undefined);
    if (running.isAborted) resolve(undefined);
  });
}

/** What a reply that could not be made fails its request with. */
function refusal(error: AdaptiveSpecError): WrittenReply {
  return { text: '', error };
}

function faultOf({ code, message, hint }: AdaptiveSpecError) {
  return { errorCode: code, errorMessage: message, errorHint: hint };
}

/** The same places of a text agree at every depth, as they do where drafts are compared with what the target draws. */
function agreement({ acceptance, seed }: Simulation, text: string): (place: number) => boolean {
  let start = seed | 0;
  for (let i = 0; i < text.length; i++) start = mixed(start ^ text.charCodeAt(i));
  return (place) => (mixed(start ^ place) >>> 0) / 2 ** 32 < acceptance;
}

/** A hash of 32 bits (splitmix32's), so that places next to each other have nothing in common. */
function mixed(bits: number): number {
  let x = (bits + 0x9e3779b9) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}

function emptyResult({ prompt }: NativeRequest, reason: NativeResult['reason']): NativeResult {
  return {
    reason,
    errorCode: '',
    errorMessage: '',
    errorHint: '',
    stopString: '',
    tokens: new Int32Array(0),
    promptTokens: prompt.length,
    reusedTokens: 0,
    steps: 0,
    draftTokens: 0,
    verifiedTokens: 0,
    acceptedTokens: 0,
    besideTokens: 0,
    besideAccepted: 0,
    latePlans: 0,
    overlappedDrafts: 0,
    wastedDrafts: 0,
    verifiedPerPosition: new Int32Array(0),
    acceptedPerPosition: new Int32Array(0),
    promptMs: 0,
    firstTokenMs: 0,
    decodeMs: 0,
    draftMs: 0,
    verifyMs: 0,
    catchUpMs: 0,
    otherMs: 0,
    waitMs: 0,
    queueMs: 0,
  };
}
