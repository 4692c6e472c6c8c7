// Ratios with their spread: what every comparison of this folder prints.

/** Middle value; the mean of the two middle ones where their number is even. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function geometricMean(values) {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** Numbers from a seed, 0 to 1, so that a report can be made again. */
export function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}

/** The values in random order. */
export function shuffled(values, random) {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}

/** Geometric mean of paired ratios with its 95 % bootstrap interval: {ratio, low, high}. */
export function ratioWithInterval(ratios, resamples = 2000) {
  const random = randomFrom(1);
  const means = Array.from({ length: resamples }, () =>
    geometricMean(ratios.map(() => ratios[Math.floor(random() * ratios.length)])),
  ).sort((a, b) => a - b);
  const at = (share) => means[Math.min(resamples - 1, Math.floor(share * resamples))];
  return { ratio: geometricMean(ratios), low: at(0.025), high: at(0.975) };
}
