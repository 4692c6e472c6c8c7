// What a step costs: the table that a calibration makes, and the curves that policies and replay read from it.

/** Time of one pass of so many rows through the target. */
export interface RowCost {
  rows: number;
  /** Tokens in the KV cache before. */
  contextLength: number;
  ms: number;
}

/** What the parts of a step cost on one machine with one pair of models. Times are in milliseconds. */
export interface CostTable {
  /** Measured points of v(n, contextLength), in any order; at least one. */
  target: readonly RowCost[];
  /** Time of a draft token on the number of threads that is fastest; 0 where nothing is drafted by a model. */
  draft: {
    msPerToken: number;
    threads: number;
    /** What a step's first draft token of a model costs more, with the tokens that it has yet to read. Default 0. */
    startMs?: number;
    /**
     * What a pass of several rows costs more in a step that asked the model: the target is slower for a while after it
     * (docs/benchmarks.md). Default 0.
     */
    afterMs?: number;
    /**
     * Reading an accepted token, where the model has more than two of them to read before its first draft token.
     * Default: that of a draft token for every sixteen of them.
     */
    readMs?: number;
  };
  /** What a step costs besides: sampling, acceptance, roll-back, report. */
  overheadMs: number;
  /** More where the number of rows is another than in the step before. */
  rebuildMs: number;
  /**
   * What a pass of one row costs more beside steps that verify or draft than among plain ones: a CPU that has computed
   * much is slower for a while. Default 0.
   */
  mixedMs?: number;
  /** Asking a controller, where it is asked. */
  callbackMs: number;
  /**
   * True where another engine learnt it from its steps, earlier, and this one has had too few to tell by: `auto` begins by
   * trying some depths then.
   */
  unconfirmed?: boolean;
  /** Sequences that share the steps, all with as many rows as `target` says. Default 1: a sequence that runs alone. */
  sequences?: number;
}

/** Accepted tokens that a draft model reads along with its first draft token. */
const USUAL_LAG = 2;
/** Tokens that it reads in the time of a draft token, where a table doesn't say. */
const READ_AT_ONCE = 16;

/** Of `lag` accepted tokens that a draft model has not read, those that it catches up on: all, but for the usual two. */
export function tokensBehind(lag: number): number {
  return lag > USUAL_LAG ? lag : 0;
}

/** Whether a step asked a draft model. A draft whose first token its stop rule refused has only its time to show for it. */
export function askedModel(modelTokens: number, draftMs: number, msPerToken: number): boolean {
  return modelTokens > 0 || (msPerToken > 0 && 2 * draftMs > msPerToken);
}

/** Whether a step was one of plain decoding: one row beside another such step is not `isMixed`. */
export function isPlain(rows: number, asked: boolean): boolean {
  return rows === 1 && !asked;
}

/** Reads times between and beyond a table's points. Times are in milliseconds. */
export class CostModel {
  readonly table: CostTable;
  /** v(n) by rows at the shortest context measured, from n = 1 on, and the slope over the context. */
  readonly #base: Float64Array;
  readonly #slope: Float64Array;
  readonly #contextLength: number;

  constructor(table: CostTable, maxRows = 65) {
    this.table = table;
    const contexts = [...new Set(table.target.map(({ contextLength }) => contextLength))].sort(
      (a, b) => a - b,
    );
    const shortest = contexts[0] ?? 0;
    const longest = contexts[contexts.length - 1] ?? 0;
    this.#contextLength = shortest;
    this.#base = curveAt(table, shortest, maxRows);
    this.#slope = new Float64Array(maxRows);
    if (longest === shortest) return;
    // The slope is what lies between the points measured, not v: few points of a long context miss risers between.
    const slopes = pointsAt(table, longest).map(({ rows, ms }) => ({
      rows,
      ms: Math.max(0, (ms - this.#base[Math.min(rows, maxRows) - 1]!) / (longest - shortest)),
    }));
    this.#slope.set(lines(slopes, maxRows, 0));
  }

  /** v(rows, contextLength). */
  verifyMs(rows: number, contextLength: number): number {
    const i = Math.min(Math.max(1, rows), this.#base.length) - 1;
    return this.#base[i]! + this.#slope[i]! * Math.max(0, contextLength - this.#contextLength);
  }

  /**
   * What a step's pass costs: v(rows, contextLength), and what it adds that the steps around it are no plain ones, or that
   * the step asked a draft model.
   */
  stepMs(rows: number, contextLength: number, isMixed: boolean, asked: boolean): number {
    const { mixedMs = 0, draft } = this.table;
    const more = rows === 1 ? (isMixed ? mixedMs : 0) : asked ? (draft.afterMs ?? 0) : 0;
    return this.verifyMs(rows, contextLength) + more;
  }

  /** What reading `lag` accepted tokens costs a draft model more than a draft token of `msPerToken`. */
  catchUpMs(lag: number, msPerToken = this.table.draft.msPerToken): number {
    if (tokensBehind(lag) === 0) return 0;
    const { readMs } = this.table.draft;
    return readMs === undefined
      ? msPerToken * Math.ceil((lag - 1) / READ_AT_ONCE)
      : readMs * tokensBehind(lag);
  }

  /** v(n, contextLength) for n = 1 to `rows`. */
  curve(rows: number, contextLength: number): Float64Array {
    return Float64Array.from({ length: rows }, (_, i) => this.verifyMs(i + 1, contextLength));
  }
}

function curveAt(table: CostTable, contextLength: number, maxRows: number): Float64Array {
  const points = pointsAt(table, contextLength);
  const last = points[points.length - 1];
  // Beyond the last point, as over the upper half of the curve: the last two points alone may be a riser, or noise.
  const half = points.findLast((point) => point.rows <= (last?.rows ?? 0) / 2) ?? points[0];
  const rise = last && half && last.rows > half.rows ? (last.ms - half.ms) / (last.rows - half.rows) : 0;
  return lines(points, maxRows, Math.max(0, rise));
}

function pointsAt({ target }: CostTable, contextLength: number): { rows: number; ms: number }[] {
  return target.filter((point) => point.contextLength === contextLength).sort((a, b) => a.rows - b.rows);
}

/** Straight lines between points with ascending rows, for 1 to `maxRows` rows; level before the first. */
function lines(points: readonly { rows: number; ms: number }[], maxRows: number, rise: number): Float64Array {
  const curve = new Float64Array(maxRows);
  const last = points[points.length - 1];
  let next = 0;
  for (let rows = 1; rows <= maxRows && last; rows++) {
    while (next < points.length - 1 && points[next]!.rows < rows) next++;
    const right = points[next]!;
    const left = points[Math.max(0, next - 1)]!;
    if (rows >= last.rows) curve[rows - 1] = last.ms + rise * (rows - last.rows);
    else if (rows <= left.rows) curve[rows - 1] = left.ms;
    else curve[rows - 1] = left.ms + ((rows - left.rows) / (right.rows - left.rows)) * (right.ms - left.ms);
  }
  return curve;
}
