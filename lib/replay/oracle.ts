// The least time in which any policy could have emitted a generation, by dynamic programming with all outcomes known.

import type { CostModel } from '../control/costs.js';
import { isFreeOrigin } from '../control/stop-rule.js';
import { emittedAt, type ReplayGeneration, roomAt } from './generation.js';
import { draftMsAt } from './replay.js';

/** What the oracle would have done. */
export interface OraclePath {
  /** Least total time, in milliseconds. */
  ms: number;
  /** Draft tokens of each step of a path with that time. */
  depths: number[];
}

/**
 * Shortest path over (output position, rows of the step before): rows matter because a change of them costs
 * `rebuildMs`, and one to a single row `mixedMs` besides. A step of depth k takes k draft tokens (an n-gram's for
 * nothing), the model's start and what it costs the pass where there is one of its own, v(k + 1) and the overhead,
 * and emits min(k, right) + 1 tokens; the oracle asks no controller and drafts no token that it doesn't verify. A
 * step that straddles the generation's `end` counts by its share, as in a replay. All tokens have to be emitted, so
 * the least time is the largest throughput, which Dinkelbach's iteration over per-step choices would approach from
 * below.
 */
export function oracle(generation: ReplayGeneration, costs: CostModel): OraclePath {
  const { end, right, contextLength, width, origins } = generation;
  const { draft, overheadMs, rebuildMs, mixedMs = 0 } = costs.table;
  const { startMs = 0, afterMs = 0 } = draft;
  if (end === 0) return { ms: 0, depths: [] };
  // Least time from a position on: by the rows of the step there as if they were no change, and with the best change.
  const stride = width + 2;
  const byRows = new Float64Array(end * stride).fill(Number.POSITIVE_INFINITY);
  const changed = new Float64Array(end).fill(Number.POSITIVE_INFINITY);
  const changedRows = new Int32Array(end);

  for (let i = end - 1; i >= 0; i--) {
    const draftMs = draftMsAt(generation, i, costs);
    const room = roomAt(generation, i);
    let computed = 0;
    for (let k = 0; k <= room; k++) {
      if (k > 0 && !isFreeOrigin(origins[i * width + k - 1])) computed++;
      const rows = k + 1;
      const { emitted, share } = emittedAt(generation, i, Math.min(k, right[i]!));
      const next = i + emitted;
      const after = next >= end ? 0 : Math.min(byRows[next * stride + rows]!, changed[next]!);
      const drafting = computed > 0 ? startMs + computed * draftMs + afterMs : 0;
      const ms = drafting + costs.verifyMs(rows, contextLength[i]!) + overheadMs;
      byRows[i * stride + rows] = share * ms + after;
      const withChange = share * (ms + rebuildMs + (rows === 1 ? mixedMs : 0)) + after;
      if (withChange < changed[i]!) {
        changed[i] = withChange;
        changedRows[i] = rows;
      }
    }
  }

  // The first step's rows are a change from the prompt's.
  const depths: number[] = [];
  for (let i = 0, rows = 0; i < end; ) {
    const stays = rows > 0 && byRows[i * stride + rows]! <= changed[i]!;
    rows = stays ? rows : changedRows[i]!;
    depths.push(rows - 1);
    i += emittedAt(generation, i, Math.min(rows - 1, right[i]!)).emitted;
  }
  return { ms: changed[0]!, depths };
}
