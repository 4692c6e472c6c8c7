// What `adaptive-spec bench` measures, as data: the JSON report, and what every other form of it is drawn from.

import type { CostTable } from '../control/costs.js';

/** An estimate with its 95 % interval, bootstrapped over prompts. */
export interface Interval {
  value: number;
  low: number;
  high: number;
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

/** What an arm did, over all its runs (or those of one kind). Rates are of tokens before the first loop. */
export interface ArmFigures {
  arm: string;
  /** 'all' or a kind. */
  kind: string;
  runs: number;
  /** Sum of tokens over sum of decode time. */
  tokensPerSecond: Interval;
  /** The same with all tokens, loops included. */
  tokensPerSecondAll: Interval;
  acceptanceRate: number;
  meanAcceptanceLength: number;
  /** Accepted / verified at each place of a draft, from the first. */
  acceptanceByPosition: number[];
  /** How often a step emitted 1, 2, … tokens, as shares of the steps. */
  acceptedLengthShares: number[];
  /** Mean of the planned depth. */
  meanDepth: number;
  timeToFirstTokenMs: { p50: number; p95: number };
  /** Milliseconds between two tokens as a reader of the stream gets them: tokens of one step come together. */
  tokenGapMs: { p50: number; p95: number; p99: number };
  /** Shares of decode time. */
  phases: { draft: number; verify: number; catchUp: number; other: number };
}

/** One arm against a reference arm, paired by prompt and block: ratio of tokens per second, above 1 is faster. */
export interface Comparison {
  arm: string;
  /** 'plain', 'best fixed' (one K, the best in hindsight), 'best fixed of kind', or an arm's name. */
  against: string;
  /** The arm that `against` stands for. */
  referenceArm: string;
  /** 'all' is the geometric mean over kinds. */
  kind: string;
  ratio: Interval;
}

/** Answers the experiment's question. */
export interface Verdict {
  arm: string;
  /** Throughput: at least +10 % over the best fixed K, geometric mean over kinds. */
  throughput: 'met' | 'not met' | 'inconclusive';
  /** Spread: no slower, and less spread (coefficient of variation of t/s) over kinds. */
  spread: 'met' | 'not met' | 'inconclusive';
  gain: Interval;
  bestFixed: string;
  spreadOfArm: number;
  spreadOfBestFixed: number;
  /** Sentences that say it to a reader. */
  summary: string[];
}

export interface BenchResult {
  format: 'adaptive-spec-bench';
  version: 1;
  profile: 'smoke' | 'quick' | 'full' | 'custom';
  command: string;
  createdAt: string;
  seconds: number;
  /** cpu, threads, kernel, node, commit, … as bench/environment.mjs gives them, and the models with their SHA-256. */
  environment: Record<string, unknown>;
  settings: {
    arms: string[];
    prompts: string;
    promptCount: number;
    maxTokens: number;
    blocks: number;
    warmUp: number;
    temperatures: number[];
    seed: number;
    seeds: number[];
  };
  costs?: CostTable;
  /** Whether the machine was quiet enough to believe the figures, and what says so. */
  fitness: { fit: boolean; reasons: string[]; loadOfOthers: number; spread: number };
  /** Whether all greedy arms gave the same tokens; those that didn't, by prompt. */
  equality: { equal: boolean; compared: number; differing: { promptId: string; arm: string; at: number }[] };
  figures: ArmFigures[];
  comparisons: Comparison[];
  verdict: Verdict[];
  /** Time regret of each arm against the best fixed K of each prompt: (T - T_ref) / T_ref, by kind and 'all'. */
  regret: { arm: string; kind: string; value: number }[];
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
