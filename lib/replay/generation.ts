// One recorded generation as replay reads it: typed arrays, a row of `width` draft tokens for each output position.

import type { TraceGeneration, TracePosition } from '../observe/trace-format.js';

export interface ReplayGeneration {
  readonly id: string;
  readonly kind: string;
  readonly promptTokens: number;
  readonly promptText: string;
  readonly maxTokens: number;
  readonly temperature: number;
  /** Output tokens; positions are 0 to length - 1. */
  readonly length: number;
  /** Figures count the tokens before this position: `length`, or where a loop begins. */
  readonly end: number;
  /** Draft tokens that a row has room for. */
  readonly width: number;
  /** Name of the drafter, in plans and reports. */
  readonly drafter: string;
  /** The target's tokens, and the text that each released. */
  readonly tokens: Int32Array;
  readonly texts: readonly string[];
  /** Draft tokens recorded at each position, and how many of them are right. */
  readonly counts: Uint8Array;
  readonly right: Uint8Array;
  /** Rows of `width`: draft[i * width + j] was proposed at position i in place j. */
  readonly draft: Int32Array;
  readonly probabilities: Float32Array;
  readonly margins: Float32Array;
  readonly entropies: Float32Array;
  readonly matches: Float32Array;
  readonly origins: Uint8Array;
  /** False where the drafter gave no signals. */
  readonly hasSignals: boolean;
  /** Milliseconds that all draft tokens of a position took when they were recorded. */
  readonly draftMs: Float64Array;
  /** Tokens in the target's cache before the step at each position. */
  readonly contextLength: Int32Array;
}

/** Copies checked lines into arrays. `width` is the depth that was recorded. */
export function replayGeneration(
  info: TraceGeneration['generation'],
  positions: readonly TracePosition[],
  width: number,
  drafter = 'model',
): ReplayGeneration {
  const length = positions.length;
  const draft = new Int32Array(length * width);
  const probabilities = new Float32Array(length * width);
  const margins = new Float32Array(length * width);
  const entropies = new Float32Array(length * width);
  const matches = new Float32Array(length * width);
  const origins = new Uint8Array(length * width);
  for (const { i, draft: row, p, m, h, o, x } of positions) {
    draft.set(row, i * width);
    probabilities.set(p, i * width);
    margins.set(m, i * width);
    entropies.set(h, i * width);
    if (o) origins.set(o, i * width);
    if (x) matches.set(x, i * width);
  }
  return {
    id: info.id,
    kind: info.kind,
    promptTokens: info.promptTokens,
    promptText: info.promptText,
    maxTokens: info.maxTokens,
    temperature: info.temperature,
    length,
    end: length,
    width,
    drafter,
    tokens: Int32Array.from(positions, ({ token }) => token),
    texts: positions.map(({ text }) => text),
    counts: Uint8Array.from(positions, ({ draft: row }) => row.length),
    right: Uint8Array.from(positions, ({ right }) => right),
    draft,
    probabilities,
    margins,
    entropies,
    matches,
    origins,
    hasSignals: positions.every(({ draft: row, p }) => row.length === p.length),
    draftMs: Float64Array.from(positions, ({ draftMs }) => draftMs),
    // Recorded one token a step, so that a step adds one to the cache.
    contextLength: Int32Array.from(positions, ({ contextLength }) => Math.max(0, contextLength - 1)),
  };
}

/** The same generation, with figures of its first `end` tokens only. */
export function countedTo(generation: ReplayGeneration, end: number): ReplayGeneration {
  return end >= generation.end ? generation : { ...generation, end };
}

/** Draft tokens that a step at a position may have at most: what was recorded, and what the output has room for. */
export function roomAt({ counts, maxTokens }: ReplayGeneration, position: number): number {
  return Math.max(0, Math.min(counts[position]!, maxTokens - position - 1));
}

/** Tokens that a step emits of which `accepted` were accepted, and the share of the step that counts. */
export function emittedAt(
  { length, end }: ReplayGeneration,
  position: number,
  accepted: number,
): { emitted: number; share: number } {
  const emitted = Math.min(accepted + 1, length - position);
  return { emitted, share: Math.min(1, (end - position) / emitted) };
}
