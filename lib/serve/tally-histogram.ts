// A histogram that may take in a value at every step: prom-client's looks its labels up by their text each time.

import type { Registry } from 'prom-client';

/** One series of a histogram. */
class Series {
  readonly #buckets: readonly number[];
  /** Values by the bucket that they fall in; the last is of those above all. */
  readonly #counts: number[];
  #sum = 0;

  constructor(buckets: readonly number[]) {
    this.#buckets = buckets;
    this.#counts = new Array(buckets.length + 1).fill(0);
  }

  observe(value: number): void {
    let at = 0;
    while (at < this.#buckets.length && !(value <= this.#buckets[at]!)) at++;
    this.#counts[at]!++;
    this.#sum += value;
  }

  samples(name: string, labels: Record<string, string>) {
    let count = 0;
    const buckets = this.#counts.map((own, at) => {
      count += own;
      return {
        metricName: `${name}_bucket`,
        labels: { le: this.#buckets[at] ?? '+Inf', ...labels },
        value: count,
      };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}

/**
 * Puts a histogram into a registry, with a series for each of `labels`, all of which are there from the start.
 * `buckets` are upper bounds and rise. Answers, for each series, how it is given a value.
 */
export function tallyHistogram(
  registry: Registry,
  { name, help, buckets }: { name: string; help: string; buckets: readonly number[] },
  labels: readonly Record<string, string>[],
): ((value: number) => void)[] {
  const all = labels.map((own) => [new Series(buckets), own] as const);
  const told = { name, help, type: 'histogram', aggregator: 'sum' };
  const metric = {
    ...told,
    get: async () => ({ ...told, values: all.flatMap(([series, own]) => series.samples(name, own)) }),
  };
  // All that a registry wants of a metric is its name and what `get` tells; its type names prom-client's classes.
  registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0]);
  return all.map(
    ([series]) =>
      (value) =>
        series.observe(value),
  );
}
