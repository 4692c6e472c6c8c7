// What the server needs of an engine: `Engine` fulfils it, and so may anything else, such as a test's.

import type { CostTable } from '../control/costs.js';
import type { ChatTemplateOptions, EngineEvents, EngineInfo, TokenizeOptions } from '../engine.js';
import type { GenerationPart } from '../generation.js';
import type { Message, RequestOptions } from '../options.js';
import type { GenerationResult } from '../result.js';

/** A generation as the server holds it. */
export interface ServedGeneration extends PromiseLike<GenerationResult> {
  /** The engine's number of the request, as its events tell it; undefined where the request was refused. */
  readonly id: number | undefined;
  /** Tokens of the prompt; undefined where the request was refused. */
  readonly promptTokens: number | undefined;
  /** Resolves when `promptTokens` is known, or the generation is over. */
  readonly begun: Promise<void>;
  /** Text, steps, and the finish. Called once, at once. Ends with an exception where the generation fails. */
  events(): AsyncIterable<GenerationPart>;
  /** Stops at the next step. */
  abort(): void;
}

/** An engine that can be served. Everything is as `Engine` documents it. */
export interface ServedEngine {
  readonly info: EngineInfo;
  readonly costs: CostTable | undefined;
  generate(options: RequestOptions): ServedGeneration;
  tokenize(text: string, options?: TokenizeOptions): Int32Array;
  tokenizeAsync(text: string, options?: TokenizeOptions & { signal?: AbortSignal }): Promise<Int32Array>;
  detokenize(tokens: Int32Array | readonly number[]): string;
  pieces(tokens: Int32Array | readonly number[]): Uint8Array[];
  applyChatTemplate(messages: readonly Message[], options?: ChatTemplateOptions): string;
  applyChatTemplateAsync(
    messages: readonly Message[],
    options?: ChatTemplateOptions & { signal?: AbortSignal },
  ): Promise<string>;
  countPromptTokens(options: RequestOptions): number;
  countPromptTokensAsync(options: RequestOptions): Promise<number>;
  on<Name extends keyof EngineEvents>(
    event: Name,
    listener: (...values: EngineEvents[Name]) => void,
  ): () => void;
}
