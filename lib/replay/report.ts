// What a replay says of controllers: speed, ratios to fixed depths and to the oracle, regret, by kind of text.

import type { Controller } from '../control/controller.js';
import { CostModel, type CostTable } from '../control/costs.js';
import { costsAtLoad } from '../control/costs-at-load.js';
import { type FixedReferences, fixedReferences, groupBy } from './best-fixed.js';
import { type Estimate, type Resamples, resample } from './bootstrap.js';
import type { ReplayGeneration } from './generation.js';
import { oracle } from './oracle.js';
import { type ReplaySums, replay } from './replay.js';

/** A controller by name; `make` gives a new object, which has learnt nothing yet. */
export interface NamedController {
  name: string;
  make: () => Controller;
}

/** What a policy is measured against. */
export type Reference = 'bestFixed' | 'bestFixedOfKind' | 'bestFixedOfPrompt' | 'splitHalf' | 'oracle';

/** A controller over all generations, or those of one kind. Intervals are of 95 %, bootstrapped over prompts. */
export interface PolicyFigures {
  controller: string;
  /** 'all' or a kind. */
  kind: string;
  /** Sum of tokens over sum of time; of all sequences together. */
  tokensPerSecond: Estimate;
  /** Throughput over that of the reference; 'oracle': share of what is possible. */
  ratio: Record<Reference, Estimate>;
  /** Geometric mean over kinds of the ratio to the best fixed depth; of kind 'all' only. */
  geometricMeanOverKinds?: Estimate;
  /** Coefficient of variation of tokens per second over kinds; of kind 'all' only. */
  spreadOverKinds?: number;
  /** (speed - best fixed) / (oracle - best fixed); null where the oracle is no faster than the best fixed. */
  headroomShare: number | null;
  /** (T - T of the reference) / T of the reference. */
  timeRegret: Record<Reference, number>;
  meanDepth: number;
  /** Accepted of verified tokens. */
  acceptanceRate: number;
  /** Tokens that a step emits, on average. */
  meanAcceptanceLength: number;
  /** Draft tokens that were computed and not verified, of those computed. */
  wastedShare: number;
  steps: number;
  plansAsked: number;
  controllerErrors: number;
}

/** All controllers at one load. */
export interface LoadReport {
  /** Sequences that run in the same batches. */
  sequences: number;
  /** Depths that are fastest in hindsight, or on the other half of the prompts. */
  bestFixed: {
    whole: number;
    ofKind: Record<string, number>;
    ofPrompt: Record<string, number>;
    splitHalf: [number, number];
  };
  /** Every fixed depth over all generations, and by kind, in tokens per second. */
  fixed: {
    depth: number;
    tokensPerSecond: number;
    acceptanceRate: number;
    byKind: Record<string, number>;
  }[];
  oracle: { tokensPerSecond: number; meanDepth: number; byKind: Record<string, number> };
  figures: PolicyFigures[];
}

/**
 * Replays every controller over every generation, one after the other: it keeps what it learns, as an engine has it.
 * Deterministic, as far as the controllers are.
 */
export function reportAt(
  generations: readonly ReplayGeneration[],
  controllers: readonly NamedController[],
  table: CostTable,
  sequences = 1,
): LoadReport {
  const costs = new CostModel(costsAtLoad(table, sequences));
  const fixed = fixedReferences(generations, costs, sequences);
  const paths = generations.map((generation) => oracle(generation, costs));
  const oracleMs = Float64Array.from(paths, ({ ms }) => ms);
  const references: Record<Reference, Float64Array> = {
    bestFixed: fixed.whole.ms,
    bestFixedOfKind: fixed.ofKind.ms,
    bestFixedOfPrompt: fixed.ofPrompt.ms,
    splitHalf: fixed.splitHalf.ms,
    oracle: oracleMs,
  };
  const sample = new Sample(generations, sequences);
  const figures = controllers.flatMap(({ name, make }) => {
    const controller = make();
    const sums = generations.map((generation) => replay(generation, controller, costs, { sequences }));
    return sample.figures(name, sums, references);
  });

  const oracleSteps = paths.reduce((sum, { depths }) => sum + depths.length, 0);
  const oracleDepth = paths.reduce((sum, { depths }) => sum + depths.reduce((a, b) => a + b, 0), 0);
  return {
    sequences,
    bestFixed: {
      whole: fixed.whole.depth,
      ofKind: fixed.ofKind.depths,
      ofPrompt: fixed.ofPrompt.depths,
      splitHalf: fixed.splitHalf.depths,
    },
    fixed: fixed.depths.map((depth) => fixedFigures(depth, fixed, sample)),
    oracle: {
      tokensPerSecond: sample.speed(oracleMs),
      meanDepth: oracleDepth / oracleSteps,
      byKind: sample.speedByKind(oracleMs),
    },
    figures,
  };
}

function fixedFigures(depth: number, { sums }: FixedReferences, sample: Sample): LoadReport['fixed'][number] {
  const ofDepth = sums[depth]!;
  const ms = Float64Array.from(ofDepth, (sum) => sum.ms);
  return {
    depth,
    tokensPerSecond: sample.speed(ms),
    acceptanceRate: share(total(ofDepth, 'accepted'), total(ofDepth, 'verified')),
    byKind: sample.speedByKind(ms),
  };
}

/** The generations of a report: their tokens, their kinds, and the resamples that intervals come from. */
class Sample {
  readonly #tokens: Float64Array;
  readonly #sequences: number;
  /** Indices of the generations of each kind. */
  readonly #kinds: Map<string, number[]>;
  readonly #all: number[];
  readonly #resamples: Resamples;

  constructor(generations: readonly ReplayGeneration[], sequences: number) {
    this.#tokens = Float64Array.from(generations, ({ end }) => end);
    this.#sequences = sequences;
    this.#kinds = groupBy(generations, ({ kind }) => kind);
    this.#all = generations.map((_, g) => g);
    this.#resamples = resample(generations);
  }

  /** Tokens per second of all sequences together. */
  speed(ms: Float64Array, members: readonly number[] = this.#all): number {
    return (sumOf(this.#tokens, members) / sumOf(ms, members)) * 1000 * this.#sequences;
  }

  speedByKind(ms: Float64Array): Record<string, number> {
    return Object.fromEntries([...this.#kinds].map(([kind, members]) => [kind, this.speed(ms, members)]));
  }

  /** Figures of one controller: over all kinds, then kind by kind. */
  figures(
    controller: string,
    sums: readonly ReplaySums[],
    references: Record<Reference, Float64Array>,
  ): PolicyFigures[] {
    const ms = Float64Array.from(sums, (sum) => sum.ms);
    const ofMembers = (kind: string, members: readonly number[]): PolicyFigures => {
      const mine = members.map((g) => sums[g]!);
      const speeds = map(references, (reference) => this.speed(reference, members));
      const speed = this.speed(ms, members);
      const headroom = speeds.oracle - speeds.bestFixed;
      const verified = total(mine, 'verified');
      const computed = total(mine, 'computed');
      const steps = total(mine, 'steps');
      return {
        controller,
        kind,
        tokensPerSecond: this.#interval(speed, (weights) => this.#weightedSpeed(ms, members, weights)),
        ratio: map(references, (reference) =>
          this.#interval(
            sumOf(reference, members) / sumOf(ms, members),
            (weights) => weighted(reference, members, weights) / weighted(ms, members, weights),
          ),
        ),
        headroomShare: headroom > 1e-9 * speeds.oracle ? (speed - speeds.bestFixed) / headroom : null,
        timeRegret: map(references, (reference) => sumOf(ms, members) / sumOf(reference, members) - 1),
        meanDepth: share(total(mine, 'depth'), steps),
        acceptanceRate: share(total(mine, 'accepted'), verified),
        meanAcceptanceLength: share(total(mine, 'tokens'), steps),
        wastedShare: share(computed - verified, computed),
        steps,
        plansAsked: total(mine, 'plansAsked'),
        controllerErrors: total(mine, 'controllerErrors'),
      };
    };
    const all = {
      ...ofMembers('all', this.#all),
      geometricMeanOverKinds: this.#geometricMean(ms, references.bestFixed),
      spreadOverKinds: spreadOf(Object.values(this.speedByKind(ms))),
    };
    return [all, ...[...this.#kinds].map(([kind, members]) => ofMembers(kind, members))];
  }

  #geometricMean(ms: Float64Array, reference: Float64Array): Estimate {
    const of = (ratioOf: (members: readonly number[]) => number) => {
      // A resample may lack a kind of a single prompt.
      const logs = [...this.#kinds.values()]
        .map((members) => Math.log(ratioOf(members)))
        .filter((log) => !Number.isNaN(log));
      return Math.exp(logs.reduce((a, b) => a + b, 0) / logs.length);
    };
    return this.#interval(
      of((members) => sumOf(reference, members) / sumOf(ms, members)),
      (weights) => of((members) => weighted(reference, members, weights) / weighted(ms, members, weights)),
    );
  }

  #weightedSpeed(ms: Float64Array, members: readonly number[], weights: Uint16Array): number {
    const tokens = weighted(this.#tokens, members, weights);
    return (tokens / weighted(ms, members, weights)) * 1000 * this.#sequences;
  }

  #interval(value: number, of: (weights: Uint16Array) => number): Estimate {
    return this.#resamples.estimate(value, of);
  }
}

/** Standard deviation (of a sample: n - 1) over the mean; 0 of a single value. As in a benchmark's verdict. */
export function spreadOf(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return Math.sqrt(variance) / mean;
}

function sumOf(values: Float64Array, members: readonly number[]): number {
  let sum = 0;
  for (const g of members) sum += values[g]!;
  return sum;
}

function weighted(values: Float64Array, members: readonly number[], weights: Uint16Array): number {
  let sum = 0;
  for (const g of members) sum += values[g]! * weights[g]!;
  return sum;
}

function total(sums: readonly ReplaySums[], field: keyof ReplaySums): number {
  return sums.reduce((sum, s) => sum + s[field], 0);
}

/** 0 where there is nothing to have a share of. */
function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

function map<K extends string, A, B>(record: Record<K, A>, of: (value: A) => B): Record<K, B> {
  return Object.fromEntries(Object.entries<A>(record).map(([key, value]) => [key, of(value)])) as Record<
    K,
    B
  >;
}
