// Cost tables on disk, one small JSON file for each set of facts.

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { CostTable } from '../control/costs.js';
import { cacheDir } from '../models/cache-dir.js';
import { type CacheFacts, cacheKey } from './cache-key.js';

/** Raised where the file's form or the meaning of its numbers changes: files of another version are not read. */
const VERSION = 5;

export interface CachedCosts {
  table: CostTable;
  /** 'calibrate': measured on purpose; 'live': learned from steps. */
  source: 'calibrate' | 'live';
  /** An ISO date. */
  measuredAt: string;
}

const ms = v.pipe(v.number(), v.finite(), v.minValue(0));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const whole = (least: number) => v.pipe(v.number(), v.integer(), v.minValue(least));

const fileSchema = v.object({
  version: v.literal(VERSION),
  key: v.string(),
  source: v.picklist(['calibrate', 'live']),
  measuredAt: v.pipe(v.string(), v.isoTimestamp()),
  table: v.object({
    target: v.pipe(
      v.array(v.object({ rows: whole(1), contextLength: whole(0), ms: positive })),
      v.minLength(1),
      v.maxLength(4096),
    ),
    draft: v.object({
      msPerToken: ms,
      threads: whole(1),
      startMs: v.optional(ms),
      afterMs: v.optional(ms),
      readMs: v.optional(ms),
    }),
    overheadMs: ms,
    rebuildMs: ms,
    mixedMs: v.optional(ms),
    callbackMs: ms,
  }),
});

/** Where tables lie. */
export function costsFolder(): string {
  return join(cacheDir(), 'calibration');
}

/** The table for these facts; undefined where there is none, or where its file is damaged or of another version. */
export function readCachedCosts(facts: CacheFacts, folder = costsFolder()): CachedCosts | undefined {
  const key = cacheKey(facts);
  try {
    const file = v.parse(fileSchema, JSON.parse(readFileSync(join(folder, `${key}.json`), 'utf8')));
    if (file.key !== key) return undefined;
    const { table, source, measuredAt } = file;
    return { table, source, measuredAt };
  } catch {
    return undefined;
  }
}

/** Writes in one move, so that no reader sees half of it. False where that failed: a cache is no reason to. */
export function writeCachedCosts(facts: CacheFacts, costs: CachedCosts, folder = costsFolder()): boolean {
  const key = cacheKey(facts);
  const { target, draft, overheadMs, rebuildMs, mixedMs, callbackMs } = costs.table;
  const table: CostTable = {
    target: target.map(({ rows, contextLength, ms }) => ({ rows, contextLength, ms })),
    draft: {
      msPerToken: draft.msPerToken,
      threads: draft.threads,
      ...(draft.startMs !== undefined && { startMs: draft.startMs }),
      ...(draft.afterMs !== undefined && { afterMs: draft.afterMs }),
      ...(draft.readMs !== undefined && { readMs: draft.readMs }),
    },
    overheadMs,
    rebuildMs,
    ...(mixedMs !== undefined && { mixedMs }),
    callbackMs,
  };
  const { source, measuredAt } = costs;
  // The facts are for people who look into the file.
  const text = JSON.stringify({ version: VERSION, key, source, measuredAt, facts, table });
  const partial = join(folder, `${key}.${process.pid}.partial`);
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(partial, `${text}\n`);
    renameSync(partial, join(folder, `${key}.json`));
    return true;
  } catch {
    try {
      rmSync(partial, { force: true });
    } catch {
      // There is no such folder, say: nothing was written.
    }
    return false;
  }
}
