// How every report of this folder is written.
import { mkdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { dirname } from 'node:path';
import { loadBinding } from '../dist/binding.js';
import { environment } from './environment.mjs';

/** Writes what was measured to `path`, with the machine, the models' files and the load before and after. */
export function writeReport(path, { what, command, models, loadBefore, ...results }) {
  const report = {
    what,
    command,
    environment: environment(loadBinding(), models),
    loadAverage: { before: loadBefore, after: loadavg()[0] },
    ...results,
  };
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(report, null, 1)}\n`);
}
