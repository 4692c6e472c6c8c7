// What an engine knows of its costs: from the cache, from a calibration, from its own steps; and when that is kept.

import type { StepReport } from '../control/controller.js';
import type { CostTable } from '../control/costs.js';
import { type CachedCosts, readCachedCosts, writeCachedCosts } from './cache.js';
import type { CacheFacts } from './cache-key.js';
import type { Calibration } from './calibration.js';
import { LiveCosts } from './live.js';
import { type CpuTimes, othersLoad, readCpuTimes } from './load-meter.js';

/** Live steps are worth keeping from so many on, with so many different numbers of rows among them. */
const STEPS_TO_KEEP = 100;
const ROWS_TO_KEEP = 3;

export interface EngineCostsOptions {
  /** What the table holds for; undefined where nothing is read from the cache or written to it. */
  facts: CacheFacts | undefined;
  drafts: boolean;
  threads: number;
  draftThreads: number;
  cpuTimes?: () => CpuTimes | undefined;
  /** The cache's folder, for tests. */
  folder?: string;
}

export class EngineCosts {
  readonly #options: EngineCostsOptions;
  readonly #cpuTimes: () => CpuTimes | undefined;
  #cached: CachedCosts | undefined;
  #live: LiveCosts;
  /** The cached table, where it was learnt from steps. */
  #handedOn: CostTable | undefined;
  /** Made from what was seen so far; undefined where a step came since. */
  #table: { costs: CostTable | undefined } | undefined;
  #busySince: CpuTimes | undefined;
  #disturbed = false;
  /** Whether the base itself was measured on a busy machine. */
  #baseIsLoaded = false;

  constructor(options: EngineCostsOptions) {
    this.#options = options;
    this.#cpuTimes = options.cpuTimes ?? readCpuTimes;
    this.#cached = options.facts && readCachedCosts(options.facts, options.folder);
    const isMeasured = this.#cached?.source === 'calibrate';
    this.#live = this.#learner(isMeasured ? this.#cached?.table : undefined);
    this.#handedOn = isMeasured ? undefined : this.#cached?.table;
  }

  /** Where the table began: in the cache, or undefined. */
  get cached(): CachedCosts | undefined {
    return this.#cached;
  }

  get table(): CostTable | undefined {
    this.#table ??= { costs: this.#known() };
    return this.#table.costs;
  }

  /**
   * What another engine learnt from its steps holds until this one's own tell enough, and no longer: steps of a slow hour,
   * or beside other work, have other ratios between rows, and policies that go by those may never come to see it.
   */
  #known(): CostTable | undefined {
    const own = this.#live.table();
    if (!this.#handedOn || (own && this.#live.rowsKnown >= ROWS_TO_KEEP)) return own;
    return { ...this.#handedOn, unconfirmed: true };
  }

  observe(report: StepReport, asked: boolean): void {
    const { steps } = this.#live;
    this.#live.observe(report, asked);
    // Steps that others share tell nothing, and many requests that begin then get the same table.
    if (this.#live.steps !== steps) this.#table = undefined;
  }

  /** Told when requests begin to run, and when none is left: the load of others counts in between. */
  busy(begins: boolean): void {
    if (begins) {
      this.#busySince ??= this.#cpuTimes();
      return;
    }
    if (othersLoad(this.#busySince, this.#cpuTimes(), this.#options.threads)?.disturbs)
      this.#disturbed = true;
    this.#busySince = undefined;
  }

  /**
   * Takes a calibration as the new base. It is kept for later unless the machine was busy, or the time too short for
   * what plans need first.
   */
  calibrated(calibration: Calibration): void {
    this.#live = this.#learner(calibration);
    this.#handedOn = undefined;
    this.#table = undefined;
    this.#baseIsLoaded = calibration.loaded;
    const { loaded, missing, measuredAt } = calibration;
    const rows = new Set(calibration.target.map((point) => point.rows)).size;
    if (loaded || missing.includes('draft') || rows < ROWS_TO_KEEP) return;
    this.#keep({ table: calibration, source: 'calibrate', measuredAt });
  }

  /** Keeps what live steps have learned, where nothing better is cached and the machine was quiet. */
  close(): void {
    if (this.#busySince) this.busy(false);
    const table = this.#live.table('usual');
    if (!table || this.#disturbed || this.#baseIsLoaded || this.#live.steps < STEPS_TO_KEEP) return;
    // A measured one stays: it was made on purpose, and knows more numbers of rows.
    if (this.#cached?.source === 'calibrate' || this.#live.rowsKnown < ROWS_TO_KEEP) return;
    this.#keep({ table, source: 'live', measuredAt: new Date().toISOString() });
  }

  #keep(costs: CachedCosts): void {
    const { facts, folder } = this.#options;
    if (facts && writeCachedCosts(facts, costs, folder)) this.#cached = costs;
  }

  #learner(base: CostTable | undefined): LiveCosts {
    const { drafts, draftThreads } = this.#options;
    return new LiveCosts({ base, drafts, draftThreads });
  }
}
