// The request option `trace`: a file with every step of the requests that name it.

import type { RequestInfo, StepReport } from '../control/controller.js';
import { AdaptiveSpecError, type ErrorCode } from '../errors.js';
import type { TraceEnd, TraceGeneration, TraceHeader, TraceLine } from './trace-format.js';
import { stepLine } from './trace-lines.js';
import { TraceWriter } from './trace-writer.js';

/** Steps that become lines in one go; other requests' plans come in between. */
const STEPS_AT_ONCE = 64;

/** Files being written in this process: two writers would make one of them unreadable. */
const open = new Set<string>();

/**
 * One file of an engine: made by the first request that names it, over one that was there; later ones add to it. A
 * generation's lines go out together once it has ended, so that those of requests side by side don't mix. Nothing here
 * ends a request: what can't be written costs the rest of the trace, and one warning.
 */
export class StepTraceFile {
  readonly path: string;
  readonly #onWarning: (warning: { code: ErrorCode; message: string }) => void;
  readonly #writer: Promise<TraceWriter | undefined>;
  #queue: Promise<void>;
  #lost = false;

  /** `path` is absolute. Throws INVALID_ARGUMENT where another engine of this process is writing the file. */
  constructor(
    path: string,
    header: () => Promise<TraceHeader>,
    onWarning: (warning: { code: ErrorCode; message: string }) => void,
  ) {
    this.path = path;
    this.#onWarning = onWarning;
    if (open.has(path)) {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        `The trace ${JSON.stringify(path)} is being written by another engine`,
        'Give each engine a trace of its own, or close the other one first.',
      );
    }
    open.add(path);
    this.#writer = header()
      .then((line) => new TraceWriter(path, line))
      .catch((error) => this.#lose(error));
    this.#queue = this.#writer.then(() => {});
  }

  /** Adds a generation after those before it. Resolves once it is in the file, or can't be; never rejects. */
  add(generation: TraceGeneration, steps: readonly RecordedStep[], end: TraceEnd | undefined): Promise<void> {
    this.#queue = this.#queue.then(async () => {
      const writer = await this.#writer;
      if (writer === undefined || this.#lost) return;
      try {
        for (const line of linesOf(generation, steps, end)) {
          if (line === undefined) await new Promise(setImmediate);
          else writer.write(line);
        }
        await writer.flush();
      } catch (error) {
        this.#lose(error);
      }
    });
    return this.#queue;
  }

  /** Closes the file when all is in it; never rejects. */
  async close(): Promise<void> {
    await this.#queue;
    const writer = await this.#writer;
    await writer?.close().catch((error) => this.#lose(error));
    open.delete(this.path);
  }

  #lose(error: unknown): undefined {
    if (this.#lost) return;
    this.#lost = true;
    const code = error instanceof AdaptiveSpecError ? error.code : 'TRACE_FAILED';
    const message = error instanceof Error ? error.message : String(error);
    this.#onWarning({ code, message: `${message}; what follows is not traced` });
  }
}

interface RecordedStep {
  report: StepReport;
  asked: boolean;
}

/** Lines of a generation; undefined where others should have their turn. */
function* linesOf(
  generation: TraceGeneration,
  steps: readonly RecordedStep[],
  end: TraceEnd | undefined,
): Generator<TraceLine | undefined> {
  yield generation;
  for (const [i, { report, asked }] of steps.entries()) {
    if (i % STEPS_AT_ONCE === STEPS_AT_ONCE - 1) yield undefined;
    yield stepLine(report, asked);
  }
  if (end) yield end;
}

/** One request's part of a trace. */
export class RequestTrace {
  readonly #file: StepTraceFile;
  readonly #generation: TraceGeneration['generation'];
  readonly #steps: RecordedStep[] = [];

  constructor(file: StepTraceFile, generation: TraceGeneration['generation']) {
    this.#file = file;
    this.#generation = generation;
  }

  /** What the controller was told before its first plan. */
  begin({ drafters, drafter, costs }: RequestInfo): void {
    this.#generation.drafters = [...drafters];
    if (drafter !== undefined) this.#generation.drafter = drafter;
    if (costs) this.#generation.costs = costs;
  }

  /** Takes a step in; the report is kept. */
  step(report: StepReport, asked: boolean): void {
    this.#steps.push({ report, asked });
  }

  /** Passes all on to the file. Without `end` the generation counts as cut short. Never rejects. */
  end(end?: TraceEnd['end']): Promise<void> {
    return this.#file.add({ generation: this.#generation }, this.#steps, end && { end });
  }
}
