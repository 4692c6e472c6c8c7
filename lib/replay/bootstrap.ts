// Bootstrap over prompts: how often each prompt is drawn in each resample, the same draws at every run.

import { randomFrom } from '../bench/random.js';
import { groupBy } from './best-fixed.js';

const RESAMPLES = 2000;
const SEED = 2026;

/** A figure with its 95 % interval. */
export interface Estimate {
  value: number;
  low: number;
  high: number;
}

export interface Resamples {
  /**
   * The interval of a positive statistic of weighted generations, which may answer NaN where the weights leave nothing
   * to say. Resamples of few prompts spread too little, by sqrt((n - 1) / n) for n prompts of a kind, and are moved
   * away from the value by the inverse of that.
   */
  estimate(value: number, of: (weights: Uint16Array) => number): Estimate;
}

/**
 * Prompts are drawn with replacement within their kind, since kinds are chosen and not chance; where a kind has a
 * single prompt, over all kinds together. Generations of one prompt are drawn together.
 */
export function resample(generations: readonly { id: string; kind: string }[]): Resamples {
  const prompts = [...groupBy(generations, ({ id }) => id).values()];
  const kinds = [...groupBy(prompts, (members) => generations[members[0]!]!.kind).values()];
  const within = kinds.every(({ length }) => length > 1);
  const strata = within ? kinds.map((places) => places.map((place) => prompts[place]!)) : [prompts];
  const n = within ? prompts.length / kinds.length : prompts.length;
  const widen = n > 1 ? Math.sqrt(n / (n - 1)) : 1;

  const random = randomFrom(SEED);
  const draws = Array.from({ length: RESAMPLES }, () => {
    const weights = new Uint16Array(generations.length);
    for (const stratum of strata) {
      for (let draw = 0; draw < stratum.length; draw++) {
        for (const g of stratum[Math.floor(random() * stratum.length)]!) weights[g]!++;
      }
    }
    return weights;
  });

  return {
    estimate(value, of) {
      const samples = new Float64Array(draws.length);
      let count = 0;
      for (const weights of draws) {
        const sample = of(weights);
        if (!Number.isNaN(sample)) samples[count++] = value * (sample / value) ** widen;
      }
      const sorted = samples.subarray(0, count).sort();
      const at = (share: number) => sorted[Math.round(share * (count - 1))] ?? value;
      return { value, low: at(0.025), high: at(0.975) };
    },
  };
}
