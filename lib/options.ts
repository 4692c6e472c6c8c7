// What a caller may ask for: the options' types, their defaults, and the check that comes before everything else.

import { availableParallelism } from 'node:os';
import * as v from 'valibot';
import { closestName } from './control/closest-name.js';
import { type Controller, MAX_DEPTH } from './control/controller.js';
import type { ControllerName } from './control/controllers.js';
import { AdaptiveSpecError, type ErrorCode } from './errors.js';
import { mustFitTogether, structuredFields } from './structured/fields.js';
import type { ResponseFormat } from './structured/structure.js';
import type { Tool, ToolCall, ToolChoice } from './structured/tools.js';

/** Something that went wrong without ending what was asked for. */
export interface Warning {
  code: ErrorCode;
  message: string;
}

/** How far a download, a load or a calibration is. */
export interface Progress {
  phase: 'download' | 'load' | 'calibrate';
  /** File or model. */
  name: string;
  /** Bytes where a download, 0 to 1 else. */
  done: number;
  /** Missing where a server doesn't say. */
  total?: number;
}

/** What an engine is made of. */
export interface EngineOptions {
  /**
   * Target model: a name of the catalogue, a path, `https://…` or `hf:owner/repo/file.gguf`.
   * Default: SmolLM2-135M-Instruct, together with its draft.
   */
  model?: string;
  /**
   * Draft model, given like `model`; false for none. Default: none for a `model` that was given. An EAGLE-3 or DFlash
   * head is given like a draft model; 'mtp' is the MTP layer that the target itself brings (docs/drafters.md).
   */
  draft?: string | false;
  /** Tokens of prompt and output together, per request. Default: 4096, or what the model was trained for. */
  contextSize?: number;
  /** Requests that run at once; more wait. Default 1. Each takes a share of memory of its own. */
  parallel?: number;
  /** Requests that may wait for others to end; one more is rejected with BUSY. Default 256. */
  queue?: number;
  /**
   * Bytes that weights, caches and buffers may take, checked before anything is loaded: OUT_OF_MEMORY where they would
   * take more. Default: what the machine has.
   */
  maxMemory?: number;
  /** Largest depth that plans may ask for, 1 to 64. Default 32. */
  maxDepth?: number;
  /**
   * Most paths that can leave a step's draft for guesses beside it, 0 to 15; a request's `tree` or a plan's says how many
   * tokens are verified.
   * (branches + 1) * parallel is at most 256. Default 0: drafts are chains.
   */
  branches?: number;
  /** Prompt tokens per batch. Default 512. */
  batchSize?: number;
  /** Threads of the target. Default and limit: what this process may use. */
  threads?: number;
  /** Threads of the draft model. Default: the number, up to `threads`, that is found fastest at load. */
  draftThreads?: number;
  /** Map the model file rather than read it. Default true. */
  mmap?: boolean;
  /** Keep the model in memory, away from swap. Default false. */
  mlock?: boolean;
  /** Type of the KV cache. Default 'f16'. */
  kvCacheType?: KvCacheType;
  /**
   * What computes the matrix products. 'auto' (default) is 'avx512' or 'avx2', the best that this CPU runs: weights
   * are repacked at load, a row's result is the same in any batch. 'amx' is no faster where it was measured. 'ggml'
   * leaves them to llama.cpp.
   */
  kernels?: 'auto' | 'amx' | 'avx512' | 'avx2' | 'ggml';
  /**
   * One pass over the KV cache. 'auto' (default) is our kernels' own where they run and can compute it, and off else:
   * llama.cpp's sums otherwise for one row than for several. 'on' takes llama.cpp's too.
   */
  flashAttention?: 'auto' | 'on' | 'off';
  /** 'interleave' spreads weights and caches over the nodes (ours, by mbind); the rest is ggml's. Default 'none'. */
  numa?: 'none' | 'interleave' | 'distribute' | 'isolate' | 'numactl';
  /** How long a step waits for its plan, in milliseconds, before it goes on with the last one. Default 20. */
  planDeadlineMs?: number;
  /**
   * What a step costs, for controllers to plan by. 'auto' (default): the table that an earlier calibration has cached,
   * kept current by live steps, or what live steps teach. 'load': measured at load, for up to ten seconds, where none
   * is cached. 'off': controllers are told nothing.
   */
  calibrate?: 'auto' | 'load' | 'off';
  /** Where changes of K are logged. Default: the file that ADAPTIVE_SPEC_AUDIT names, or nowhere. */
  audit?: { path?: string; onError?: 'drop' | 'fail' };
  /**
   * Keep the text of finished requests, for `ngram` and `hybrid` to draft from in later ones. `true` keeps it in memory;
   * with a `path` it is read from that file at load and written there at close. Default false: each request drafts from
   * its own text alone, so that no request's speed tells anything of another one's text.
   */
  ngramStore?: boolean | NgramStoreOptions;
  /** A chat template in Jinja, as text, in place of the model's own. Default: the model's own. */
  chatTemplate?: string;
  /** Use no network: a model that isn't there yet is an error. Default false. */
  offline?: boolean;
  onProgress?: (progress: Progress) => void;
  /** Told of warnings. Default: Node's `process.emitWarning`. */
  onWarning?: (warning: Warning) => void;
}

/** Where text of finished requests is kept, and how much. */
export interface NgramStoreOptions {
  /** A file that is made where there is none. Default: none, and the text goes with the engine. */
  path?: string;
  /** Tokens, of 36 bytes each, that are kept at most; the oldest go first. 1024 to 4,194,304. Default 1,048,576. */
  maxTokens?: number;
}

export type KvCacheType = (typeof KV_CACHE_TYPES)[number];
export const KV_CACHE_TYPES = [
  'f16',
  'bf16',
  'f32',
  'q8_0',
  'q5_1',
  'q5_0',
  'q4_1',
  'q4_0',
  'iq4_nl',
] as const;

/** How `Engine.calibrate` measures. */
export interface CalibrateOptions {
  /** Time to measure in, in milliseconds. Default 10,000. The first row is measured whatever it is. */
  budgetMs?: number;
  /** Numbers of rows to measure, and no others. Default: the usual ones up to 65 that the engine was made for. */
  rows?: readonly number[];
  /** Tokens in the KV cache before. Default 0, and a longer one for the slope over the context. */
  contextLength?: number;
  /** How often each number of rows is measured, whatever time that takes. Default: as often as fits. */
  repeats?: number;
  /** Told how far it is; phase 'calibrate'. */
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

/** What a session begins from. */
export interface SessionOptions {
  /** A file that `Session.save` has written. */
  restore?: string;
}

/** One message of a conversation. */
export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool' | (string & {});
  content: string;
  /** Of an assistant's message: the calls that it made. */
  toolCalls?: readonly ToolCall[];
  /** Of a tool's message: the call that it answers, and the tool's name. */
  toolCallId?: string;
  name?: string;
}

/**
 * DRY ("don't repeat yourself"), by llama.cpp's sampler: of a token that would go on a sequence of n tokens that the text
 * has had before, n >= allowedLength, the logit loses multiplier * base ^ (n - allowedLength). Greedy texts too.
 */
export interface DryOptions {
  /** 0 to 100; 0 (default) is off, 0.8 is usual. */
  multiplier?: number;
  /** 1 to 100. Default 1.75. */
  base?: number;
  /** Longest repetition that costs nothing, in tokens. Default 2. */
  allowedLength?: number;
  /** How many of the last tokens, the prompt's included, are looked at. Default: all that the context holds. */
  lastN?: number;
  /** No repetition goes across one of these, up to 16 strings of 40 bytes. Default: newline, colon, quote, asterisk. */
  breakers?: readonly string[];
}

/** What to generate, and how. Exactly one of `prompt` and `messages` is needed. */
export interface RequestOptions {
  /** Text, or token ids as the target model has them. Special tokens' names in a text become those tokens. */
  prompt?: string | Int32Array | readonly number[];
  /** A conversation, put into words by the model's own chat template. */
  messages?: readonly Message[];
  /** The last message is an assistant's answer that has begun: the text goes on from its end. Default false. */
  continueFinalMessage?: boolean;
  /** Whether the model may think before it answers, where the chat template knows how to keep it from that. Default true. */
  enableThinking?: boolean;
  /** One of `controllerNames`, a function from a report to a depth, or an object. Default 'auto'. */
  controller?: Controller | ControllerName | (string & {});
  /** The depth of the controller 'fixed', which it alone means too. */
  depth?: number;
  /** Largest depth of this request's plans, 1 to the engine's `maxDepth`, which is the default. */
  maxDepth?: number;
  /** Who drafts where a plan names none, one of `engine.info.drafters`. Default: the first of these. */
  drafter?: 'model' | 'ngram' | 'hybrid' | 'eagle3' | 'mtp' | 'dflash' | (string & {});
  /**
   * Whether an engine with an `ngramStore` keeps this request's text and drafts from other requests' text for it.
   * Default true.
   */
  share?: boolean;
  /**
   * Go on from what an earlier request with the same name here has read, as far as the prompts begin alike, and leave this
   * one's text for later ones. An engine keeps as many such texts as it has `parallel`. Default: nothing is kept, so that
   * no request's speed tells anything of another one's text.
   */
  cache?: string;
  /**
   * Draft tokens verified at most in a step, guesses beside the draft included, for plans that say nothing of a tree:
   * 0 to 64. Needs an engine with `branches`, which `generate()` makes. Default 0: drafts are chains.
   */
  tree?: number;
  /** Most tokens to emit. Default 256. */
  maxTokens?: number;
  /** 0 (default) always takes the likeliest token; above, tokens are drawn from the target's own distribution. */
  temperature?: number;
  /**
   * How draft tokens are accepted where temperature is above 0. 'compare' (default): the target draws a token for every
   * place, and accepts the draft's where they are the same; one seed gives one text, whatever is drafted. 'rejection':
   * the draft model draws too, and its token is accepted with probability min(1, p / q): the same distribution, with more
   * tokens accepted where the draft's is like the target's, but the text also depends on what was drafted. At
   * temperature 0 both are the same.
   */
  acceptance?: 'compare' | 'rejection';
  /** Draw among so many likeliest tokens; 0 (default) among all. */
  topK?: number;
  /** Draw among the likeliest tokens that hold this much probability. Default 1: all. */
  topP?: number;
  /** Draw among tokens at least this probable, measured against the likeliest. Default 0: all. */
  minP?: number;
  /** Divides the logits of tokens that came lately. Default 1: none. */
  repeatPenalty?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  /** How many tokens "lately" is. Default 64. */
  penaltyLastN?: number;
  /** Takes weight off tokens that would go on a repetition; see `DryOptions`. Default: none. */
  dry?: DryOptions;
  /**
   * Token ids and what is added to the logit of each, before all samplers: -1000 to 1000, or -Infinity, which rules the
   * token out. Up to 4096 of them; those of one token add up. Log-probabilities are told without. Default: none.
   */
  logitBias?: readonly (readonly [token: number, bias: number])[];
  /** Start of the random numbers, 0 to 2^32 - 1. Default: a new one, which the result names. */
  seed?: number;
  /** The text ends before the first of these. */
  stop?: string | readonly string[];
  /** How the text must look: JSON, or JSON by a schema. It can look no other way. Default: as the model likes. */
  responseFormat?: ResponseFormat;
  /** A GBNF grammar, with a rule `root`, that the text must keep to. */
  grammar?: string;
  /** Functions that the model may call; needs `messages`. */
  tools?: readonly Tool[];
  /** Default 'auto'. */
  toolChoice?: ToolChoice;
  /**
   * Tell of every emitted token how probable it was, and of so many of the likeliest tokens in its place, 0 to 20: in the
   * result and in parts of the stream. By the target's own distribution, before any sampler. Default: nothing is told.
   */
  logprobs?: number;
  /** Whether one answer may call several tools. Default false. */
  parallelToolCalls?: boolean;
  /** Go on past the model's end of generation, for benchmarks. Default false. */
  ignoreEos?: boolean;
  /** Keep depth, drafted and accepted of every step in the result. Default false. */
  steps?: boolean;
  /**
   * A file that gets every step as JSON lines, gzipped where its name ends in .gz. The first request of an engine that
   * names it makes it anew, later ones add to it. What can't be written costs the trace and a warning, never the text.
   */
  trace?: string;
  signal?: AbortSignal;
  /** Told of this request's warnings. Default: the engine's `onWarning`. */
  onWarning?: (warning: Warning) => void;
  /** What an abort does to the promise: 'throw' (default) rejects with the signal's reason, 'return' resolves. */
  onAbort?: 'throw' | 'return';
}

/** `EngineOptions` after the check; what depends on the model file is still open. */
export type CheckedEngineOptions = ReturnType<typeof checkEngineOptions>;
/** `RequestOptions` after the check; what depends on the model is still open. */
export type CheckedRequest = ReturnType<typeof checkRequestOptions>;

/** Tokens that an `ngramStore` keeps where nothing else is said. */
export const STORE_TOKENS = 1_048_576;

/** Branches of an engine that is made for a tree, where none are named. */
export const DEFAULT_BRANCHES = 4;
const MAX_BRANCHES = 15;
/** Sequences that llama.cpp's cache can tell apart. */
const MAX_SEQUENCES = 256;
const MAX_CONTEXT = 16_777_216;
const MAX_SEED = 4_294_967_295;

const integer = (min: number, max: number) => {
  const expected = `a whole number from ${min} to ${max}`;
  return v.pipe(
    v.number(expected),
    v.integer(expected),
    v.minValue(min, expected),
    v.maxValue(max, expected),
  );
};

const real = (min: number, max: number) => {
  const expected = `a number from ${min} to ${max}`;
  return v.pipe(v.number(expected), v.minValue(min, expected), v.maxValue(max, expected));
};

const flag = v.boolean('true or false');
const CACHE_NAME = 'a name of up to 200 characters';
const oneOf = <const T extends readonly string[]>(names: T) =>
  v.picklist(names, `one of ${names.map((name) => `'${name}'`).join(', ')}`);

const callback = <T>(expected: string) => v.custom<T>((value) => typeof value === 'function', expected);

const modelReference = v.pipe(
  v.string('a path, an address or a name of the catalogue, as a string'),
  v.minLength(1, 'a path, an address or a name of the catalogue'),
  v.check((text) => !text.includes('\0'), 'a path without NUL characters'),
);

const filePath = v.pipe(
  v.string('the path of a file'),
  v.minLength(1, 'the path of a file'),
  v.check((path) => !path.includes('\0'), 'a path without NUL characters'),
);

const MAX_TEMPLATE = 1024 * 1024;

const engineFields = {
  model: v.optional(modelReference),
  draft: v.optional(v.union([v.literal(false), modelReference], 'a path, an address, or false for no draft')),
  contextSize: v.optional(integer(16, MAX_CONTEXT)),
  parallel: v.optional(integer(1, 64), 1),
  queue: v.optional(integer(0, 1_000_000), 256),
  maxMemory: v.optional(integer(1, Number.MAX_SAFE_INTEGER)),
  maxDepth: v.optional(integer(1, MAX_DEPTH), 32),
  branches: v.optional(integer(0, MAX_BRANCHES), 0),
  batchSize: v.optional(integer(1, 8192), 512),
  threads: v.optional(integer(1, 4096)),
  draftThreads: v.optional(integer(1, 4096)),
  mmap: v.optional(flag, true),
  mlock: v.optional(flag, false),
  kvCacheType: v.optional(oneOf(KV_CACHE_TYPES), 'f16'),
  kernels: v.optional(oneOf(['auto', 'amx', 'avx512', 'avx2', 'ggml']), 'auto'),
  flashAttention: v.optional(oneOf(['auto', 'on', 'off']), 'auto'),
  numa: v.optional(oneOf(['none', 'interleave', 'distribute', 'isolate', 'numactl']), 'none'),
  planDeadlineMs: v.optional(real(0, 60_000), 20),
  calibrate: v.optional(oneOf(['auto', 'load', 'off']), 'auto'),
  audit: v.optional(
    v.strictObject(
      {
        path: v.optional(v.string('the path of a file')),
        onError: v.optional(oneOf(['drop', 'fail'])),
      },
      "an object with 'path' and 'onError' only",
    ),
  ),
  ngramStore: v.optional(
    v.union(
      [
        v.boolean(),
        v.strictObject({
          path: v.optional(filePath),
          maxTokens: v.optional(integer(1024, 4_194_304), STORE_TOKENS),
        }),
      ],
      "true, false, or an object with 'path' and 'maxTokens' (1024 to 4194304) only",
    ),
    false,
  ),
  chatTemplate: v.optional(
    v.pipe(
      v.string('a template, as a string'),
      v.minLength(1, 'a template that is not empty'),
      v.maxLength(MAX_TEMPLATE, `a template of up to ${MAX_TEMPLATE} characters`),
      v.check((text) => !text.includes('\0'), 'a template without NUL characters'),
    ),
  ),
  offline: v.optional(flag, false),
  onProgress: v.optional(callback<(progress: Progress) => void>('a function')),
  onWarning: v.optional(callback<(warning: Warning) => void>('a function')),
};

const message = v.object(
  {
    role: v.string("a string such as 'user'"),
    content: v.string('a string'),
    toolCalls: v.optional(
      v.array(
        v.object({
          id: v.string('a string'),
          name: v.string('a string'),
          arguments: v.string('JSON as a string'),
        }),
        'an array of { id, name, arguments }',
      ),
    ),
    toolCallId: v.optional(v.string('a string')),
    name: v.optional(v.string('a string')),
  },
  'an object with role and content',
);

const stopString = v.pipe(v.string('a string'), v.minLength(1, 'a string that is not empty'));

/** llama.cpp reads no more of a breaker. */
const MAX_BREAKER_BYTES = 40;
const breaker = v.pipe(
  stopString,
  v.check(
    (text) => !text.includes('\0') && Buffer.byteLength(text) <= MAX_BREAKER_BYTES,
    `a string of up to ${MAX_BREAKER_BYTES} bytes without a zero character`,
  ),
);
const dry = v.strictObject(
  {
    multiplier: v.optional(real(0, 100), 0),
    base: v.optional(real(1, 100), 1.75),
    allowedLength: v.optional(integer(1, MAX_CONTEXT), 2),
    lastN: v.optional(integer(0, MAX_CONTEXT)),
    // Each is looked for in the whole vocabulary, when the request begins.
    breakers: v.optional(
      v.pipe(v.array(breaker, 'an array of strings'), v.maxLength(16, 'up to 16 strings')),
      ['\n', ':', '"', '*'],
    ),
  },
  "an object with 'multiplier', 'base', 'allowedLength', 'lastN' and 'breakers' only",
);

const BIAS = 'a number from -1000 to 1000, or -Infinity';
const bias = v.tuple(
  [
    integer(0, MAX_CONTEXT),
    v.pipe(
      v.number(BIAS),
      v.check((value) => value === Number.NEGATIVE_INFINITY || Math.abs(value) <= 1000, BIAS),
    ),
  ],
  'a pair of a token id and a bias',
);

const requestFields = {
  prompt: v.optional(
    v.custom<string | Int32Array | readonly number[]>(
      (value) => typeof value === 'string' || value instanceof Int32Array || Array.isArray(value),
      'a string, or token ids in an array',
    ),
  ),
  messages: v.optional(
    v.pipe(v.array(message, 'an array of { role, content }'), v.minLength(1, 'at least one message')),
  ),
  continueFinalMessage: v.optional(flag, false),
  enableThinking: v.optional(flag, true),
  // resolveController knows best what these two may be.
  controller: v.optional(v.custom<Controller | string>(() => true)),
  depth: v.optional(integer(0, MAX_DEPTH)),
  maxDepth: v.optional(integer(1, MAX_DEPTH)),
  drafter: v.optional(v.string('the name of a drafter')),
  share: v.optional(flag, true),
  cache: v.optional(v.pipe(v.string(CACHE_NAME), v.maxLength(200, CACHE_NAME))),
  tree: v.optional(integer(0, MAX_DEPTH), 0),
  maxTokens: v.optional(integer(1, MAX_CONTEXT), 256),
  temperature: v.optional(real(0, 100), 0),
  acceptance: v.optional(oneOf(['compare', 'rejection']), 'compare'),
  topK: v.optional(integer(0, 1_000_000), 0),
  topP: v.optional(real(0, 1), 1),
  minP: v.optional(real(0, 1), 0),
  repeatPenalty: v.optional(real(0.01, 100), 1),
  frequencyPenalty: v.optional(real(-100, 100), 0),
  presencePenalty: v.optional(real(-100, 100), 0),
  penaltyLastN: v.optional(integer(0, MAX_CONTEXT), 64),
  dry: v.optional(dry, {}),
  logitBias: v.optional(
    v.pipe(
      v.array(bias, 'an array of pairs of a token id and a bias'),
      v.maxLength(4096, 'up to 4096 pairs'),
    ),
    [],
  ),
  seed: v.optional(integer(0, MAX_SEED)),
  stop: v.optional(
    v.union(
      [stopString, v.pipe(v.array(stopString), v.maxLength(64))],
      'a string, or up to 64 strings, none of them empty',
    ),
    [],
  ),
  ...structuredFields,
  logprobs: v.optional(integer(0, 20)),
  ignoreEos: v.optional(flag, false),
  steps: v.optional(flag, false),
  trace: v.optional(filePath),
  signal: v.optional(v.instance(AbortSignal, 'an AbortSignal')),
  onWarning: v.optional(callback<(warning: Warning) => void>('a function')),
  onAbort: v.optional(oneOf(['throw', 'return']), 'throw'),
};

const calibrateFields = {
  budgetMs: v.optional(real(0, 3_600_000), 10_000),
  rows: v.optional(
    v.pipe(
      v.array(integer(1, 64 * (MAX_DEPTH + 1)), 'an array of numbers of rows'),
      v.minLength(1, 'at least one number of rows'),
    ),
  ),
  contextLength: v.optional(integer(0, MAX_CONTEXT)),
  repeats: v.optional(integer(1, 10_000)),
  onProgress: v.optional(callback<(progress: Progress) => void>('a function')),
  signal: v.optional(v.instance(AbortSignal, 'an AbortSignal')),
};

const engineSchema = v.object(engineFields);
const calibrateSchema = v.object(calibrateFields);
const requestSchema = v.object(requestFields);

/** Checks an engine's options. Throws INVALID_ARGUMENT. */
export function checkEngineOptions(options: unknown) {
  refuseUnknown(options, Object.keys(engineFields));
  const checked = parse(engineSchema, options);
  if ((checked.branches + 1) * checked.parallel > MAX_SEQUENCES) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `${checked.parallel} parallel requests with ${checked.branches} branches each are too many`,
      `Keep (branches + 1) * parallel at ${MAX_SEQUENCES} or below.`,
    );
  }
  return checked;
}

/** Checks a request's options. Throws INVALID_ARGUMENT. */
export function checkRequestOptions(options: unknown) {
  refuseUnknown(options, Object.keys(requestFields));
  const checked = parse(requestSchema, options);
  if ((checked.prompt === undefined) === (checked.messages === undefined)) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      checked.prompt === undefined
        ? 'There is neither a prompt nor messages'
        : 'There are both a prompt and messages',
      "Give one of them: { prompt: 'Once upon a time' } or { messages: [{ role: 'user', content: '…' }] }.",
    );
  }
  mustFitTogether(checked);
  mustContinue(checked);
  return checked;
}

/** Throws INVALID_ARGUMENT where there is no answer to go on with. */
function mustContinue({ continueFinalMessage, messages, tools }: v.InferOutput<typeof requestSchema>): void {
  if (!continueFinalMessage) return;
  const last = messages?.at(-1);
  if (last?.role === 'assistant' && last.toolCalls === undefined && tools === undefined) return;
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    'There is no answer for continueFinalMessage to go on with',
    "Give messages of which the last has the role 'assistant' and no calls, and no tools.",
  );
}

/** Checks the path of a file that an option or an argument names. Throws INVALID_ARGUMENT. */
export function checkPath(path: unknown): string {
  return parse(v.object({ path: filePath }), { path }).path;
}

/** Checks the options of a session. Throws INVALID_ARGUMENT. */
export function checkSessionOptions(options: unknown) {
  const fields = { restore: v.optional(filePath) };
  refuseUnknown(options, Object.keys(fields));
  return parse(v.object(fields), options);
}

/** Checks the options of a calibration. Throws INVALID_ARGUMENT. */
export function checkCalibrateOptions(options: unknown) {
  refuseUnknown(options, Object.keys(calibrateFields));
  return parse(calibrateSchema, options);
}

/** The options of `generate`, told apart: those of the engine, those of the request; onWarning is both's. */
export function splitOptions(options: unknown): { engine: object; request: object } {
  refuseUnknown(options, [...Object.keys(requestFields), ...Object.keys(engineFields)]);
  const engine: Record<string, unknown> = {};
  const request: Record<string, unknown> = {};
  for (const [name, value] of entries(options)) {
    if (name in engineFields) engine[name] = value;
    if (name in requestFields) request[name] = value;
  }
  return { engine, request };
}

/** Threads that this process may use: its affinity mask counts, not the machine. */
export function threadLimit(): number {
  return availableParallelism();
}

function refuseUnknown(options: unknown, known: string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      'The options are no object',
      "Give an object, such as { prompt: 'Once upon a time' }.",
    );
  }
  const unknown = keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const near = closestName(unknown, known);
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `There is no option ${JSON.stringify(unknown.slice(0, 80))}`,
    near ? `Did you mean '${near}'?` : `Known options: ${known.join(', ')}.`,
  );
}

function parse<const T extends v.GenericSchema>(schema: T, options: unknown): v.InferOutput<T> {
  // The copy calls a caller's getters once, here, where what they throw is caught.
  const result = v.safeParse(schema, Object.fromEntries(entries(options)), { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `${v.getDotPath(issue) ?? 'An option'} is ${describe(issue.input)}`,
    `Give ${issue.message}.`,
  );
}

function keys(options: object): string[] {
  return guarded(() => Object.keys(options));
}

function entries(options: unknown): [string, unknown][] {
  return guarded(() => Object.entries(options as object));
}

function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      'The options threw when they were read',
      'Give a plain object.',
      { cause },
    );
  }
}

/** A value as messages show it. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60));
  if (typeof value === 'number' || value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
