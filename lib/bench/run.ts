// Runs one generation of one arm and takes its figures.

import { createHash } from 'node:crypto';
import type { Controller, StepReport } from '../control/controller.js';
import type { EngineInfo } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import type { Message, RequestOptions } from '../options.js';
import type { GenerationResult } from '../result.js';
import type { Arm } from './arms.js';
import type { BenchRun } from './bench-result.js';
import { firstLoop } from './loops.js';
import type { Part } from './prompt-sums.js';
import { detailSteps, type RunDetail, type StepSample, sampleOf, sumSteps } from './run-figures.js';

/** What a benchmark needs of an engine. */
export interface BenchEngine {
  readonly info: EngineInfo;
  generate(request: RequestOptions): PromiseLike<GenerationResult>;
  on(name: 'step', listener: (report: StepReport, requestId: number) => void): () => void;
}

/** A run with all that figures and comparisons are made of. */
export interface MeasuredRun {
  run: BenchRun;
  /** Of all tokens, and of those before the first loop. */
  details: Readonly<Record<Part, RunDetail>>;
  steps: readonly StepSample[];
  tokens: readonly number[];
}

export interface RunOptions {
  controller: Controller;
  prompt: { id: string; kind: string; prompt: string };
  maxTokens: number;
  temperature: number;
  seed: number;
  block: number;
  signal: AbortSignal;
}

/**
 * One generation; undefined where the signal ended it early. A new request starts with empty caches. All arms are listened
 * to alike, by the engine's step events. The event costs a copy of each report; a fixed depth gets its reports some steps
 * late, which changes nothing in them.
 */
export async function measureRun(
  engine: BenchEngine,
  arm: Arm,
  { controller, prompt, maxTokens, temperature, seed, block, signal }: RunOptions,
): Promise<MeasuredRun | undefined> {
  const steps: StepSample[] = [];
  const ignore = engine.on('step', (report) => {
    if (report.step > 0) steps.push(sampleOf(report));
  });
  let result: GenerationResult;
  try {
    result = await engine.generate({
      ...wordsOf(engine, prompt.prompt),
      controller,
      ...(arm.drafter === undefined ? {} : { drafter: arm.drafter }),
      ...(arm.tree === undefined ? {} : { tree: arm.tree }),
      maxTokens,
      temperature,
      seed,
      signal,
      onAbort: 'return',
    });
  } finally {
    ignore();
  }
  if (result.finishReason === 'aborted') return undefined;
  const { tokens, stats } = result;
  const told = steps.reduce((sum, step) => sum + step.tokens, 0);
  if (told !== tokens.length) {
    throw new AdaptiveSpecError(
      'NATIVE_FAILURE',
      `The steps of a run told of ${told} tokens, and its result holds ${tokens.length}`,
      'This is a defect of adaptive-spec: please report it with the command.',
    );
  }
  const loopAt = firstLoop(tokens);
  const end = loopAt ?? tokens.length;
  return {
    run: {
      arm: arm.name,
      promptId: prompt.id,
      kind: prompt.kind,
      block,
      temperature,
      all: sumSteps(steps, tokens.length),
      beforeLoop: sumSteps(steps, end),
      timeToFirstTokenMs: stats.timeToFirstTokenMs,
      loopAt,
      tokensHash: createHash('sha256').update(Int32Array.from(tokens)).digest('hex'),
    },
    details: { all: detailSteps(steps, tokens.length), beforeLoop: detailSteps(steps, end) },
    steps,
    tokens,
  };
}

/** An instruction in the words of the model's chat template, where it has one. */
function wordsOf(engine: BenchEngine, text: string): { prompt: string } | { messages: Message[] } {
  return engine.info.hasChatTemplate ? { messages: [{ role: 'user', content: text }] } : { prompt: text };
}
