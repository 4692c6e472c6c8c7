// Arms against each other, paired by prompt, and the time regret of each against the best fixed depth.

import { PLAIN } from './arms.js';
import type { BenchResult, BenchRun, Comparison, Interval } from './bench-result.js';
import { byKind, type Part, type PromptSums, speedOf, speedsOf, sumsByPrompt } from './prompt-sums.js';
import { bootstrap, geometricMean } from './statistics.js';

type Sums = ReadonlyMap<string, PromptSums>;

/** Names that `Comparison.against` has besides arms' own. */
export const BEST_FIXED = 'best fixed';
export const BEST_FIXED_OF_KIND = 'best fixed of kind';
export const BETTER_OF_BOTH = 'better of plain and best fixed';

/** Depths that the engine's default drafter drafted: what a change of drafter adds is not in it. */
export const BEST_FIXED_DEFAULT = 'best fixed of the default drafter';

/** Whether an arm keeps one depth, whoever drafts. */
export const isFixed = (arm: string) => /^fixed:[1-9]\d*(@.+)?$/.test(arm);
const isDefault = (arm: string) => isFixed(arm) && !arm.includes('@');

/**
 * The fixed depth (K >= 1), of any drafter, that was fastest over all: by the geometric mean over kinds of tokens per second. Undefined
 * where no fixed depth was measured.
 */
export function bestFixed(sums: ReadonlyMap<string, Sums>): string | undefined {
  return bestOfArms(sums, isFixed);
}

function bestOfArms(sums: ReadonlyMap<string, Sums>, among: (arm: string) => boolean): string | undefined {
  return fastest([...sums.keys()].filter(among), (arm) => kindMean([...sums.get(arm)!.values()]));
}

/**
 * Every arm against plain, the best fixed depth, the best one of each kind, and the better of plain and best fixed, in one
 * part of the tokens, by which the best is chosen too.
 */
export function compareArms(runs: readonly BenchRun[], part: Part, random: () => number): Comparison[] {
  const sums = sumsByPrompt(runs, part);
  const best = bestFixed(sums);
  const ofDefault = bestOfArms(sums, isDefault);
  const kinds = [...new Set(runs.map(({ kind }) => kind))];
  const comparisons: Comparison[] = [];
  for (const arm of sums.keys()) {
    if (arm !== PLAIN) comparisons.push(...compareWith(PLAIN, arm, sums, kinds, () => PLAIN, random));
    if (best === undefined || isFixed(arm)) continue;
    const bestOf = (kind: string) => fastestOnKind([...sums.keys()].filter(isFixed), sums, kind) ?? best;
    const betterOf = (kind: string) => fastestOnKind([PLAIN, best], sums, kind) ?? best;
    comparisons.push(...compareWith(BEST_FIXED, arm, sums, kinds, () => best, random));
    if (ofDefault !== undefined && ofDefault !== best) {
      comparisons.push(...compareWith(BEST_FIXED_DEFAULT, arm, sums, kinds, () => ofDefault, random));
    }
    comparisons.push(...compareWith(BEST_FIXED_OF_KIND, arm, sums, kinds, bestOf, random));
    if (arm !== PLAIN) comparisons.push(...compareWith(BETTER_OF_BOTH, arm, sums, kinds, betterOf, random));
  }
  return comparisons;
}

/** One arm against what `referenceOf` names for each kind, by kind and over all. */
function compareWith(
  against: string,
  arm: string,
  sums: ReadonlyMap<string, Sums>,
  kinds: readonly string[],
  referenceOf: (kind: string) => string,
  random: () => number,
): Comparison[] {
  const strata = kinds.map((kind) => {
    const referenceArm = referenceOf(kind);
    return { kind, referenceArm, ratios: pairedRatios(sums.get(arm)!, sums.get(referenceArm), kind) };
  });
  const measured = strata.filter(({ ratios }) => ratios.length > 0);
  if (measured.length === 0) return [];
  const references = [...new Set(measured.map(({ referenceArm }) => referenceArm))];
  return [
    {
      arm,
      against,
      referenceArm: references.join(', '),
      kind: 'all',
      ratio: ratioInterval(
        measured.map(({ ratios }) => ratios),
        random,
      ),
    },
    ...measured.map(({ kind, referenceArm, ratios }) => ({
      arm,
      against,
      referenceArm,
      kind,
      ratio: ratioInterval([ratios], random),
    })),
  ];
}

/** Geometric mean of ratios within each kind, then over kinds, with its interval. */
export function ratioInterval(ratiosByKind: readonly (readonly number[])[], random: () => number): Interval {
  const logs = ratiosByKind.map((ratios) => ratios.map(Math.log));
  return bootstrap(logs, meanOfMeans, { random });
}

function meanOfMeans(kinds: readonly (readonly number[])[]): number {
  let sum = 0;
  for (const logs of kinds) {
    let total = 0;
    for (const log of logs) total += log;
    sum += total / logs.length;
  }
  return Math.exp(sum / kinds.length);
}

/** Speed of an arm over a reference's, for every prompt of a kind that both have. */
export function pairedRatios(arm: Sums, reference: Sums | undefined, kind: string): number[] {
  return [...arm.values()].flatMap((sums) => {
    const other = reference?.get(sums.promptId);
    return sums.kind === kind && other ? [speedOf([sums]) / speedOf([other])] : [];
  });
}

/**
 * Time regret: (T - T_ref) / T_ref, where T is an arm's time and T_ref that of the depth which was fastest on the prompt,
 * plain decoding included as K = 0. Both are per token and weighted by the prompt's tokens; by kind and over all.
 */
export function regretOf(runs: readonly BenchRun[], part: Part): BenchResult['regret'] {
  const sums = sumsByPrompt(runs, part);
  const depths = [...sums.keys()].filter((arm) => arm === PLAIN || isFixed(arm));
  return [...sums].flatMap(([arm, prompts]) => {
    const times = [...prompts.values()].map(({ promptId, kind, tokens, ms, runs: count }) => {
      const perToken = depths.flatMap((depth) => {
        const other = sums.get(depth)!.get(promptId);
        return other ? [other.ms / other.tokens] : [];
      });
      return { kind, ms: ms / count, best: (Math.min(...perToken) * tokens) / count };
    });
    const value = (chosen: typeof times) => {
      const best = chosen.reduce((sum, time) => sum + time.best, 0);
      return chosen.reduce((sum, time) => sum + time.ms, 0) / best - 1;
    };
    if (times.length === 0) return [];
    return [
      { arm, kind: 'all', value: value(times) },
      ...[...byKind(times, ({ kind }) => kind)].map(([kind, chosen]) => ({
        arm,
        kind,
        value: value(chosen),
      })),
    ];
  });
}

function fastestOnKind(
  arms: readonly string[],
  sums: ReadonlyMap<string, Sums>,
  kind: string,
): string | undefined {
  return fastest(
    arms.filter((arm) => [...(sums.get(arm)?.values() ?? [])].some((prompt) => prompt.kind === kind)),
    (arm) => speedOf([...sums.get(arm)!.values()].filter((prompt) => prompt.kind === kind)),
  );
}

function fastest(arms: readonly string[], speed: (arm: string) => number): string | undefined {
  let best: string | undefined;
  for (const arm of arms) if (best === undefined || speed(arm) > speed(best)) best = arm;
  return best;
}

/** Geometric mean over kinds of tokens per second; 0 of nothing. */
function kindMean(prompts: readonly PromptSums[]): number {
  const speeds = speedsOf(prompts);
  return speeds.length > 0 ? geometricMean(speeds) : 0;
}
