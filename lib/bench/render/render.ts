// Writes a benchmark's report into a folder: as data, as tables, and for people.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AdaptiveSpecError } from '../../errors.js';
import type { BenchResult } from '../bench-result.js';
import { figuresCsv, runsCsv } from './csv.js';
import { markdownReport } from './markdown.js';

/**
 * Writes result.json, runs.csv, figures.csv, report.md and report.html into the folder, which is made where it is
 * missing; files of these names are replaced. Answers the paths of the files written. Throws INVALID_ARGUMENT where the
 * folder can't be written to.
 */
export async function renderReport(result: BenchResult, folder: string): Promise<string[]> {
  const written: string[] = [];
  const write = async (name: string, text: string) => {
    const path = join(folder, name);
    await writeFile(path, text);
    written.push(path);
  };
  try {
    await mkdir(folder, { recursive: true });
    // The data first: a measured result is not lost to what fails later.
    await write('result.json', `${JSON.stringify(result, null, 1)}\n`);
    await write('runs.csv', runsCsv(result));
    await write('figures.csv', figuresCsv(result));
    await write('report.md', markdownReport(result));
    // Loads the plotting library, which nothing else needs.
    const { htmlReport } = await import('./html.js');
    await write('report.html', htmlReport(result));
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The report can't be written to ${folder}: ${cause.message}`,
      'Name a folder that can be written to.',
      { cause },
    );
  }
  return written;
}

function isSystemError(cause: unknown): cause is NodeJS.ErrnoException {
  return cause instanceof Error && 'syscall' in cause;
}
