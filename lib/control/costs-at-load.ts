// What a step costs one of several sequences that run in the same batches, by the table of one sequence alone.

import { CostModel, type CostTable } from './costs.js';

/** Rows over which a staircase repeats itself beyond the table: kernels work in blocks of 16. */
const PERIOD = 16;

const models = new WeakMap<CostTable, Map<number, CostModel>>();

/** Times by `costsAtLoad`. Many requests begin with one table, and would each work out the same of it. */
export function costModelAtLoad(table: CostTable, sequences: number): CostModel {
  const known = models.get(table) ?? new Map<number, CostModel>();
  models.set(table, known);
  const model = known.get(sequences) ?? new CostModel(costsAtLoad(table, sequences));
  known.set(sequences, model);
  return model;
}

/**
 * The table of a step in which all of `sequences` draft and verify alike: a step of n rows each is one batch of
 * sequences * n rows; a draft token of all costs v(sequences) / v(1) times one of a single sequence, as if the draft
 * model's curve had the target's shape; attention, overheads and callbacks are each sequence's own. One sequence's
 * table comes back as it is, and so does one that is of several already.
 */
export function costsAtLoad(table: CostTable, sequences: number, maxRows = 65): CostTable {
  if (sequences === 1 || (table.sequences ?? 1) > 1) return table;
  const contexts = [...new Set(table.target.map(({ contextLength }) => contextLength))].sort((a, b) => a - b);
  const shortest = contexts[0]!;
  const model = new CostModel(table, Math.max(maxRows, largestRows(table)));
  const curve = extendedCurve(table, sequences * maxRows);
  const target = contexts.flatMap((contextLength) =>
    Array.from({ length: maxRows }, (_, i) => {
      const rows = i + 1;
      const attention = model.verifyMs(rows, contextLength) - model.verifyMs(rows, shortest);
      return { rows, contextLength, ms: curve[sequences * rows - 1]! + sequences * attention };
    }),
  );
  const { msPerToken, startMs, afterMs, readMs, threads } = table.draft;
  const slower = curve[sequences - 1]! / curve[0]!;
  return {
    sequences,
    target,
    draft: {
      msPerToken: slower * msPerToken,
      threads,
      ...(startMs !== undefined && { startMs: slower * startMs }),
      ...(afterMs !== undefined && { afterMs: slower * afterMs }),
      ...(readMs !== undefined && { readMs: sequences * readMs }),
    },
    overheadMs: table.overheadMs * sequences,
    rebuildMs: table.rebuildMs,
    ...(table.mixedMs !== undefined && { mixedMs: slower * table.mixedMs }),
    callbackMs: table.callbackMs * sequences,
  };
}

/**
 * v(n) at the shortest context, from n = 1 to `rows`. Beyond the table's last point the curve repeats its last 16 rows,
 * each time higher by what they rise; a table of fewer rows goes on along the line from its first point to its last.
 */
export function extendedCurve(table: CostTable, rows: number): Float64Array {
  const last = largestRows(table);
  const measured = new CostModel(table, last);
  const shortest = Math.min(...table.target.map(({ contextLength }) => contextLength));
  const curve = new Float64Array(rows);
  const at = (n: number) => (n <= rows && n > last ? curve[n - 1]! : measured.verifyMs(n, shortest));
  const period = last > PERIOD ? PERIOD : last - 1;
  const rise = period > 0 ? Math.max(0, at(last) - at(last - period)) : 0;
  for (let n = 1; n <= rows; n++) {
    curve[n - 1] = n <= last ? at(n) : period > 0 ? at(n - period) + rise : at(1) * n;
  }
  return curve;
}

function largestRows({ target }: CostTable): number {
  const shortest = Math.min(...target.map(({ contextLength }) => contextLength));
  return Math.max(...target.filter((point) => point.contextLength === shortest).map(({ rows }) => rows));
}
