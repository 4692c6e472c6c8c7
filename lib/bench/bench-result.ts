// What `adaptive-spec bench` measures, as data: the JSON report, and what every other form of it is drawn from.

import type { CostTable } from '../control/costs.js';

/** An estimate with its 95 % interval, bootstrapped over prompts. */
export interface Interval {
  value: number;
  low: number;
  high: number;
  /** Prompts that it rests on. With one, there is no interval: `low` and `high` are the value. */
  prompts?: number;
}

/** Kinds of text that prompts have. */
export const KINDS = ['code', 'prose', 'math', 'json', 'list', 'edit', 'switch'] as const;
export type Kind = (typeof KINDS)[number];

/** One generation of one arm. All counts are given twice: for all tokens, and for those before the first loop. */
export interface BenchRun {
  arm: string;
  promptId: string;
  kind: string;
  /** Number of the ABBA block; blocks of warm-up are not here. */
  block: number;
  temperature: number;
  all: RunFigures;
  beforeLoop: RunFigures;
  timeToFirstTokenMs: number;
  /** Index of the token where the first loop begins; null where there is none. */
  loopAt: number | null;
  /** SHA-256 of the emitted ids, for equality between arms. */
  tokensHash: string;
}

/** Sums over the steps of a run. */
export interface RunFigures {
  tokens: number;
  steps: number;
  drafted: number;
  verified: number;
  accepted: number;
  decodeMs: number;
  draftMs: number;
  verifyMs: number;
  catchUpMs: number;
  otherMs: number;
}

/** What an arm did, over all its runs (or those of one kind), in the part of their tokens that is looked at. */
export interface ArmFigures {
  arm: string;
  /** 'all' or a kind. */
  kind: string;
  runs: number;
  /** Sum of tokens over sum of decode time. */
  tokensPerSecond: Interval;
  /** The same with all tokens, loops included, whatever the part. */
  tokensPerSecondAll: Interval;
  /** Accepted / verified. */
  acceptanceRate: number;
  /** The same run by run: how it is distributed over the runs that verified anything. */
  acceptanceRateQuartiles: { min: number; p25: number; p50: number; p75: number; max: number };
  meanAcceptanceLength: number;
  /** Accepted / verified at each place of a draft, from the first. */
  acceptanceByPosition: number[];
  /** How often a step emitted 1, 2, … tokens, as shares of the steps. */
  acceptedLengthShares: number[];
  /** Mean of the planned depth. */
  meanDepth: number;
  /** The same over time: for each 16 tokens of output. */
  depthByPosition: number[];
  /** Coefficient of variation of the kinds' tokens per second; with kind 'all' only. */
  spreadOverKinds?: number;
  timeToFirstTokenMs: { p50: number; p95: number };
  /** Milliseconds between two tokens as a reader of the stream gets them: tokens of one step come together. */
  tokenGapMs: { p50: number; p95: number; p99: number };
  /** Shares of decode time. */
  phases: { draft: number; verify: number; catchUp: number; other: number };
}

/** One arm against a reference arm, paired by prompt and block: ratio of tokens per second, above 1 is faster. */
export interface Comparison {
  arm: string;
  /**
   * 'plain', 'best fixed' (one K >= 1, the best in hindsight), 'best fixed of kind', or 'better of plain and best
   * fixed' (the faster of the two on each kind).
   */
  against: string;
  /** The arm that `against` stands for; with kind 'all' those of all kinds, with commas. */
  referenceArm: string;
  /** 'all' is the geometric mean over kinds. */
  kind: string;
  ratio: Interval;
}

/** Answers the experiment's question. */
export interface Verdict {
  arm: string;
  /**
   * Throughput: at least +10 % over the best fixed K, geometric mean over kinds. Always 'inconclusive' where the run was
   * unfit, tokens differ, or a kind has a single prompt; so is `spread`.
   */
  throughput: 'met' | 'not met' | 'inconclusive';
  /** Spread: no slower, and less spread (coefficient of variation of t/s) over kinds. */
  spread: 'met' | 'not met' | 'inconclusive';
  /** Ratio to the best fixed K, less 1: 0.1 is 10 % faster. */
  gain: Interval;
  /** Name of the arm. */
  bestFixed: string;
  /** Coefficients of variation of t/s over kinds, and the first less the second. */
  spreadOfArm: number;
  spreadOfBestFixed: number;
  spreadDifference: Interval;
  /** Sentences that say it to a reader. */
  summary: string[];
}

/** What was found in one part of the outputs' tokens: in all of them, or in those before the first loop. */
export interface PartFindings {
  figures: ArmFigures[];
  comparisons: Comparison[];
  /**
   * Time regret of each arm against the best depth of each prompt, K = 0 included: (T - T_ref) / T_ref, by kind and
   * 'all'.
   */
  regret: { arm: string; kind: string; value: number }[];
}

/** What was found at one temperature: in the tokens before the first loop, by which the verdict is, and once more in all. */
export interface BenchFindings extends PartFindings {
  verdict: Verdict[];
  /** The same of all tokens, loops included. */
  all: PartFindings;
}

export interface BenchResult extends BenchFindings {
  format: 'adaptive-spec-bench';
  version: 1;
  profile: 'smoke' | 'quick' | 'full' | 'custom';
  command: string;
  createdAt: string;
  seconds: number;
  /** Set where not all was measured that was planned: by Ctrl-C, or by the time limit. */
  partial?: { reason: 'interrupted' | 'time limit'; groupsMeasured: number; groupsPlanned: number };
  /** cpu, threads, kernel, node, commit, … as bench/environment.mjs gives them, and the models with their SHA-256. */
  environment: Record<string, unknown>;
  settings: {
    arms: string[];
    prompts: string;
    promptCount: number;
    maxTokens: number;
    blocks: number;
    /** Runs that were dropped before the first block. */
    warmUp: number;
    temperatures: number[];
    seed: number;
    /** Seed of the sampling in each block. */
    seeds: number[];
  };
  /** What steps cost, as the steps of this very run tell. */
  costs?: CostTable;
  /**
   * Whether the machine was quiet enough to believe the figures, and what speaks against it. `loadOfOthers`: cores that
   * other processes kept busy, on average; null where it can't be read. `spread`: what a run of plain decoding differs by
   * from another of the same prompt, as a standard deviation, 0.01 being 1 %.
   */
  fitness: { fit: boolean; reasons: string[]; loadOfOthers: number | null; spread: number };
  /**
   * Whether all arms gave plain decoding's tokens, at every temperature: a seed gives one text at any depth. `compared`
   * counts runs; `at` is the index of the first token that differs.
   */
  equality: {
    equal: boolean;
    compared: number;
    differing: { promptId: string; arm: string; at: number; temperature?: number }[];
  };
  /** Findings at the other temperatures; those of the result itself are at the first. */
  further?: (BenchFindings & { temperature: number })[];
  /** A few generations step by step, for the plot of K over the text. */
  timelines: {
    arm: string;
    promptId: string;
    kind: string;
    /** One entry per step; `text` is what it emitted. */
    steps: {
      position: number;
      depth: number;
      drafted: number;
      verified: number;
      accepted: number;
      kind: string;
      text: string;
    }[];
  }[];
  /** Engines of others, each in its own process. */
  peers?: { name: string; setting: string; kind: string; tokensPerSecond: number; note?: string }[];
  runs: BenchRun[];
}
