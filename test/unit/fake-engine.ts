// An engine without models for tests of the server: a word a step, and steps only when the test says so.

import { resolveController } from '../../lib/control/controllers.js';
import type { ChatTemplateOptions, EngineEvents, EngineInfo, TokenizeOptions } from '../../lib/engine.js';
import { AdaptiveSpecError } from '../../lib/errors.js';
import { Generation } from '../../lib/generation.js';
import type { Message, RequestOptions } from '../../lib/options.js';
import { checkRequestOptions } from '../../lib/options.js';
import type { FinishReason, GenerationResult } from '../../lib/result.js';
import type { ServedEngine } from '../../lib/serve/served-engine.js';
import { stepReport } from './step-report.js';

const CONTEXT = 512;

/** A generation that the fake engine runs. */
export interface FakeRun {
  readonly options: RequestOptions;
  readonly aborted: boolean;
  readonly over: boolean;
  /** Emits the next word, as one step. */
  step(): void;
  /** Emits what is left of the text, and ends. */
  finish(changes?: Partial<GenerationResult>): void;
  fail(error: Error): void;
}

export class FakeEngine implements ServedEngine {
  readonly info: EngineInfo;
  readonly costs = undefined;
  /** Every generation that was begun. */
  readonly runs: FakeRun[] = [];
  /** What every generation says. */
  words = ['Once', ' upon', ' a', ' time'];
  /** Tokens of every prompt that are there already. */
  reused = 0;
  /** Whether generations run to their end at once. */
  automatic = true;
  readonly #listeners = new Set<[string, (...values: never[]) => void]>();

  constructor(info: Partial<EngineInfo> = {}) {
    this.info = {
      model: '/models/fake-model.gguf',
      description: 'fake',
      parameters: 1,
      modelBytes: 1,
      vocabularySize: 1000,
      contextSize: CONTEXT,
      trainedContext: CONTEXT,
      threads: 1,
      draftThreads: 1,
      kernels: 'ggml',
      parallel: 1,
      maxDepth: 8,
      branches: 0,
      drafters: ['model'],
      hasChatTemplate: true,
      variant: 'native',
      loadMs: 0,
      ...info,
    };
  }

  on<Name extends keyof EngineEvents>(event: Name, listener: (...values: EngineEvents[Name]) => void) {
    const entry: [string, (...values: never[]) => void] = [event, listener as (...values: never[]) => void];
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  tokenize(text: string, { addSpecial = true }: TokenizeOptions = {}): Int32Array {
    const words = text.split(' ').map((word) => word.length);
    return Int32Array.from(addSpecial ? [0, ...words] : words);
  }

  detokenize(tokens: Int32Array | readonly number[]): string {
    if (Array.from(tokens).some((token) => token >= this.info.vocabularySize || token < 0)) {
      throw new AdaptiveSpecError('INVALID_ARGUMENT', 'Token 0 is no id of this model', 'Give others.');
    }
    return Array.from(tokens, (token) => 'x'.repeat(token)).join(' ');
  }

  pieces(tokens: Int32Array | readonly number[]): Uint8Array[] {
    // The first two are half a character each.
    return Array.from(tokens, (token) =>
      token < 2 ? Buffer.of(0xf0, 0x9f) : Buffer.from('x'.repeat(token)),
    );
  }

  applyChatTemplate(messages: readonly Message[], options: ChatTemplateOptions = {}): string {
    const { tools = [], addGenerationPrompt = true, continueFinalMessage, enableThinking = true } = options;
    const offered = tools.map(({ function: { name } }) => `[${name}]`).join('');
    const end = continueFinalMessage ? '' : addGenerationPrompt ? (enableThinking ? '>' : '!>') : '.';
    return offered + messages.map(({ role, content }) => `${role}: ${content}`).join('|') + end;
  }

  async tokenizeAsync(text: string, options: TokenizeOptions = {}): Promise<Int32Array> {
    return this.tokenize(text, options);
  }

  async applyChatTemplateAsync(
    messages: readonly Message[],
    options: ChatTemplateOptions = {},
  ): Promise<string> {
    return this.applyChatTemplate(messages, options);
  }

  async countPromptTokensAsync(options: RequestOptions): Promise<number> {
    return this.countPromptTokens(options);
  }

  countPromptTokens(options: RequestOptions): number {
    return this.tokenize(this.applyChatTemplate(options.messages!)).length;
  }

  generate(options: RequestOptions): Generation {
    const generation = new Generation();
    try {
      const request = checkRequestOptions(options);
      resolveController(request.controller, { depth: request.depth });
      const prompt =
        typeof request.prompt === 'string'
          ? request.prompt
          : (request.messages?.map(({ content }) => content).join(' ') ?? '');
      const tokens = Array.isArray(request.prompt) ? request.prompt.length : this.tokenize(prompt).length;
      if (tokens > CONTEXT) {
        const message = `A prompt of ${tokens} tokens exceeds the available context size of ${CONTEXT} tokens`;
        throw new AdaptiveSpecError('CONTEXT_OVERFLOW', message, 'Shorten it.');
      }
      this.#begin(options, generation, tokens);
    } catch (error) {
      generation.fail(error);
    }
    return generation;
  }

  #emit<Name extends keyof EngineEvents>(event: Name, ...values: EngineEvents[Name]): void {
    for (const [name, listener] of this.#listeners) if (name === event) listener(...(values as never[]));
  }

  #begin(options: RequestOptions, generation: Generation, promptTokens: number): void {
    const id = this.runs.length + 1;
    const limit = options.maxTokens ?? 256;
    const words = this.words.slice(0, limit);
    const steps: { depth: number; drafted: number; accepted: number }[] = [];
    let text = '';
    let aborted = false;
    const report = (fields: Parameters<typeof stepReport>[0]) => {
      const made = stepReport({ ...fields, load: { running: 1, waiting: 0 } });
      if (generation.wantsSteps) generation.push({ type: 'step', step: made });
      this.#emit('step', made, id);
    };
    let begun = false;
    const begin = () => {
      if (begun) return;
      begun = true;
      this.#emit('prompt', { promptTokens, reusedPromptTokens: this.reused, promptMs: 5 }, id);
      report({ step: 0, contextLength: promptTokens });
    };
    const step = () => {
      begin();
      const word = words[steps.length]!;
      text += word;
      // Two drafted, one of them right, in every second step.
      const drafted = steps.length % 2 === 1 ? 2 : 0;
      this.#emit('plan', { controller: 'auto', depth: drafted, milliseconds: 0.5, errors: 0 }, id);
      steps.push({ depth: drafted, drafted, accepted: drafted / 2 });
      const counts = { depth: drafted, drafted, accepted: drafted / 2, tokens: Int32Array.of(steps.length) };
      report({
        step: steps.length,
        ...counts,
        text: word,
        draftMs: 1,
        verifyMs: 2,
        contextLength: promptTokens,
      });
      generation.push({ type: 'text', text: word });
    };
    // Arguments in two pieces.
    const answer = ({ content = '', toolCalls = [] }: Partial<GenerationResult>) => {
      if (content !== '') generation.push({ type: 'content', text: content });
      for (const [index, { id, name, arguments: written }] of toolCalls.entries()) {
        generation.push({ type: 'call', index, id, name });
        const middle = written.length >> 1;
        for (const text of [written.slice(0, middle), written.slice(middle)]) {
          generation.push({ type: 'arguments', index, text });
        }
      }
    };
    const end = (changes: Partial<GenerationResult>) => {
      const reason: FinishReason = limit < this.words.length ? 'length' : 'stop';
      const made = resultOf(text, promptTokens, steps, reason);
      made.stats.reusedPromptTokens = this.reused;
      const result = { ...made, ...changes };
      generation.finish(result);
      this.#emit('finish', result, id);
    };
    const run: FakeRun = {
      options,
      get aborted() {
        return aborted;
      },
      get over() {
        return generation.isOver;
      },
      step,
      finish: (changes = {}) => {
        while (steps.length < words.length) step();
        if (options.tools && options.toolChoice !== 'none') answer({ content: text, ...changes });
        end(changes);
      },
      fail: (error) => generation.fail(error),
    };
    generation.connect({
      id,
      promptTokens,
      follow: () => {},
      abort: () => {
        aborted = true;
        // As the engine does: not within the call.
        setImmediate(() => end({ finishReason: 'aborted' }));
      },
    });
    this.runs.push(run);
    setImmediate(() => {
      if (generation.isOver) return;
      begin();
      if (this.automatic) run.finish();
    });
  }
}

function resultOf(
  text: string,
  promptTokens: number,
  steps: { depth: number; drafted: number; accepted: number }[],
  finishReason: FinishReason,
): GenerationResult {
  const sum = (name: 'drafted' | 'accepted') => steps.reduce((total, step) => total + step[name], 0);
  const completionTokens = steps.length;
  return {
    text,
    tokens: steps.map((_, i) => i + 1),
    finishReason,
    usage: { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens },
    seed: 1,
    steps,
    stats: {
      steps: steps.length,
      draftTokens: sum('drafted'),
      verifiedTokens: sum('drafted'),
      acceptedTokens: sum('accepted'),
      branchTokens: 0,
      acceptedBranchTokens: 0,
      acceptanceRate: sum('drafted') > 0 ? sum('accepted') / sum('drafted') : 0,
      meanAcceptanceLength: 1,
      acceptancePerPosition: [1],
      reusedPromptTokens: 0,
      tokensPerSecond: 100,
      promptTokensPerSecond: 1000,
      timeToFirstTokenMs: 10,
      queueMs: 0,
      promptMs: 5,
      decodeMs: 10 * steps.length,
      draftMs: 1,
      verifyMs: 2,
      catchUpMs: 0,
      otherMs: 0,
      controller: {
        name: 'auto',
        calls: steps.length,
        meanMicroseconds: 10,
        waitMs: 1,
        latePlans: 0,
        errors: 0,
        wastedDrafts: 0,
      },
      auditLinesDropped: 0,
    },
  };
}
