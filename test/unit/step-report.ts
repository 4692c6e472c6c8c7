// A step report with nothing in it, for tests that need only some of its fields.

import type { RequestInfo, StepReport } from '../../lib/control/controller.js';

export function stepReport(fields: Partial<StepReport> = {}): StepReport {
  const drafted = fields.drafted ?? 0;
  return {
    step: 0,
    position: 0,
    depth: drafted,
    drafted,
    verified: drafted,
    accepted: 0,
    draftTokens: new Int32Array(drafted),
    tokens: new Int32Array(0),
    text: '',
    probabilities: new Float32Array(drafted),
    margins: new Float32Array(drafted),
    entropies: new Float32Array(drafted),
    origins: new Uint8Array(drafted),
    matches: new Float32Array(drafted),
    draftMs: 0,
    verifyMs: 0,
    catchUpMs: 0,
    otherMs: 0,
    rows: (fields.verified ?? drafted) + 1,
    contextLength: 0,
    drafter: '',
    drafterLag: 0,
    late: false,
    load: { running: 1, waiting: 0 },
    ...fields,
  };
}

export function requestInfo(fields: Partial<RequestInfo> = {}): RequestInfo {
  return {
    promptTokens: 1,
    promptText: '',
    maxTokens: 128,
    maxDepth: 64,
    drafters: ['model'],
    temperature: 0,
    ...fields,
  };
}
