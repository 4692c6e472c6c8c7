// The experiment's question, answered for an arm: is it 10 % faster than the best fixed depth, or as fast with less
// spread between kinds of text?

import { change } from '../percent.js';
import { PLAIN } from './arms.js';
import type { BenchResult, BenchRun, Comparison, Interval, Verdict } from './bench-result.js';
import { BEST_FIXED, BETTER_OF_BOTH, bestFixed, isFixed } from './comparisons.js';
import { byKind, type PromptSums, speedsOf, sumsByPrompt } from './prompt-sums.js';
import { bootstrap, coefficientOfVariation } from './statistics.js';

/** What adapting must add over the best fixed depth. */
export const LEAST_GAIN = 0.1;
/** Slower by no more than this counts as no slower. */
export const TOLERATED_LOSS = 0.02;
/** Kinds with fewer prompts say nothing of their kind. */
const LEAST_PROMPTS_PER_KIND = 2;

type Answer = Verdict['throughput'];

/**
 * Throughput. Met: the gain is at least 10 % and its interval lies above 0. Not met: the whole interval is below 10 %.
 * Otherwise inconclusive.
 */
export function judgeThroughput(gain: Interval): Answer {
  if (gain.value >= LEAST_GAIN && gain.low > 0) return 'met';
  if (gain.high < LEAST_GAIN) return 'not met';
  return 'inconclusive';
}

/**
 * Spread. Met: no slower (the gain's interval lies above -2 %) and the difference of the coefficients of variation, arm
 * less reference, lies below 0 with its interval. Not met: the gain's interval lies below -2 %, or the difference's at
 * or above 0. Otherwise inconclusive.
 */
export function judgeSpread(gain: Interval, difference: Interval): Answer {
  if (gain.low >= -TOLERATED_LOSS && difference.high < 0) return 'met';
  if (gain.high < -TOLERATED_LOSS || difference.low >= 0) return 'not met';
  return 'inconclusive';
}

export interface VerdictOptions {
  runs: readonly BenchRun[];
  comparisons: readonly Comparison[];
  fitness: BenchResult['fitness'];
  equality: BenchResult['equality'];
  random: () => number;
}

/** A verdict for every arm that adapts; none where no fixed depth was measured. */
export function verdicts({ runs, comparisons, fitness, equality, random }: VerdictOptions): Verdict[] {
  const sums = sumsByPrompt(runs, 'beforeLoop');
  const best = bestFixed(sums);
  if (best === undefined) return [];
  return [...sums.keys()]
    .filter((arm) => arm !== PLAIN && !isFixed(arm))
    .flatMap((arm) => {
      const compared = comparisons.find(
        (comparison) =>
          comparison.arm === arm && comparison.against === BEST_FIXED && comparison.kind === 'all',
      );
      if (!compared) return [];
      const { value, low, high, prompts } = compared.ratio;
      const gain: Interval = { value: value - 1, low: low - 1, high: high - 1, prompts };
      const paired = pairPrompts(sums.get(arm)!, sums.get(best)!);
      const spreads = spreadDifference(paired, random);
      const doubts = doubtsOf({ arm, paired, fitness, equality, best });
      const throughput = doubts.length > 0 ? 'inconclusive' : judgeThroughput(gain);
      const spread = doubts.length > 0 ? 'inconclusive' : judgeSpread(gain, spreads.difference);
      const verdict = {
        arm,
        throughput,
        spread,
        gain,
        bestFixed: best,
        spreadOfArm: spreads.arm,
        spreadOfBestFixed: spreads.reference,
        spreadDifference: spreads.difference,
      } satisfies Omit<Verdict, 'summary'>;
      return [{ ...verdict, summary: summarise(verdict, comparisons, doubts) }];
    });
}

interface Pair {
  kind: string;
  arm: PromptSums;
  reference: PromptSums;
}

function pairPrompts(
  arm: ReadonlyMap<string, PromptSums>,
  reference: ReadonlyMap<string, PromptSums>,
): Pair[] {
  return [...arm.values()].flatMap((sums) => {
    const other = reference.get(sums.promptId);
    return other ? [{ kind: sums.kind, arm: sums, reference: other }] : [];
  });
}

/** Coefficients of variation over kinds, and their difference with its interval. */
function spreadDifference(paired: readonly Pair[], random: () => number) {
  const spreadOf = (pairs: readonly Pair[], side: 'arm' | 'reference') =>
    coefficientOfVariation(speedsOf(pairs.map((pair) => pair[side])));
  const difference = bootstrap(
    [...byKind(paired, ({ kind }) => kind).values()],
    (drawn) => {
      const pairs = drawn.flat();
      return spreadOf(pairs, 'arm') - spreadOf(pairs, 'reference');
    },
    { random, scale: 'difference' },
  );
  return { arm: spreadOf(paired, 'arm'), reference: spreadOf(paired, 'reference'), difference };
}

/** What forbids an answer, whatever the figures are. */
function doubtsOf({
  arm,
  best,
  paired,
  fitness,
  equality,
}: {
  arm: string;
  best: string;
  paired: readonly Pair[];
  fitness: BenchResult['fitness'];
  equality: BenchResult['equality'];
}): string[] {
  const doubts: string[] = [];
  if (!fitness.fit) doubts.push(`the run is unfit (${fitness.reasons.join('; ')})`);
  const differing = equality.differing.filter((one) => one.arm === arm || one.arm === best);
  if (differing.length > 0) doubts.push(`tokens differ from plain decoding's in ${differing.length} runs`);
  const kinds = [...byKind(paired, ({ kind }) => kind)];
  const few = kinds.filter(([, pairs]) => pairs.length < LEAST_PROMPTS_PER_KIND).map(([kind]) => kind);
  if (few.length > 0) doubts.push(`there is a single prompt of ${few.join(', ')}`);
  if (kinds.length < 2) doubts.push('there is one kind of text only, and so no spread over kinds');
  return doubts;
}

function summarise(
  verdict: Omit<Verdict, 'summary'>,
  comparisons: readonly Comparison[],
  doubts: readonly string[],
): string[] {
  const {
    arm,
    gain,
    bestFixed: best,
    spreadOfArm,
    spreadOfBestFixed,
    spreadDifference: difference,
  } = verdict;
  const lines = [
    `${arm} against ${best}, the best fixed depth: ${change(gain.value)} (95 % ${change(gain.low)} to ${change(gain.high)}); at least +10 % is ${verdict.throughput}.`,
    `Spread over kinds: ${spreadOfArm.toFixed(3)} against ${spreadOfBestFixed.toFixed(3)}, difference ${signed(difference.value)} (95 % ${signed(difference.low)} to ${signed(difference.high)}); no slower with less spread is ${verdict.spread}.`,
  ];
  const plain = find(comparisons, arm, PLAIN, 'all');
  if (plain) lines.push(`Against plain decoding: ${change(plain.ratio.value - 1)}.`);
  const worst = comparisons
    .filter((one) => one.arm === arm && one.against === BETTER_OF_BOTH && one.kind !== 'all')
    .reduce<Comparison | undefined>(
      (least, one) => (least && least.ratio.value <= one.ratio.value ? least : one),
      undefined,
    );
  if (worst) {
    lines.push(
      `Weakest kind, against the better of plain and ${best}: ${worst.kind}, ${change(worst.ratio.value - 1)} against ${worst.referenceArm}.`,
    );
  }
  const bestAgainstPlain = find(comparisons, best, PLAIN, 'all');
  if (bestAgainstPlain && bestAgainstPlain.ratio.value < 1)
    lines.push(
      `Plain decoding is faster here than any fixed depth: ${best} is ${change(bestAgainstPlain.ratio.value - 1)}.`,
    );
  if (doubts.length > 0) lines.push(`No answer is given, because ${doubts.join(', and ')}.`);
  return lines;
}

function find(comparisons: readonly Comparison[], arm: string, against: string, kind: string) {
  return comparisons.find((one) => one.arm === arm && one.against === against && one.kind === kind);
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)}`;
}
