// How much of the CPUs that this process may use goes to others: read from Linux's /proc, before and after.

import { readFileSync } from 'node:fs';

/** CPU time so far, in milliseconds. */
export interface CpuTimes {
  atMs: number;
  /** CPUs that this process may use. */
  cpus: number;
  /** Of all processes on those CPUs, time that a hypervisor took included. */
  busyMs: number;
  /** Of this process alone. */
  ownMs: number;
}

/** What others took between two readings. */
export interface OthersLoad {
  /** In cores, on average. */
  cores: number;
  /** Whether that is enough to disturb so many threads. */
  disturbs: boolean;
}

/** The system counts in ticks of 10 ms. */
const TICK_MS = 10;
/** Shorter spans say nothing, at ticks of that length. */
const LEAST_SPAN_MS = 250;
/** What always runs beside: a little, and a little more on large machines. In cores. */
const BACKGROUND = 0.15;
const BACKGROUND_PER_CPU = 0.02;

/** CPU times by now; undefined where there is no /proc, which says nothing about the load. */
export function readCpuTimes(): CpuTimes | undefined {
  try {
    const status = readFileSync('/proc/self/status', 'utf8');
    const allowed = parseCpuList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '');
    const { user, system } = process.cpuUsage();
    return {
      atMs: performance.now(),
      cpus: allowed.size,
      busyMs: parseBusy(readFileSync('/proc/stat', 'utf8'), allowed),
      ownMs: (user + system) / 1000,
    };
  } catch {
    return undefined;
  }
}

/**
 * The load of others between two readings; undefined where it is not known, or the span is too short to say. One
 * process more disturbs where every CPU has a thread of ours, since threads wait for the last of them at each
 * barrier; where CPUs are spare, only as many as would fill half of them do.
 */
export function othersLoad(
  before: CpuTimes | undefined,
  after: CpuTimes | undefined,
  threads: number,
): OthersLoad | undefined {
  if (!before || !after) return undefined;
  const span = after.atMs - before.atMs;
  if (span < LEAST_SPAN_MS) return undefined;
  const cores = Math.max(0, (after.busyMs - before.busyMs - (after.ownMs - before.ownMs)) / span);
  const spare = Math.max(0, after.cpus - threads);
  return { cores, disturbs: cores > Math.max(BACKGROUND, BACKGROUND_PER_CPU * after.cpus) + spare / 2 };
}

/** Milliseconds that the given CPUs were busy, from the text of /proc/stat. */
export function parseBusy(stat: string, cpus: ReadonlySet<number>): number {
  let ticks = 0;
  for (const [, cpu, counts] of stat.matchAll(/^cpu(\d+) (.*)$/gm)) {
    if (!cpus.has(Number(cpu))) continue;
    // idle and iowait are no work; guest times are counted in user and nice already.
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = counts!
      .split(' ')
      .map(Number);
    ticks += user + nice + system + irq + softirq + steal;
  }
  return ticks * TICK_MS;
}

/** CPUs of a list as Linux writes it, such as '0-3,8'. */
export function parseCpuList(list: string): Set<number> {
  const cpus = new Set<number>();
  for (const [, first, last] of list.matchAll(/(\d+)(?:-(\d+))?/g)) {
    for (let cpu = Number(first); cpu <= Number(last ?? first); cpu++) cpus.add(cpu);
  }
  return cpus;
}
