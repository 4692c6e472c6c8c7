// Fixed depths over a trace: the best one in hindsight (whole, by kind, by prompt), and one chosen on other prompts.

import type { CostModel } from '../control/costs.js';
import { fixedDepth } from '../control/fixed-depth.js';
import type { ReplayGeneration } from './generation.js';
import { type ReplaySums, replay } from './replay.js';

/** Largest fixed depth that is tried. */
export const LARGEST_FIXED = 24;

/** Milliseconds of a generation by each way to choose a fixed depth; one number per generation, in their order. */
export interface FixedReferences {
  /** Depths tried, 0 to LARGEST_FIXED or what the trace has. */
  depths: number[];
  /** sums[k][g]: depth k over generation g. */
  sums: ReplaySums[][];
  /** One depth for all, the fastest in hindsight. */
  whole: { depth: number; ms: Float64Array };
  /** The fastest of each kind in hindsight. */
  ofKind: { depths: Record<string, number>; ms: Float64Array };
  /** The fastest of each prompt in hindsight. */
  ofPrompt: { depths: Record<string, number>; ms: Float64Array };
  /** One depth for each half of the prompts, the fastest on the other half. */
  splitHalf: { depths: [number, number]; ms: Float64Array };
}

/** Replays every depth over every generation. Ties go to the smaller depth. */
export function fixedReferences(
  generations: readonly ReplayGeneration[],
  costs: CostModel,
  sequences = 1,
): FixedReferences {
  const widest = generations.reduce((least, { width }) => Math.min(least, width), LARGEST_FIXED);
  const depths = Array.from({ length: widest + 1 }, (_, k) => k);
  const sums = depths.map((k) => {
    const controller = fixedDepth(k);
    return generations.map((generation) => replay(generation, controller, costs, { sequences }));
  });
  const all = generations.map((_, g) => g);
  const fastest = (members: readonly number[]) => {
    let best = 0;
    let bestMs = Number.POSITIVE_INFINITY;
    for (const k of depths) {
      const ms = members.reduce((sum, g) => sum + sums[k]![g]!.ms, 0);
      if (ms < bestMs) {
        best = k;
        bestMs = ms;
      }
    }
    return best;
  };
  const msBy = (depthOf: (g: number) => number) => Float64Array.from(all, (g) => sums[depthOf(g)]![g]!.ms);

  const whole = fastest(all);
  const ofKind = fastestOfGroups(
    groupBy(generations, ({ kind }) => kind),
    fastest,
  );
  const ofPrompt = fastestOfGroups(
    groupBy(generations, ({ id }) => id),
    fastest,
  );
  const half = halves(generations);
  const inHalf = (h: number) => all.filter((g) => half[g] === h);
  // A half with nothing in it has no say: then there is one prompt, which is its own other half.
  const chosen = [1, 0].map((other) => fastest(inHalf(other).length > 0 ? inHalf(other) : all));
  return {
    depths,
    sums,
    whole: { depth: whole, ms: msBy(() => whole) },
    ofKind: { depths: ofKind, ms: msBy((g) => ofKind[generations[g]!.kind]!) },
    ofPrompt: { depths: ofPrompt, ms: msBy((g) => ofPrompt[generations[g]!.id]!) },
    splitHalf: { depths: [chosen[0]!, chosen[1]!], ms: msBy((g) => chosen[half[g]!]!) },
  };
}

/** Half 0 or 1 of each generation: the prompts of every kind in turns, so that both halves have all kinds. */
export function halves(generations: readonly Pick<ReplayGeneration, 'id' | 'kind'>[]): number[] {
  const seen = new Map<string, number>();
  const halfOf = new Map<string, number>();
  return generations.map(({ id, kind }) => {
    if (!halfOf.has(id)) {
      const count = seen.get(kind) ?? 0;
      seen.set(kind, count + 1);
      halfOf.set(id, count % 2);
    }
    return halfOf.get(id)!;
  });
}

/** Indices of the members of each group, groups in order of appearance. */
export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  items.forEach((item, index) => {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [index]);
    else group.push(index);
  });
  return groups;
}

function fastestOfGroups(
  groups: Map<string, number[]>,
  fastest: (members: readonly number[]) => number,
): Record<string, number> {
  return Object.fromEntries([...groups].map(([key, members]) => [key, fastest(members)]));
}
