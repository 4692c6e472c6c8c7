// Whether the machine was quiet: what other processes took of the CPUs, and how much equal runs differ.

import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { PLAIN } from './arms.js';
import type { BenchResult, BenchRun } from './bench-result.js';

/** Others may keep so many cores busy, as a share of those that this process may use. */
export const MOST_LOAD = 0.05;
/** Standard deviation of equal runs. */
export const MOST_SPREAD = 0.08;

/** Ticks of /proc/stat are hundredths of a second on every Linux that Node runs on. */
const TICK_MS = 10;

/** Busy time of all CPUs since the start, in milliseconds, that stolen by a hypervisor included. */
export function busyMs(procStat: string): number | null {
  const line = /^cpu +(.*)$/m.exec(procStat)?.[1];
  if (line === undefined) return null;
  // user nice system idle iowait irq softirq steal; guests are in user and nice already.
  const [user, nice, system, , , irq, softirq, steal] = line.split(' ').map(Number);
  const ticks = [user, nice, system, irq, softirq, steal].reduce<number>((sum, n) => sum + (n ?? 0), 0);
  return Number.isFinite(ticks) ? ticks * TICK_MS : null;
}

/** Watches what others take of the CPUs from its making on. */
export class LoadWatch {
  readonly #read: () => string;
  readonly #own: () => number;
  readonly #now: () => number;
  readonly #start: { busy: number | null; own: number; at: number };

  constructor({
    readProcStat = () => readFileSync('/proc/stat', 'utf8'),
    ownMs = () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    now = () => performance.now(),
  } = {}) {
    this.#read = readProcStat;
    this.#own = ownMs;
    this.#now = now;
    this.#start = this.#sample();
  }

  /** Cores that others kept busy on average; null where the system doesn't tell. */
  get cores(): number | null {
    const end = this.#sample();
    if (end.busy === null || this.#start.busy === null || end.at === this.#start.at) return null;
    const others = end.busy - this.#start.busy - (end.own - this.#start.own);
    // Both clocks tick coarsely, so that a quiet machine may come out below 0.
    return Math.max(0, others / (end.at - this.#start.at));
  }

  #sample() {
    let busy: number | null = null;
    try {
      busy = busyMs(this.#read());
    } catch {
      // Another system than Linux.
    }
    return { busy, own: this.#own(), at: this.#now() };
  }
}

/**
 * Standard deviation of the logarithm of plain decoding's time per token, between runs of the same prompt at the same
 * temperature: about the relative spread of a single run. 0 where no prompt was run twice.
 */
export function plainSpread(runs: readonly BenchRun[]): number {
  const groups = new Map<string, number[]>();
  for (const { arm, promptId, temperature, block, all } of runs) {
    if (arm !== PLAIN || all.tokens === 0) continue;
    // At temperature 0 every block has the same text; above, each has a seed of its own.
    const key = `${promptId} ${temperature} ${temperature > 0 ? block : ''}`;
    const logs = groups.get(key) ?? [];
    logs.push(Math.log(all.decodeMs / all.tokens));
    groups.set(key, logs);
  }
  let squares = 0;
  let degrees = 0;
  for (const logs of groups.values()) {
    const centre = logs.reduce((sum, log) => sum + log, 0) / logs.length;
    squares += logs.reduce((sum, log) => sum + (log - centre) ** 2, 0);
    degrees += logs.length - 1;
  }
  return degrees > 0 ? Math.sqrt(squares / degrees) : 0;
}

/** Judges load and spread. */
export function judgeFitness(
  loadOfOthers: number | null,
  spread: number,
  cores = Math.min(availableParallelism(), cpus().length),
): BenchResult['fitness'] {
  const reasons: string[] = [];
  if (loadOfOthers === null) reasons.push('what other processes do is not known on this system');
  else if (loadOfOthers > MOST_LOAD * cores)
    reasons.push(
      `other processes kept ${loadOfOthers.toFixed(2)} of ${cores} cores busy; at most ${(MOST_LOAD * cores).toFixed(2)} is quiet`,
    );
  if (spread > MOST_SPREAD)
    reasons.push(
      `equal runs of plain decoding differ by ${(100 * spread).toFixed(1)} %; at most ${100 * MOST_SPREAD} % is steady`,
    );
  return { fit: reasons.length === 0, reasons, loadOfOthers, spread };
}
