// The first line of a trace that an engine records.

import { basename } from 'node:path';
import type { EngineInfo } from '../engine.js';
import { sha256Of } from '../models/fetch.js';
import type { TraceHeader } from './trace-format.js';

/** Reads both models' files for their hashes: a second per gigabyte, in pieces, so that steps go on meanwhile. */
export async function traceHeader(
  info: Pick<EngineInfo, 'model' | 'draft'>,
  fields: Pick<TraceHeader, 'mode' | 'maxDepth' | 'drafter' | 'costs'>,
): Promise<TraceHeader> {
  const hashed = async (path: string) => ({ file: basename(path), sha256: await sha256Of(path) });
  return {
    format: 'adaptive-spec-trace',
    version: 1,
    ...fields,
    createdAt: new Date().toISOString(),
    model: await hashed(info.model),
    ...(info.draft === undefined ? {} : { draft: await hashed(info.draft) }),
  };
}
