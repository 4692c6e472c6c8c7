// Progress of a benchmark on stderr, with an estimate of the time left: a line that moves on a terminal, a few lines
// elsewhere.

import type { BenchProgress } from '../bench/bench.js';
import { note } from './console.js';

/** Lines between two tenths of the work, where stderr is no terminal. */
const TENTHS = 10;
const REFRESH_MS = 200;

export interface ProgressPrinter<Progress> {
  show: (progress: Progress) => void;
  /** A line that stays. */
  line: (text: string) => void;
  end: () => void;
}

export type RunProgressPrinter = ProgressPrinter<BenchProgress>;

export function runProgressPrinter(): RunProgressPrinter {
  return progressPrinterOf(progressLine);
}

/** A printer for anything that says how much of it is done. */
export function progressPrinterOf<Progress extends { done: number; total: number }>(
  lineOf: (progress: Progress) => string,
): ProgressPrinter<Progress> {
  const terminal = process.stderr.isTTY === true && process.env.TERM !== 'dumb';
  let lastShown = Number.NEGATIVE_INFINITY;
  let lastTenth = -1;
  const clear = () => {
    if (terminal) process.stderr.write('\r\x1b[2K');
  };
  return {
    show(progress) {
      const { done, total } = progress;
      if (terminal) {
        if (performance.now() - lastShown < REFRESH_MS && done < total) return;
        lastShown = performance.now();
        process.stderr.write(`\r\x1b[2K${lineOf(progress)}`);
        return;
      }
      const tenth = Math.floor((TENTHS * done) / total);
      if (tenth === lastTenth) return;
      lastTenth = tenth;
      note(lineOf(progress));
    },
    line(text) {
      clear();
      note(text);
    },
    end: clear,
  };
}

export function progressLine({ done, total, msLeft, arm, promptId }: BenchProgress): string {
  const left = msLeft === undefined ? '' : `, ${durationOf(msLeft)} left`;
  return `run ${done} of ${total}${left} (${arm} on ${promptId})`;
}

/** A duration as people say it: '8 s', '3 min', '1 h 20 min'. */
export function durationOf(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
