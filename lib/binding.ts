// The only file that touches the native addon: finds it, checks that this CPU can run it, and names what it can do.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdaptiveSpecError } from './errors.js';
import type { NativeTokenLogprobs } from './logprobs.js';
import type { AnswerReader } from './structured/answer-reader.js';

/** The package's folder. */
export const packageRoot = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Engine options as native code reads them. Everything is there and validated: native code checks nothing. */
export interface NativeEngineOptions {
  modelPath: string;
  /** '' for none. */
  draftPath: string;
  /** Whether the target's own MTP layer drafts. */
  mtp: boolean;
  /** Tokens per sequence. */
  contextSize: number;
  /** Sequences that run at once. */
  parallel: number;
  maxDepth: number;
  /** Most paths that leave a step's draft for guesses beside it; 0: chains alone. */
  branches: number;
  /** Rows of one batch of the prompt. */
  batchSize: number;
  threads: number;
  /** 0: as many as are found fastest. */
  draftThreads: number;
  /** That this process may use. */
  cores: number;
  mmap: boolean;
  mlock: boolean;
  kvCacheType: string;
  /** -1 our own where it can be had and none else, 0 off, 1 on. */
  flashAttention: -1 | 0 | 1;
  /** What computes the matrix products: auto, amx, avx512, avx2 or ggml. */
  kernels: string;
  /** '' for none. */
  numa: string;
  planDeadlineMs: number;
  /** Tokens of finished requests that are kept to draft from; 0: none are. */
  storeTokens: number;
  /** Where they lie between engines; '' nowhere. */
  storePath: string;
  /** Jinja, in place of the model's own; '' where that holds. */
  chatTemplate: string;
}

/** How the end of a prompt looks. */
export interface NativeTurn {
  /** Whether it ends where the assistant's answer begins. */
  answers: boolean;
  /** Whether the last message is an answer that has begun, within which the prompt ends. */
  continues: boolean;
  /** For templates that know how to do without thinking first. */
  thinks: boolean;
}

/** One request as native code reads it. */
export interface NativeRequest {
  id: number;
  prompt: Int32Array;
  maxTokens: number;
  stop: string[];
  ignoreEos: boolean;
  keepSteps: boolean;
  /** Whether its text is kept in the engine's store, and it drafts from there. */
  shares: boolean;
  /** True where every step asks for a plan; else `depth` holds throughout. */
  asks: boolean;
  depth: number;
  /** Index of the drafter for plans that name none. */
  drafter: number;
  /** `NativePlan.treeNodes` of plans that leave it to the request. */
  treeNodes: number;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repeatPenalty: number;
  frequencyPenalty: number;
  presencePenalty: number;
  penaltyLastN: number;
  dry: { multiplier: number; base: number; allowedLength: number; lastN: number; breakers: string[] };
  seed: number;
  /** Draws draft tokens and accepts them by rejection sampling; without effect at temperature 0. */
  rejection: boolean;
  /** Compiled for this request, and used up by it. */
  grammar?: NativeGrammar;
  /** Control tokens whose names belong to the text. */
  named: Int32Array;
  /** Tokens, and what is added to the logit of each; minus infinity rules it out. */
  biasedTokens: Int32Array;
  biases: Float32Array;
  /** Of so many likely tokens beside each emitted one, 0 to 20; -1: of none, nor of that. */
  logprobs: number;
  /** Whose cells it goes on from, and leaves in its slot at its end; 0 for none. One request of a session at a time. */
  session: number;
  /** What the session begins from; missing where that is what it left in a slot. */
  restored?: NativeSessionState;
  /** Whether the result is to have the session's state. */
  saves: boolean;
}

/** What the caches hold of a session. */
export interface NativeSessionState {
  /** All of them are in the target's cache, the first `draftTokens` in the draft's. */
  tokens: Int32Array;
  draftTokens: number;
  /** In llama.cpp's own form, which it trusts: only what was checked to be what it wrote may come back. */
  target: Uint8Array;
  draft: Uint8Array;
}

/** A compiled grammar; only native code can look into it. */
export type NativeGrammar = object & { readonly native: 'grammar' };

/** A grammar as native code reads it. */
export interface NativeGrammarSource {
  /** GBNF. */
  text: string;
  /** The grammar holds from where one of these is in the text on; with neither, from its beginning. */
  words: string[];
  patterns: string[];
  /** Text of the grammar that the prompt has already. */
  prefill: string;
}

/** How native code reads an answer; made by `applyTools`. */
export interface NativeSyntax {
  format: number;
  parser: string;
  generationPrompt: string;
}

/** A prompt that offers tools. */
export interface NativeToolPrompt {
  prompt: string;
  /** Whether the model's template has a way to put tool calls. */
  knowsCalls: boolean;
  /** With text '' where none is needed. */
  grammar: NativeGrammarSource;
  stops: string[];
  named: Int32Array;
  syntax: NativeSyntax;
}

/** Arrays that a step's numbers cross in; native code writes all but `plan`, which it reads. */
export interface Exchange {
  header: Float64Array;
  tokens: Int32Array;
  draftTokens: Int32Array;
  probabilities: Float32Array;
  margins: Float32Array;
  entropies: Float32Array;
  matches: Float32Array;
  origins: Uint8Array;
  besideTokens: Int32Array;
  besideParents: Int32Array;
  besideProbabilities: Float32Array;
  /** As lib/exchange.ts lays it out. */
  plan: Float64Array;
  /** Steps of plain decoding that are told together, one behind the other, as lib/exchange.ts lays them out. */
  plainSteps: Float64Array;
}

/** Kinds of events, in native code's numbering. */
export const EVENT = {
  progress: 0,
  loaded: 1,
  loadFailed: 2,
  warning: 3,
  step: 4,
  end: 5,
  closed: 6,
  measured: 7,
  /** Steps of plain decoding for which no plan is wanted, of any requests, in order; their texts are the value. */
  plainSteps: 8,
  worded: 9,
  wordsFailed: 10,
} as const;

/** Kinds of measurements, in native code's numbering. */
export const MEASURE = { target: 0, draft: 1, sampling: 2 } as const;

/** What a loaded engine is. */
export interface NativeLoaded {
  description: string;
  vocabSize: number;
  contextSize: number;
  trainedContext: number;
  parameters: number;
  modelBytes: number;
  threads: number;
  draftThreads: number;
  kernels: string;
  canRollBack: boolean;
  /** Whether sessions go on from what they have read, and can be saved. */
  reuses: boolean;
  saves: boolean;
  branches: number;
  hasChatTemplate: boolean;
  drafters: string[];
  loadMs: number;
}

/** A failure or a warning of native code. */
export interface NativeFault {
  code: string;
  message: string;
  hint: string;
}

/** What a request leaves behind. Times in milliseconds. */
export interface NativeResult {
  reason: 'stop' | 'length' | 'aborted' | 'error';
  errorCode: string;
  errorMessage: string;
  errorHint: string;
  stopString: string;
  tokens: Int32Array;
  promptTokens: number;
  /** Of these, read by earlier requests of the session. */
  reusedTokens: number;
  /** With `saves`; missing where nothing is cached, or there is no memory for it. */
  saved?: NativeSessionState;
  steps: number;
  draftTokens: number;
  verifiedTokens: number;
  acceptedTokens: number;
  besideTokens: number;
  besideAccepted: number;
  latePlans: number;
  overlappedDrafts: number;
  wastedDrafts: number;
  verifiedPerPosition: Int32Array;
  acceptedPerPosition: Int32Array;
  promptMs: number;
  firstTokenMs: number;
  decodeMs: number;
  draftMs: number;
  verifyMs: number;
  catchUpMs: number;
  otherMs: number;
  waitMs: number;
  queueMs: number;
  stepDepth?: Int32Array;
  stepDrafted?: Int32Array;
  stepAccepted?: Int32Array;
}

/** Hears every event; answers true to a step's report where `exchange.plan` holds the next plan. */
export type Dispatch = (
  kind: number,
  requestId: number,
  value: unknown,
  /** Of a step's tokens, where the request wants them. */
  logprobs?: readonly NativeTokenLogprobs[],
) => boolean;

/** An engine of native code. Nothing here waits for it; what happens is told to the dispatch function. */
export interface NativeEngine {
  submit(request: NativeRequest): void;
  /**
   * Answered by an event with milliseconds: for each repeat one number, with kind `target` one for each of `rows`. None
   * where it was cut short or can't be done. With kind `draft`, rows[0] is the draft's length.
   */
  measure(
    id: number,
    kind: number,
    rows: Int32Array,
    contextLength: number,
    repeats: number,
    allLogits: boolean,
  ): void;
  abort(requestId: number): void;
  /** What a session has left in a slot is needed no more. */
  forgetSession(session: number): void;
  close(): void;
  /** Between loaded and close only, as are the six below. */
  tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Int32Array;
  /** Tokens that a text has at least, told by its length; 0 where the vocabulary doesn't allow to say so. */
  fewestTokens(text: string): number;
  detokenize(tokens: Int32Array): string;
  /** The bytes of each token; a control token has its name. */
  pieces(tokens: Int32Array): Uint8Array[];
  /** Names that `parseSpecial` takes for control tokens. */
  controlNames(): string[];
  applyTemplate(messages: { role: string; content: string }[], turn: NativeTurn): string;
  /** Messages and tools as JSON in OpenAI's form. */
  applyTools(
    messages: string,
    tools: string,
    required: boolean,
    parallel: boolean,
    turn: NativeTurn,
  ): NativeToolPrompt;
  /**
   * The same as those without Later, on a thread of native code's, one after the other: answered by `worded` with what they
   * answer, or by `wordsFailed`. Missing where nothing takes long.
   */
  tokenizeLater?(id: number, text: string, addSpecial: boolean, parseSpecial: boolean): void;
  applyTemplateLater?(id: number, messages: { role: string; content: string }[], turn: NativeTurn): void;
  applyToolsLater?(
    id: number,
    messages: string,
    tools: string,
    required: boolean,
    parallel: boolean,
    turn: NativeTurn,
  ): void;
  /** One that has not begun is not answered any more. */
  dropLater?(id: number): void;
  compileGrammar(source: NativeGrammarSource): NativeGrammar;
  setExchange(exchange: Exchange): void;
  /** Whether somebody waits for what requests write: where nobody does, steps are told late. False at first. */
  setFollowed(isFollowed: boolean): void;
}

export interface NativeBinding {
  NativeEngine: new (options: NativeEngineOptions, exchange: Exchange, dispatch: Dispatch) => NativeEngine;
  /** 'native' is tuned for the CPU that it was built on, 'portable' runs on every x86-64-v3. */
  variant: 'native' | 'portable';
  llamaTree: string;
  llamaVersion: string;
  /** llama.cpp's line on the CPU features that were compiled in. */
  systemInfo(): string;
  /** Kernels that this CPU runs, the best first and 'ggml' last. */
  availableKernels(): string[];
  /** A JSON schema, as text, as a GBNF grammar. */
  schemaToGrammar(schema: string): string;
  /** Reads an answer by the model's own syntax; each reading is of all its text. */
  AnswerReader: new (
    syntax: NativeSyntax,
  ) => AnswerReader;
}

/** What an engine needs of native code. */
export type EngineBinding = Pick<NativeBinding, 'NativeEngine' | 'schemaToGrammar' | 'AnswerReader'> & {
  variant: NativeBinding['variant'] | 'simulated';
};

const BASELINE = ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe'];

/** Features of x86-64-v3 that a /proc/cpuinfo text does not list; none where it has no flags (not x86). */
export function missingCpuFeatures(cpuinfo: string): string[] {
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1];
  if (flags === undefined) return [];
  const present = new Set(flags.trim().split(/\s+/));
  return BASELINE.filter((feature) => !present.has(feature));
}

let loaded: NativeBinding | undefined;

/** Path of the addon that `loadBinding` opens. Throws NATIVE_MISSING where there is none. */
export function bindingPath(): string {
  const load = createRequire(import.meta.url)('node-gyp-build') as { resolve(folder: string): string };
  try {
    return load.resolve(packageRoot);
  } catch (cause) {
    throw new AdaptiveSpecError(
      'NATIVE_MISSING',
      `There is no native addon for ${process.platform}-${process.arch} in ${packageRoot}`,
      `Build it: cd ${packageRoot} && npm install && npm run build (needs a C++20 compiler, CMake, make or ninja, Python 3, git).`,
      { cause },
    );
  }
}

/**
 * Opens the addon, once per process.
 * Throws CPU_UNSUPPORTED below x86-64-v3, and NATIVE_MISSING where no addon is there or it can't be opened.
 */
export function loadBinding(): NativeBinding {
  if (loaded) return loaded;
  const path = bindingPath();
  checkCpu(process.arch === 'x64' && process.platform === 'linux' ? readCpuinfo() : '');
  // ggml's own abort handler would start a debugger to print a stack trace.
  process.env.GGML_NO_BACKTRACE ??= '1';
  try {
    loaded = createRequire(import.meta.url)(path) as NativeBinding;
  } catch (cause) {
    throw new AdaptiveSpecError(
      'NATIVE_MISSING',
      `The native addon ${path} can't be opened: ${cause instanceof Error ? cause.message : String(cause)}`,
      `Build it again: cd ${packageRoot} && npm install && npm run build.`,
      { cause },
    );
  }
  return loaded;
}

/** Throws CPU_UNSUPPORTED where the CPU that the text of /proc/cpuinfo describes is below x86-64-v3. */
export function checkCpu(cpuinfo: string): void {
  const missing = missingCpuFeatures(cpuinfo);
  if (missing.length === 0) return;
  throw new AdaptiveSpecError(
    'CPU_UNSUPPORTED',
    `This CPU lacks ${missing.join(', ')}, which the addon is compiled for (x86-64-v3)`,
    'Use a machine with AVX2 and FMA (Intel Haswell, AMD Excavator, or newer); in a virtual machine, pass the host CPU through.',
  );
}

function readCpuinfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return ''; // A sandbox without /proc: nothing to check by.
  }
}
