// Measures what a step costs, the most telling numbers first, for as long as the budget allows.

import type { CostModel } from '../control/costs.js';
import type { Warning } from '../options.js';
import { percent } from '../percent.js';
import type { Calibration, CalibrationPart, MeasuredRow } from './calibration.js';
import { type CpuTimes, type OthersLoad, othersLoad, readCpuTimes } from './load-meter.js';
import { lowerQuartile, quantile } from './quantile.js';
import { findRisers } from './staircase.js';
import { passes, type StepSample, StepSamples } from './step-samples.js';

/** What is measured. All times are in milliseconds; each promise rejects with DISPOSED where the engine is closed. */
export interface CalibrationSubject {
  /** Rows that a pass can have. */
  maxRows: number;
  /** Positions of the target's cache. */
  contextSize: number;
  threads: number;
  /** Whether anything can be drafted, and on how many threads that is done. */
  drafts: boolean;
  draftThreads: number;
  vocabularySize: number;
  /** A pass with each of these numbers of rows in turn, `repeats` times over; the cache is filled once. */
  target(rows: readonly number[], contextLength: number, repeats: number): Promise<number[]>;
  /** Time per token of drafts of so many tokens: one number for each repeat. */
  draft(tokens: number, repeats: number): Promise<number[]>;
  /** Choosing a token from one row of logits. */
  sampling(repeats: number): Promise<number[]>;
  /** What steps of plain decoding cost beside the target's pass; with `asked`, a controller is asked at each. */
  steps(count: number, asked: boolean): Promise<number[]>;
  /** So many steps, each of which drafts `depth` tokens by the model; fewer where the context ends. */
  draftingSteps(count: number, depth: number): Promise<StepSample[]>;
}

export interface CalibrateSettings {
  /** Time to measure in. At least one row is measured whatever it is. */
  budgetMs: number;
  /** Numbers of rows to measure, and no others. Default: the usual ones. */
  rows?: readonly number[] | undefined;
  /** Tokens in the cache before. Default 0, and a second length for the slope. */
  contextLength?: number | undefined;
  /** Turns through the rows, whatever time that takes. Default: as many as fit. */
  repeats?: number | undefined;
  /** Told how far it is, 0 to 1. */
  onProgress?: ((done: number) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Clocks, for tests. */
  now?: () => number;
  cpuTimes?: () => CpuTimes | undefined;
}

/** Rows that tell most: one, few, and both sides of the risers that 4- and 8-row tiles make. */
const FIRST = [1, 2, 5, 9, 17];
/** The others of drafts up to 32 tokens, and the ends of longer ones. */
const REST = [3, 4, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 24, 25, 32, 33, 48, 49, 65];
/** Rows at which the slope over the context is measured. */
const SLOPE = [1, 9, 33];
const LONG_CONTEXTS = [1024, 512, 256];
const MOST_TURNS = 9;
/** By when, in parts of the budget, each stage is to be done. */
const UNTIL = { first: 0.3, draft: 0.35, steps: 0.4, drafting: 0.52, rest: 0.8 };
/** Steps of each of the first numbers of rows, at most. */
const DRAFTING_STEPS = 10;
const DRAFT_TOKENS = 8;
/** Fewer of them aren't worth running. */
const LEAST_DRAFTING_STEPS = 6;
/** Middle half over median: from there on, a median is not to be believed. */
const MUCH_SPREAD = 0.2;

/** Throws the signal's reason, or what the subject throws. */
export async function calibrate(
  subject: CalibrationSubject,
  settings: CalibrateSettings,
): Promise<Calibration> {
  return new Run(subject, settings).run();
}

class Run {
  readonly #subject: CalibrationSubject;
  readonly #settings: CalibrateSettings;
  readonly #now: () => number;
  readonly #start: number;
  readonly #contextLength: number;
  readonly #samples = new Samples();
  readonly #stepSamples = new StepSamples();
  readonly #missing = new Set<CalibrationPart>();

  constructor(subject: CalibrationSubject, settings: CalibrateSettings) {
    this.#subject = subject;
    this.#settings = settings;
    this.#now = settings.now ?? (() => performance.now());
    this.#start = this.#now();
    this.#contextLength = settings.contextLength ?? 0;
  }

  async run(): Promise<Calibration> {
    const cpuTimes = this.#settings.cpuTimes ?? readCpuTimes;
    const before = cpuTimes();
    const { rows, repeats } = this.#settings;
    if (rows) await this.#turns(rows, repeats, UNTIL.rest);
    else await this.#turns(this.#possible(FIRST), repeats, UNTIL.first);
    const sampling = await this.#subject.sampling(5);
    const draft = await this.#draft();
    const steps = await this.#steps(median(sampling));
    if (!rows) {
      await this.#draftingSteps(median(draft));
      await this.#rest();
      await this.#slope();
    }
    this.#progress(1);
    const others = othersLoad(before, cpuTimes(), this.#subject.threads);
    return this.#result({ sampling, draft, ...steps }, others);
  }

  /** Turns through these rows, so that a busy moment touches none of them alone: at least one, until then. */
  async #turns(rows: readonly number[], repeats: number | undefined, until: number): Promise<void> {
    for (let turn = 0; turn < (repeats ?? MOST_TURNS); turn++) {
      for (const n of rows) {
        if (repeats === undefined && (turn > 0 ? this.#over(until) : this.#over(1) && !this.#samples.empty))
          return;
        await this.#measure([n], this.#contextLength);
      }
    }
  }

  /** Each of these numbers of rows twice: the first pass has another shape than the one before. */
  async #measure(rows: readonly number[], contextLength: number, repeats = 1): Promise<void> {
    this.#settings.signal?.throwIfAborted();
    const ms = await this.#subject.target(
      rows.flatMap((n) => [n, n]),
      contextLength,
      repeats,
    );
    for (let i = 0; i + 1 < ms.length; i += 2)
      this.#samples.add(rows[(i >> 1) % rows.length]!, contextLength, ms[i]!, ms[i + 1]!);
    this.#progress();
  }

  async #draft(): Promise<number[]> {
    const { drafts, contextSize } = this.#subject;
    if (!drafts) return [];
    this.#settings.signal?.throwIfAborted();
    const tokens = Math.min(DRAFT_TOKENS, contextSize - 2);
    const times = await this.#subject.draft(tokens, 1);
    while (times.length > 0 && times.length < MOST_TURNS && !this.#over(UNTIL.draft)) {
      times.push(...(await this.#subject.draft(tokens, 1)));
      this.#progress();
    }
    if (times.length === 0) this.#missing.add('draft');
    return times;
  }

  /**
   * Costs of a step beside its passes, from real steps. They are left out where even a few take too long. Plain ones run
   * in #draftingSteps again, for their passes: those are left out on a busy machine, which needs these all the same.
   */
  async #steps(samplingMs: number): Promise<{ alone: number[]; asked: number[] }> {
    const step = this.#samples.fastest() + samplingMs;
    const room = Math.max(0, this.#left(UNTIL.steps));
    const count = Math.min(16, Math.floor(room / 2 / step), this.#subject.contextSize - 8);
    if (count < 2) {
      this.#missing.add('overhead').add('callback');
      return { alone: [samplingMs], asked: [samplingMs] };
    }
    this.#settings.signal?.throwIfAborted();
    const alone = await this.#subject.steps(count, false);
    this.#progress();
    const asked = await this.#subject.steps(count, true);
    this.#progress();
    return { alone, asked };
  }

  /** Whole steps with the first numbers of rows: the fewest rows first, for as long as there is time. */
  async #draftingSteps(draftMs: number): Promise<void> {
    const { drafts, contextSize } = this.#subject;
    // They would correct nothing, and the passes want the time.
    if (this.#samples.spread() > MUCH_SPREAD) {
      this.#missing.add('steps');
      return;
    }
    for (const rows of this.#possible(FIRST)) {
      const depth = rows - 1;
      // The text is as long as if all drafts were right.
      const fitting = Math.floor((contextSize - 8) / rows);
      const step = this.#model().verifyMs(rows, 0) + depth * draftMs;
      const count = Math.min(DRAFTING_STEPS, fitting, Math.floor(this.#left(UNTIL.drafting) / step));
      if (depth > 0 && !drafts) return;
      if (count < LEAST_DRAFTING_STEPS) {
        this.#missing.add('steps');
        return;
      }
      this.#settings.signal?.throwIfAborted();
      this.#stepSamples.add(rows, await this.#subject.draftingSteps(count, depth));
      this.#progress();
    }
  }

  /** The other rows, with one row beside them that ties them to the first ones. */
  async #rest(): Promise<void> {
    const { repeats } = this.#settings;
    const all = this.#possible(REST);
    const rows = all.slice(0, this.#affordable(all, this.#left(UNTIL.rest)));
    if (rows.length < all.length) this.#missing.add('rows');
    if (rows.length > 0) await this.#turns([1, ...rows], repeats, UNTIL.rest);
  }

  /** The longest context that is filled in half of what is left. */
  async #slope(): Promise<void> {
    if (this.#settings.contextLength !== undefined) return;
    const rows = this.#possible(SLOPE);
    const model = this.#model();
    // A prompt's rows are cheaper than those of a step, if anything.
    const perToken = model.verifyMs(33, 0) / 33;
    const turn = rows.reduce((sum, n) => sum + 2 * model.verifyMs(n, 0), 0);
    const room = this.#left(1);
    const length = LONG_CONTEXTS.find(
      (tokens) =>
        tokens + Math.max(...rows) <= this.#subject.contextSize &&
        tokens * perToken < room / 2 &&
        turn < room / 3,
    );
    if (length === undefined) {
      this.#missing.add('context');
      return;
    }
    const fitting = Math.floor((room - length * perToken) / turn / 1.5);
    const repeats = this.#settings.repeats ?? Math.max(1, Math.min(MOST_TURNS, fitting));
    await this.#measure(rows, length, repeats);
  }

  #result(
    times: Record<'sampling' | 'draft' | 'alone' | 'asked', number[]>,
    others: OthersLoad | undefined,
  ): Calibration {
    const spread = this.#samples.spread();
    const loaded = others?.disturbs === true || spread > MUCH_SPREAD;
    // What others take only ever adds: the lower samples are nearer to the truth then.
    const typical = loaded ? lowerQuartile : median;
    // Nor are steps that others held up to correct anything.
    const points = loaded ? this.#samples.undisturbed() : this.#samples.points();
    const target = loaded ? points : this.#stepSamples.corrected(points, scaled);
    const draft = (!loaded && this.#stepSamples.draft()) || { msPerToken: typical(times.draft) };
    const warnings: Warning[] = loaded ? [busy(others, spread)] : [];
    const subject = this.#subject;
    return {
      target,
      draft: { ...draft, threads: subject.draftThreads },
      overheadMs: typical(times.alone),
      rebuildMs: this.#samples.rebuild(),
      callbackMs: Math.max(0, typical(times.asked) - typical(times.alone)),
      samplingMs: typical(times.sampling),
      vocabularySize: subject.vocabularySize,
      staircase: findRisers(target),
      missing: [...this.#missing],
      loaded,
      loadOfOthers: others?.cores,
      spread,
      measuredAt: new Date().toISOString(),
      milliseconds: this.#now() - this.#start,
      warnings,
    };
  }

  #possible(rows: readonly number[]): number[] {
    const most = Math.min(this.#subject.maxRows, this.#subject.contextSize - this.#contextLength);
    return rows.filter((n) => n <= most);
  }

  /** How many of these, from the first on, one turn has time for. */
  #affordable(rows: readonly number[], ms: number): number {
    const model = this.#model();
    let left = ms - 2 * model.verifyMs(1, 0);
    const tooMany = rows.findIndex((n) => {
      left -= 2 * model.verifyMs(n, 0);
      return left < 0;
    });
    return tooMany < 0 ? rows.length : tooMany;
  }

  #model(): CostModel {
    return passes(this.#samples.points().map((point) => ({ ...point, contextLength: 0 })));
  }

  /** Milliseconds until that part of the budget is used up. */
  #left(until: number): number {
    return this.#start + until * this.#settings.budgetMs - this.#now();
  }

  #over(until: number): boolean {
    return this.#left(until) <= 0;
  }

  #progress(done?: number): void {
    // Not 1 before it is true.
    this.#settings.onProgress?.(done ?? Math.min(0.99, 1 - this.#left(1) / this.#settings.budgetMs));
  }
}

const median = (values: readonly number[]) => quantile(values, 0.5);

const scaled = (point: MeasuredRow, factor: number): MeasuredRow => ({
  ...point,
  ms: point.ms * factor,
  low: point.low * factor,
  high: point.high * factor,
});

/** Times by number of rows and context length, and what a change of shape added to each. */
class Samples {
  readonly #points = new Map<
    string,
    { rows: number; contextLength: number; same: number[]; changes: number[] }
  >();

  get empty(): boolean {
    return this.#points.size === 0;
  }

  /** Two passes in a row, of which the first has another shape than the one before. */
  add(rows: number, contextLength: number, changed: number, same: number): void {
    const key = `${rows} ${contextLength}`;
    const point = this.#points.get(key) ?? { rows, contextLength, same: [], changes: [] };
    this.#points.set(key, point);
    point.same.push(same);
    point.changes.push(changed - same);
  }

  /** By context length and rows, ascending. */
  points(typical = median): MeasuredRow[] {
    return [...this.#points.values()]
      .sort((a, b) => a.contextLength - b.contextLength || a.rows - b.rows)
      .map(({ rows, contextLength, same }) => ({
        rows,
        contextLength,
        ms: typical(same),
        low: quantile(same, 0.25),
        high: quantile(same, 0.75),
      }));
  }

  /**
   * The same from the lower samples; and no number of rows costs more than a larger one did, since that was the
   * disturbance and not the rows.
   */
  undisturbed(): MeasuredRow[] {
    const points = this.points(lowerQuartile);
    for (let i = points.length - 2; i >= 0; i--) {
      const [point, next] = [points[i]!, points[i + 1]!];
      if (point.contextLength === next.contextLength) point.ms = Math.min(point.ms, next.ms);
    }
    for (const point of points) point.low = Math.min(point.low, point.ms);
    return points;
  }

  /** Middle half over median, in the median of the points that have enough samples to tell. */
  spread(): number {
    const told = [...this.#points.values()].filter(({ same }) => same.length >= 3);
    return quantile(
      told.map(({ same }) => (quantile(same, 0.75) - quantile(same, 0.25)) / quantile(same, 0.5)),
      0.5,
    );
  }

  /**
   * What a change to a shape that was had before adds, in the median of the points that were had most often: the first
   * pass of a shape builds its graph. 0 where there was never a change.
   */
  rebuild(): number {
    const points = [...this.#points.values()];
    if (new Set(points.map(({ rows }) => rows)).size < 2) return 0;
    const most = Math.max(...points.map(({ changes }) => changes.length));
    const told = points.filter(({ changes }) => 2 * changes.length > most);
    return Math.max(
      0,
      quantile(
        told.map(({ changes }) => quantile(changes, 0.5)),
        0.5,
      ),
    );
  }

  fastest(): number {
    return Math.min(...this.points().map(({ ms }) => ms));
  }
}

function busy(others: OthersLoad | undefined, spread: number): Warning {
  const reasons = [
    ...(others?.disturbs ? [`others used ${others.cores.toFixed(1)} cores`] : []),
    ...(spread > MUCH_SPREAD ? [`equal passes differed by ${percent(spread)}`] : []),
  ];
  return {
    code: 'MACHINE_BUSY',
    message: `The machine was busy while costs were measured (${reasons.join('; ')}): the lower quarter of the times is taken, and nothing is kept for later. Calibrate again on a quiet machine.`,
  };
}
