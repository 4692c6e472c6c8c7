// Step reports as lines of a trace, and back. Pure: what writes the lines is in trace-writer.ts.

import { ORIGIN, type RequestInfo, type StepReport } from '../control/controller.js';
import type { TraceGeneration, TraceHeader, TracePosition, TraceStep } from './trace-format.js';

/** A report as a line of mode 'steps'. `asked`: whether a plan was asked for after it. */
export function stepLine(report: StepReport, asked: boolean): TraceStep {
  const { step, position, depth, drafted, verified, accepted, tokens, text, load } = report;
  const { draftMs, verifyMs, catchUpMs, otherMs, rows, contextLength, drafter, drafterLag, late } = report;
  return {
    ...{ step, position, depth, drafted, verified, accepted, tokens: Array.from(tokens), text },
    ...draftOf(report),
    ...branchesOf(report),
    ...{ draftMs, verifyMs, catchUpMs, otherMs, rows, contextLength, drafter, drafterLag, late },
    ...{ running: load.running, waiting: load.waiting, asked },
  };
}

/** The report that a line of mode 'steps' was made from: a controller plans by it as it did live. */
export function recordedReport(line: TraceStep): StepReport {
  const { step, position, depth, drafted, verified, accepted, text, running, waiting } = line;
  const { draftMs, verifyMs, catchUpMs, otherMs, rows, contextLength, drafter, drafterLag, late } = line;
  return {
    ...{ step, position, depth, drafted, verified, accepted, text },
    draftTokens: Int32Array.from(line.draft),
    tokens: Int32Array.from(line.tokens),
    probabilities: Float32Array.from(line.p),
    margins: Float32Array.from(line.m),
    entropies: Float32Array.from(line.h),
    origins: line.o ? Uint8Array.from(line.o) : new Uint8Array(drafted),
    matches: line.x ? Float32Array.from(line.x) : new Float32Array(drafted),
    ...{ draftMs, verifyMs, catchUpMs, otherMs, rows, contextLength, drafter, drafterLag, late },
    load: { running, waiting },
    ...(line.b
      ? {
          branches: {
            tokens: Int32Array.from(line.b.tokens),
            parents: Int32Array.from(line.b.parents),
            probabilities: Float32Array.from(line.b.p),
            accepted: line.b.accepted,
          },
        }
      : {}),
  };
}

/** What the controller of a recorded generation, mode 'steps', was told before its first plan. */
export function recordedRequest(
  { maxDepth }: TraceHeader,
  { promptTokens, promptText, maxTokens, temperature, ...told }: TraceGeneration['generation'],
): RequestInfo {
  const { drafters = [], drafter, costs } = told;
  const request = { promptTokens, promptText, maxTokens, maxDepth, drafters, temperature };
  return { ...request, ...(drafter !== undefined && { drafter }), ...(costs && { costs }) };
}

/**
 * Lines of mode 'exhaustive' from the reports of a generation that drafted at every position and verified nothing, the
 * prompt's left out: each emitted one token. What was right is known from the tokens that came after.
 */
export function positionLines(reports: readonly StepReport[]): TracePosition[] {
  const tokens = reports.map((report) => report.tokens[0]!);
  return reports.map((report, i) => {
    const { text, draftMs, contextLength } = report;
    const draft = draftOf(report);
    const wrong = draft.draft.findIndex((token, j) => token !== tokens[i + j]);
    const right = wrong < 0 ? draft.draft.length : wrong;
    return { i, token: tokens[i]!, text, ...draft, right, draftMs, contextLength };
  });
}

/** Draft tokens with their signals; origins and matches only where not all are a model's, without a match. */
function draftOf(report: StepReport): Pick<TraceStep, 'draft' | 'p' | 'm' | 'h' | 'o' | 'x'> {
  const { draftTokens, probabilities, margins, entropies, origins, matches } = report;
  const usual = origins.every((o) => o === ORIGIN.model) && matches.every((x) => x === 0);
  return {
    draft: Array.from(draftTokens),
    p: Array.from(probabilities),
    m: Array.from(margins),
    h: Array.from(entropies),
    ...(usual ? {} : { o: Array.from(origins), x: Array.from(matches) }),
  };
}

function branchesOf({ branches }: StepReport): Pick<TraceStep, 'b'> {
  if (branches === undefined) return {};
  const { tokens, parents, probabilities, accepted } = branches;
  const p = Array.from(probabilities);
  return { b: { tokens: Array.from(tokens), parents: Array.from(parents), p, accepted } };
}
