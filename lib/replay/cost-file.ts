// Cost tables by name or from a file: what `adaptive-spec calibrate --json` or `bench --json` prints.

import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import type { CostTable } from '../control/costs.js';
import { AdaptiveSpecError } from '../errors.js';
import { costTableSchema, faultOf } from '../observe/trace-check.js';
import { host96 } from './costs-host96.js';

/** The table named 'host96', or that of a file. Throws INVALID_ARGUMENT where there is none. */
export function costTableOf(nameOrFile: string): CostTable {
  if (nameOrFile === 'host96') return host96;
  const json = readJson(nameOrFile, 'The cost table') as { format?: unknown; costs?: unknown } | null;
  // A benchmark's result holds what its own steps cost.
  const table = json?.format === 'adaptive-spec-bench' ? json.costs : json;
  const result = v.safeParse(costTableSchema, table);
  if (result.success) return result.output;
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `${JSON.stringify(nameOrFile)} holds no cost table: ${faultOf(result.issues[0])}`,
    "Give what adaptive-spec calibrate --json or bench --json prints, or the name 'host96'.",
  );
}

/** A file's JSON. `what` begins the sentence that says that it can't be read. Throws INVALID_ARGUMENT. */
export function readJson(file: string, what: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    const reason = cause instanceof SyntaxError ? 'it is no JSON' : String((cause as { code?: string }).code);
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `${what} ${JSON.stringify(file)} can't be read: ${reason}`,
      'Give the path of a JSON file.',
      { cause },
    );
  }
}
