// Made-up exhaustive traces for tests of files and replay: right drafts come in runs, and signals hint at them.

import { randomFrom } from '../../lib/bench/random.js';
import type { CostTable } from '../../lib/control/costs.js';
import type { RecordedGeneration } from '../../lib/observe/trace-file.js';
import type { TraceHeader, TraceLine, TracePosition } from '../../lib/observe/trace-format.js';
import { type ReplayGeneration, replayGeneration } from '../../lib/replay/generation.js';

export function traceHeader(fields: Partial<TraceHeader> = {}): TraceHeader {
  return {
    format: 'adaptive-spec-trace',
    version: 1,
    mode: 'exhaustive',
    createdAt: '2026-01-02T03:04:05.678Z',
    model: { file: 'target.gguf', sha256: 'a'.repeat(64) },
    draft: { file: 'draft.gguf', sha256: 'b'.repeat(64) },
    maxDepth: 31,
    ...fields,
  };
}

export interface SyntheticOptions {
  seed?: number;
  id?: string;
  kind?: string;
  length?: number;
  maxTokens?: number;
  maxDepth?: number;
  /** Chance that a draft token is right where the one before it was. */
  acceptance?: number;
  /** Largest token id; a small one makes texts repeat themselves. */
  vocabulary?: number;
}

/** A generation whose every position satisfies what the reader checks. */
export function syntheticGeneration(options: SyntheticOptions = {}): RecordedGeneration {
  const { seed = 1, id = 'p1', kind = 'code', length = 64, maxDepth = 31 } = options;
  const { acceptance = 0.7, vocabulary = 30_000, maxTokens = length } = options;
  const random = randomFrom(seed);
  const tokens = Array.from({ length }, () => Math.floor(random() * vocabulary));
  const promptTokens = 10;
  const positions = tokens.map((token, i): TracePosition => {
    const count = Math.max(0, Math.min(maxDepth, maxTokens - i - 1));
    const draft: number[] = [];
    let right = 0;
    while (right < count && i + right < length && random() < acceptance) draft.push(tokens[i + right++]!);
    // The first wrong one, and whatever comes after it.
    while (draft.length < count) draft.push((tokens[i + draft.length] ?? 0) + 1);
    const p = draft.map((_, j) => Math.fround(j < right ? 0.5 + random() / 2 : 0.2 + random() / 2));
    return {
      i,
      token,
      text: ` ${token}`,
      draft,
      p,
      m: p.map((probability) => Math.fround(probability / 2)),
      h: p.map((probability) => Math.fround(-Math.log(probability))),
      right,
      draftMs: draft.length * 0.5,
      contextLength: promptTokens + i,
    };
  });
  return {
    info: { id, kind, promptTokens, promptText: `prompt of ${id}`, maxTokens, temperature: 0, seed: 0 },
    positions,
    steps: [],
    end: { tokens: length, finishReason: length < maxTokens ? 'stop' : 'length' },
  };
}

/** The lines of a trace file with these generations. */
export function linesOf(header: TraceHeader, generations: readonly RecordedGeneration[]): TraceLine[] {
  return [
    header,
    ...generations.flatMap(({ info, positions, steps, end }) => [
      { generation: info },
      ...positions,
      ...steps,
      ...(end ? [{ end }] : []),
    ]),
  ];
}

/** The same as replay reads it. */
export function replayable(options: SyntheticOptions = {}): ReplayGeneration {
  const { info, positions } = syntheticGeneration(options);
  return replayGeneration(info, positions, options.maxDepth ?? 31);
}

/** A small trace of three kinds that differ in how well they are drafted, `perKind` prompts each. */
export function mixedTrace(perKind = 4, length = 96): RecordedGeneration[] {
  return Object.entries({ code: 0.92, prose: 0.55, math: 0.75 }).flatMap(([kind, acceptance], k) =>
    Array.from({ length: perKind }, (_, n) =>
      syntheticGeneration({ seed: k * 100 + n + 1, id: `${kind}-${n}`, kind, length, acceptance }),
    ),
  );
}

/** v(n) with risers every four rows, a draft that isn't free, and a price for every other part. */
export const staircase: CostTable = {
  target: [0, 400].flatMap((contextLength) =>
    Array.from({ length: 33 }, (_, i) => ({
      rows: i + 1,
      contextLength,
      ms: 10 + 3 * Math.floor(i / 4) + 0.2 * i + contextLength * 0.002 * (1 + i / 32),
    })),
  ),
  draft: { msPerToken: 0.6, threads: 2 },
  overheadMs: 0.1,
  rebuildMs: 0.3,
  callbackMs: 0.05,
};
