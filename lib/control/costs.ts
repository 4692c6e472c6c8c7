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
  draft: { msPerToken: number; threads: number };
  /** What a step costs besides: sampling, acceptance, roll-back, report. */
  overheadMs: number;
  /** More where the number of rows is another than in the step before. */
  rebuildMs: number;
  /** Asking a controller, where it is asked. */
  callbackMs: number;
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
    const far = curveAt(table, longest, maxRows);
    for (let i = 0; i < maxRows; i++) {
      this.#slope[i] = Math.max(0, (far[i]! - this.#base[i]!) / (longest - shortest));
    }
  }

  /** v(rows, contextLength). */
  verifyMs(rows: number, contextLength: number): number {
    const i = Math.min(Math.max(1, rows), this.#base.length) - 1;
    return this.#base[i]! + this.#slope[i]! * Math.max(0, contextLength - this.#contextLength);
  }

  /** v(n, contextLength) for n = 1 to `rows`. */
  curve(rows: number, contextLength: number): Float64Array {
    return Float64Array.from({ length: rows }, (_, i) => this.verifyMs(i + 1, contextLength));
  }
}

/** Straight lines between the points of one context length; beyond the last, as the last two go on. */
function curveAt({ target }: CostTable, contextLength: number, maxRows: number): Float64Array {
  const points = target
    .filter((point) => point.contextLength === contextLength)
    .sort((a, b) => a.rows - b.rows);
  const curve = new Float64Array(maxRows);
  let next = 0;
  for (let rows = 1; rows <= maxRows; rows++) {
    while (next < points.length - 1 && points[next]!.rows < rows) next++;
    const right = points[next]!;
    const left = points[Math.max(0, next - 1)]!;
    if (right.rows === left.rows || rows <= left.rows) {
      curve[rows - 1] = rows <= left.rows ? left.ms : right.ms;
      continue;
    }
    const share = (rows - left.rows) / (right.rows - left.rows);
    curve[rows - 1] = left.ms + share * (right.ms - left.ms);
  }
  return curve;
}
