// Makes the metrics of one registry. What may move at every step is a plain number until metrics are read.

import { Counter, Gauge, Registry } from 'prom-client';
import { tallyHistogram } from './tally-histogram.js';

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
    let total = 0;
    for (const [name, labels] of Object.entries(names)) {
      this.#countedElsewhere(`${name}_total`, help, Object.keys(labels), (set) => set(labels, total));
    }
    return (value) => {
      total += value;
    };
  }

  /** The same, counted for each place from 0 on, which the label `position` tells. Answers how a place's is raised by 1. */
  countersByPlace(names: Record<string, Labels>, help: string): (place: number) => void {
    const totals: number[] = [];
    for (const [name, labels] of Object.entries(names)) {
      this.#countedElsewhere(`${name}_total`, help, [...Object.keys(labels), 'position'], (set) => {
        for (const [place, total] of totals.entries()) set({ ...labels, position: `${place}` }, total);
      });
    }
    return (place) => {
      while (totals.length <= place) totals.push(0);
      totals[place]!++;
    };
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
    this.#countedElsewhere(name, help, [], (set) => set({}, read()));
  }

  /** A histogram with labels that are always the same. It is there from the start. Answers how it is given a value. */
  histogram(
    name: string,
    help: string,
    buckets: readonly number[],
    labels: Labels = {},
  ): (value: number) => void {
    return this.histograms(name, help, buckets, [labels])[0]!;
  }

  /** The same, of several series. */
  histograms(
    name: string,
    help: string,
    buckets: readonly number[],
    labels: readonly Labels[],
  ): ((value: number) => void)[] {
    return tallyHistogram(this.registry, { name, help, buckets }, labels);
  }

  /** A counter whose values are set when metrics are read: prom-client's own look labels up by their text each time. */
  #countedElsewhere(
    name: string,
    help: string,
    labelNames: string[],
    read: (set: (labels: Labels, value: number) => void) => void,
  ): void {
    new Counter({
      name,
      help,
      labelNames,
      registers: [this.registry],
      collect() {
        this.reset();
        read((labels, value) => this.inc(labels, value));
      },
    });
  }
}
