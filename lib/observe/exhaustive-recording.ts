// Records a generation exhaustively: at every output position, what the drafter would have proposed.

import type { DepthController, StepReport } from '../control/controller.js';
import type { Engine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import type { TraceEnd, TraceGeneration, TracePosition } from './trace-format.js';
import { positionLines } from './trace-lines.js';

/** Depth that is drafted at every position, where the engine allows it. */
export const RECORDED_DEPTH = 31;
/** Steps of one plan: the most that a plan may hold for, so that next to none is asked for. */
const STEPS = 256;

export interface RecordingOptions {
  prompt: { id: string; kind: string; prompt: string };
  maxTokens: number;
  drafter: string;
  /** Draft tokens at every position, as far as the output has room for them. */
  depth: number;
  /** Ends the recording after the step that runs. */
  signal?: AbortSignal;
  /** Told of every position. */
  onPosition?: () => void;
}

export interface ExhaustiveRecording {
  generation: TraceGeneration;
  positions: TracePosition[];
  /** Missing where the signal ended it. */
  end?: TraceEnd;
}

/**
 * The greedy text of a prompt with the drafts of all its positions. An instruction is put into the words of the model's
 * chat template where it has one, as in a benchmark. Needs an engine on which no plan is late.
 * Throws TRACE_FAILED where a position was lost, and what `generate` throws.
 */
export async function recordExhaustively(
  engine: Engine,
  { prompt, maxTokens, drafter, depth, signal, onPosition }: RecordingOptions,
): Promise<ExhaustiveRecording> {
  const promptText = engine.info.hasChatTemplate
    ? engine.applyChatTemplate([{ role: 'user', content: prompt.prompt }])
    : prompt.prompt;
  const generation = engine.generate({
    prompt: promptText,
    controller: onlyLooking(depth, drafter),
    drafter,
    maxTokens,
    temperature: 0,
    seed: 0,
    ...(signal ? { signal } : {}),
    onAbort: 'return',
  });
  const reports: StepReport[] = [];
  for await (const part of generation.events()) {
    if (part.type !== 'step' || part.step.step === 0) continue;
    reports.push(part.step);
    onPosition?.();
  }
  const { finishReason, tokens, usage } = await generation;
  mustBeWhole(prompt.id, reports, tokens, depth);
  return {
    generation: {
      generation: {
        ...{ id: prompt.id, kind: prompt.kind, promptTokens: usage.promptTokens, promptText },
        ...{ maxTokens, temperature: 0, seed: 0 },
      },
    },
    positions: positionLines(reports),
    ...(finishReason === 'aborted' ? {} : { end: { end: { tokens: tokens.length, finishReason } } }),
  };
}

/** Verifies nothing of what is drafted, so that each step emits one token and its report tells of one position. */
function onlyLooking(depth: number, drafter: string): DepthController {
  const plan = { depth, verify: 0, steps: STEPS, drafter };
  return { name: 'trace', nextPlan: () => plan };
}

function mustBeWhole(
  id: string,
  reports: readonly StepReport[],
  tokens: readonly number[],
  depth: number,
): void {
  const gap = tokens.findIndex((token, i) => {
    const report = reports[i];
    return (
      report === undefined ||
      report.depth !== depth ||
      report.position !== i + 1 ||
      report.tokens.length !== 1 ||
      report.tokens[0] !== token
    );
  });
  if (gap < 0 && reports.length === tokens.length) return;
  const position = gap < 0 ? tokens.length : gap;
  const report = reports[position];
  const why = report?.late ? 'its plan came too late' : `its step was ${describe(report)}`;
  throw new AdaptiveSpecError(
    'TRACE_FAILED',
    `The recording of ${JSON.stringify(id)} has a gap at output position ${position}: ${why}`,
    'Record with an engine whose planDeadlineMs is large, such as 60000; adaptive-spec trace does.',
  );
}

function describe(report: StepReport | undefined): string {
  if (report === undefined) return 'not told of';
  return `one of depth ${report.depth} with ${report.tokens.length} tokens, up to position ${report.position}`;
}
