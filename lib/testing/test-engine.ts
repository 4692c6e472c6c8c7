// An engine for users' own tests: everything of `Engine` but the models, whose answers are given and the same each time.

import type { EngineBinding } from '../binding.js';
import { Engine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import type { ModelPair } from '../models/pair.js';
import {
  type CheckedEngineOptions,
  checkEngineOptions,
  type EngineOptions,
  type RequestOptions,
} from '../options.js';
import { ReplyReader, type TestReply, type WrittenReply, writeReply } from './reply.js';
import { SimulatedNative, type Simulation } from './simulated-native.js';

/** What a test engine answers, and how its drafts fare. */
export interface TestEngineOptions
  extends Pick<EngineOptions, 'contextSize' | 'parallel' | 'maxDepth' | 'audit' | 'onWarning'> {
  /** Answers, one for each request in turn. A request beyond them fails with INVALID_ARGUMENT. */
  replies?: readonly TestReply[];
  /** Makes the answers instead. `index` counts the requests, from 0. Default: always the same sentence. */
  reply?: (request: RequestOptions, index: number) => TestReply | Promise<TestReply>;
  /** Probability that the target agrees with a draft token, 0 to 1. Default 0.7. */
  acceptance?: number;
  /** Start of the random numbers that decide where it does; a whole number. Default 0. */
  seed?: number;
  /** What every step waits, in milliseconds, 0 to 60,000. Default 0: steps take no time, whatever their reports say. */
  stepMs?: number;
  /** Names that plans may use. Default ['model']; none: the engine runs without speculation. */
  drafters?: readonly string[];
}

const SENTENCE = 'This is the test engine: it has no model, and says the same to everybody.';

/**
 * Makes an engine that needs no model and no native code. Validation, controllers, reports, streams, aborts, tool calls,
 * JSON and errors are the package's own; tokens are words, times are made up, and stop rules, trees, sampling and grammars
 * have no effect. Throws INVALID_ARGUMENT.
 */
export async function createTestEngine(options: TestEngineOptions = {}): Promise<Engine> {
  const { replies, reply, acceptance = 0.7, seed = 0, stepMs = 0, drafters = ['model'], ...rest } = options;
  mustBe('acceptance', acceptance, 'a number from 0 to 1', isWithin(acceptance, 1));
  mustBe('seed', seed, 'a whole number', Number.isSafeInteger(seed));
  mustBe('stepMs', stepMs, 'a number from 0 to 60000', isWithin(stepMs, 60_000));
  const areNames = Array.isArray(drafters) && drafters.every((name) => typeof name === 'string');
  mustBe('drafters', drafters, 'an array of names', areNames);
  mustBe('replies', replies, 'an array of replies', replies === undefined || Array.isArray(replies));
  mustBe('reply', reply, 'a function', reply === undefined || typeof reply === 'function');
  mustBe('replies', replies, 'either replies or reply', replies === undefined || reply === undefined);
  const checked = checkEngineOptions({ ...rest, calibrate: 'off' });
  const answer = reply ?? (replies ? fromList(replies) : () => SENTENCE);
  const simulation = { acceptance, seed, stepMs, drafters: [...drafters] };
  return TestEngine.make(checked, pairOf(checked), simulation, answer);
}

type Answer = NonNullable<TestEngineOptions['reply']>;

class TestEngine extends Engine {
  readonly #submitting: Submitting;

  static make(
    options: CheckedEngineOptions,
    pair: ModelPair,
    simulated: Omit<Simulation, 'reply'>,
    answer: Answer,
  ): Promise<Engine> {
    const submitting = new Submitting(answer);
    const simulation: Simulation = { ...simulated, reply: () => submitting.reply() };
    const binding: EngineBinding = {
      variant: 'simulated',
      NativeEngine: class extends SimulatedNative {
        constructor(...[engine, exchange, dispatch]: ConstructorParameters<EngineBinding['NativeEngine']>) {
          super(engine, exchange, dispatch, simulation);
        }
      },
      schemaToGrammar: () => 'root ::= any',
      AnswerReader: ReplyReader,
    };
    return Engine.load(binding, options, pair, new TestEngine(binding, options, pair, submitting));
  }

  private constructor(
    binding: EngineBinding,
    options: CheckedEngineOptions,
    pair: ModelPair,
    submitting: Submitting,
  ) {
    super(binding, options, pair);
    this.#submitting = submitting;
  }

  override start(...[request, generation, how]: Parameters<Engine['start']>): void {
    if (request.logprobs !== undefined) {
      throw new AdaptiveSpecError(
        'UNSUPPORTED',
        'A test engine has no probabilities',
        'Leave logprobs out, or test with an engine that has models.',
      );
    }
    this.#submitting.request = request as RequestOptions;
    this.#submitting.isQuiet = how?.quiet === true;
    super.start(request, generation, how);
  }
}

/** The request that is on its way to the native side, which is told of its prompt only. */
class Submitting {
  request: RequestOptions = {};
  /** Whether it is one of the engine's own, which measures steps. */
  isQuiet = false;
  readonly #answer: Answer;
  #count = 0;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  async reply(): Promise<WrittenReply> {
    const { request } = this;
    if (this.isQuiet) return { text: ' word'.repeat(request.maxTokens ?? 0), error: undefined };
    try {
      return writeReply(await this.#answer(request, this.#count++), request);
    } catch (cause) {
      if (cause instanceof AdaptiveSpecError) throw cause;
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        `The test engine's reply function threw ${cause}`,
        'Mend it; to fail a request on purpose, answer with { error }.',
        { cause },
      );
    }
  }
}

function fromList(replies: readonly TestReply[]): Answer {
  return (_, index) => {
    if (index < replies.length) return replies[index]!;
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The test engine has ${replies.length} replies, and this is request ${index + 1}`,
      'Give more replies, or a function as reply.',
    );
  };
}

/** What is known of a pair of models without any. */
function pairOf({ contextSize = 4096, maxDepth }: CheckedEngineOptions): ModelPair {
  return {
    target: {
      path: 'test-engine',
      bytes: 0,
      architecture: 'none',
      quantization: 'none',
      parameters: 0,
      vocabularySize: 0,
      contextLength: contextSize,
      embeddingLength: 0,
      layers: 0,
      cacheElements: 0,
      weightBytes: 0,
      tiedBytes: 0,
      readsStates: false,
      hasMtp: false,
      hasDraftMap: false,
      hasChatTemplate: true,
      id: '0000000000000000',
    },
    contextSize,
    maxDepth: Math.min(maxDepth, contextSize - 1),
    mtp: false,
  };
}

function isWithin(value: unknown, most: number): boolean {
  return typeof value === 'number' && value >= 0 && value <= most;
}

function mustBe(name: string, value: unknown, expected: string, holds: boolean): void {
  if (holds) return;
  throw new AdaptiveSpecError('INVALID_ARGUMENT', `${name} is ${String(value)}`, `Give ${expected}.`);
}
