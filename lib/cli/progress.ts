// Progress of downloads and calibrations, on stderr: a line that moves on a terminal, a few lines elsewhere.

import type { Progress } from '../options.js';
import { note, size } from './console.js';

/** Percent between two lines where there is no terminal: a calibration takes seconds, a download may take hours. */
const steps = { download: 10, calibrate: 50 };

/** A function for the option `onProgress`. */
export function progressPrinter(): (progress: Progress) => void {
  const terminal = process.stderr.isTTY && process.env.TERM !== 'dumb';
  let lastPercent = -1;
  let lastName = '';
  return ({ phase, name, done, total }) => {
    if (phase === 'load') return; // Seconds at most; the text follows at once.
    if (name !== lastName) lastPercent = -1;
    lastName = name;
    const percent = total ? Math.floor((100 * done) / total) : undefined;
    const line =
      phase === 'calibrate'
        ? `measuring what a step costs: ${percent} %`
        : `downloading ${name}: ${percent === undefined ? size(done) : `${percent} % of ${size(total!)}`}`;
    if (terminal) {
      process.stderr.write(`\r\x1b[2K${line}${percent === 100 ? '\n' : ''}`);
    } else if (
      percent === undefined ? lastPercent < 0 : percent >= lastPercent + steps[phase] || lastPercent < 0
    ) {
      lastPercent = percent ?? 0;
      note(line);
    }
  };
}
