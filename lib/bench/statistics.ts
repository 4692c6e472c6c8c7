// Means, quantiles and bootstrap intervals of a benchmark. The unit of chance is the prompt: two runs of one prompt
// tell nothing of other prompts, so prompts are drawn, with all their runs.

import { mean } from '../calibration/quantile.js';
import type { Interval } from './bench-result.js';

export { mean };

export const RESAMPLES = 2000;

/** Middle value; the mean of the two middle ones where their number is even. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** Standard deviation (of a sample: n - 1) over the mean. 0 of a single value. */
export function coefficientOfVariation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const centre = mean(values);
  const variance = values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1);
  return Math.sqrt(variance) / centre;
}

/** The values at the given shares of the way from least to largest, straight lines between. 0 where there are none. */
export function quantiles(values: readonly number[], shares: readonly number[]): number[] {
  if (values.length === 0) return shares.map(() => 0);
  const sorted = Float64Array.from(values).sort();
  return shares.map((share) => {
    const place = share * (sorted.length - 1);
    const low = Math.floor(place);
    const high = Math.min(low + 1, sorted.length - 1);
    return sorted[low]! + (place - low) * (sorted[high]! - sorted[low]!);
  });
}

/** Prompts' figures, by kind of text. */
export type Strata<T> = readonly (readonly T[])[];

/**
 * 95 % interval of a statistic of prompts, by the percentile bootstrap: prompts are drawn anew within each kind, since
 * the kinds are chosen and not chance. Where a kind has one prompt only, prompts are drawn over all kinds together.
 * `statistic` gets the drawn prompts by kind, none of them empty. Resamples of few prompts spread too little, by
 * sqrt((n - 1) / n) for n prompts of a kind; each is moved away from the value by the inverse of that, on the scale of
 * `scale`: 'ratio' for positive statistics, 'difference' for others. A single prompt has no interval: `low` and `high`
 * are the value then, and `prompts` tells.
 */
export function bootstrap<T>(
  strata: Strata<T>,
  statistic: (drawn: Strata<T>) => number,
  {
    random,
    scale = 'ratio',
    resamples = RESAMPLES,
  }: { random: () => number; scale?: 'ratio' | 'difference'; resamples?: number },
): Interval {
  const kinds = strata.filter(({ length }) => length > 0);
  const value = statistic(kinds);
  const prompts = kinds.reduce((sum, { length }) => sum + length, 0);
  if (prompts < 2) return { value, low: value, high: value, prompts };
  const within = kinds.every(({ length }) => length > 1);
  const n = within ? prompts / kinds.length : prompts;
  const widen = Math.sqrt(n / (n - 1));
  const draw = within ? () => drawWithin(kinds, random) : () => drawOverAll(kinds, random);
  const drawn = Float64Array.from({ length: resamples }, () => {
    const resampled = statistic(draw());
    return scale === 'ratio' ? value * (resampled / value) ** widen : value + (resampled - value) * widen;
  });
  const [low, high] = quantiles(Array.from(drawn), [0.025, 0.975]);
  return { value, low: low!, high: high!, prompts };
}

function drawWithin<T>(kinds: Strata<T>, random: () => number): T[][] {
  return kinds.map((kind) => kind.map(() => kind[Math.floor(random() * kind.length)]!));
}

function drawOverAll<T>(kinds: Strata<T>, random: () => number): T[][] {
  const all = kinds.flatMap((kind, k) => kind.map((prompt) => ({ k, prompt })));
  const drawn: T[][] = kinds.map(() => []);
  for (let i = 0; i < all.length; i++) {
    const { k, prompt } = all[Math.floor(random() * all.length)]!;
    drawn[k]!.push(prompt);
  }
  return drawn.filter(({ length }) => length > 0);
}
