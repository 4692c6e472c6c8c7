// The load of others: what of /proc counts, and from when on it disturbs.
import { describe, expect, it } from 'vitest';
import { othersLoad, parseBusy, parseCpuList, readCpuTimes } from '../../lib/calibration/load-meter.js';

const STAT = `cpu  100 0 100 1000 0 0 0 0 0 0
cpu0 10 1 2 500 7 3 4 5 9 9
cpu1 20 0 0 400 0 0 0 0 0 0
cpu12 40 0 0 400 0 0 0 0 0 0
intr 123 0 0
cpufreq 9 9 9
`;

describe('/proc', () => {
  it('counts work and what a hypervisor took, on the CPUs that may be used, in ticks of 10 ms', () => {
    expect(parseBusy(STAT, new Set([0]))).toBe(250);
    expect(parseBusy(STAT, new Set([0, 12]))).toBe(650);
    expect(parseBusy(STAT, new Set([2]))).toBe(0);
    expect(parseBusy('', new Set([0]))).toBe(0);
  });

  it('names CPUs as lists', () => {
    expect([...parseCpuList('0-2,8,10-11')]).toEqual([0, 1, 2, 8, 10, 11]);
    expect([...parseCpuList('')]).toEqual([]);
  });

  it.runIf(process.platform === 'linux')('is there, and counts this process', () => {
    const before = readCpuTimes()!;
    const end = performance.now() + 60;
    while (performance.now() < end);
    const after = readCpuTimes()!;
    expect(after.cpus).toBeGreaterThan(0);
    expect(after.ownMs - before.ownMs).toBeGreaterThan(20);
    expect(after.busyMs).toBeGreaterThan(before.busyMs);
  });
});

describe('the load of others', () => {
  const at = (atMs: number, busyMs: number, ownMs: number, cpus = 2) => ({ atMs, cpus, busyMs, ownMs });

  it('is what was busy and was not ours, in cores', () => {
    expect(othersLoad(at(0, 100, 50), at(1000, 2100, 1550), 2)).toEqual({ cores: 0.5, disturbs: true });
    expect(othersLoad(at(0, 0, 0), at(1000, 2000, 2010), 2)).toEqual({ cores: 0, disturbs: false });
  });

  it.each([
    [0.1, 2, 2, false],
    [0.2, 2, 2, true],
    [0.9, 4, 2, false],
    [1.2, 4, 2, true],
    [1.5, 96, 96, false],
    [3, 96, 96, true],
  ])('of %d cores among %d with %d threads of ours disturbs: %s', (cores, cpus, threads, disturbs) => {
    expect(othersLoad(at(0, 0, 0, cpus), at(1000, 1000 * cores, 0, cpus), threads)!.disturbs).toBe(disturbs);
  });

  it('is not known from a short span, or without /proc', () => {
    expect(othersLoad(at(0, 0, 0), at(100, 100, 0), 2)).toBeUndefined();
    expect(othersLoad(undefined, at(1000, 0, 0), 2)).toBeUndefined();
  });
});
