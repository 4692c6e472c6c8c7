// Makes the metrics of one registry.

import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export type Labels = Record<string, string>;

export class MetricMaker {
  readonly registry = new Registry();

  /** A counter; `_total` comes behind its name. */
  counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name: `${name}_total`, help, labelNames, registers: [this.registry] });
  }

  /**
   * The same counter by several names, without labels or with some that are always the same. It is there from the
   * start, at 0. Answers how it is raised.
   */
  counters(names: Record<string, Labels>, help: string): (value: number) => void {
    const made = Object.entries(names).map(
      ([name, labels]) => [this.counter(name, help, Object.keys(labels)), labels] as const,
    );
    const raise = (value: number) => {
      for (const [counter, labels] of made) counter.inc(labels, value);
    };
    raise(0);
    return raise;
  }

  /** A number that is asked for when metrics are read; by several names, as `counters` has them. */
  gauges(names: Record<string, Labels>, help: string, read: () => number): void {
    for (const [name, labels] of Object.entries(names)) {
      this.gauge(name, help, Object.keys(labels), (gauge) => gauge.set(labels, read()));
    }
  }

  gauge(name: string, help: string, labelNames: string[], read: (gauge: Gauge) => void): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.registry],
      collect() {
        read(this);
      },
    });
  }

  /** A number that is asked for and never falls, by a name of its own, as llama-server has one. */
  highest(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  histogram(name: string, help: string, buckets: readonly number[], labelNames: string[] = []): Histogram {
    return new Histogram({ name, help, buckets: [...buckets], labelNames, registers: [this.registry] });
  }
}
