// Writes a report into a folder.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchResult } from '../bench-result.js';

/** Writes the result into the folder, which is made where it is missing. Answers the paths of the files written. */
export async function renderReport(result: BenchResult, folder: string): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'result.json');
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
  return [file];
}
