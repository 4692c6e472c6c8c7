// The machine of the original experiment as a cost table: 96 cores, Qwen2.5-Coder-32B with Qwen2.5-0.5B as its draft.

import type { CostTable, RowCost } from '../control/costs.js';

/** Plain decoding as measured there: 2.86 tokens per second. */
export const PLAIN_MS = 1000 / 2.86;
/** A draft token, as a share of a plain step. */
export const DRAFT_SHARE = 0.034;

/** v(n) / v(1) as measured at 5, 9, 13 rows and at 17, 21, 25: flat, a riser between 16 and 17, flat again. */
const FIRST_TREAD = 1.05;
const SECOND_TREAD = 1.29;
/** Rows of a tread: kernels that work in blocks of 16 rows read the weights once for each block. */
const TREAD_ROWS = 16;
/** Largest batch with a price, and its price: the machine reads prompts of 512 tokens at 66 tokens per second. */
export const MOST_ROWS = 512;
const MOST_MS = (MOST_ROWS / 66) * 1000;

/**
 * v(n) where it was not measured is an assumption: a straight line from n = 1 to 5, the first tread up to 16 rows, the
 * second up to 32, and equal risers every 16 rows from there to what 512 rows take. The context's length was not
 * varied. Overheads are in the measured steps already, so that they are 0 here.
 */
export const host96: CostTable = {
  target: rowCosts(),
  draft: { msPerToken: DRAFT_SHARE * PLAIN_MS, threads: 96 },
  overheadMs: 0,
  rebuildMs: 0,
  callbackMs: 0,
};

/** What the experiment measured at fixed depths: share of drafted tokens accepted, and tokens per second. */
export const HOST96_MEASURED = [
  { k: 4, acceptance: 0.8125, tokensPerSecond: 10.4 },
  { k: 8, acceptance: 0.5, tokensPerSecond: 11.01 },
  { k: 16, acceptance: 0.35, tokensPerSecond: 10.25 },
] as const;

/** The experiment's table by the cost table: 1 + k * acceptance tokens a step, over k draft tokens and v(k + 1). */
export function host96Table(): { k: number; acceptance: number; tokensPerSecond: number }[] {
  return HOST96_MEASURED.map(({ k, acceptance }) => {
    const verifyMs = host96.target.find(({ rows }) => rows === k + 1)!.ms;
    const ms = k * host96.draft.msPerToken + verifyMs + host96.overheadMs;
    return { k, acceptance, tokensPerSecond: ((1 + k * acceptance) / ms) * 1000 };
  });
}

/** One point for every number of rows up to 65, then the ends of every tread. */
function rowCosts(): RowCost[] {
  const points: RowCost[] = [];
  for (let rows = 1; rows <= MOST_ROWS; rows++) {
    if (rows > 65 && rows % TREAD_ROWS > 1) continue;
    points.push({ rows, contextLength: 0, ms: PLAIN_MS * ratio(rows) });
  }
  return points;
}

function ratio(rows: number): number {
  if (rows <= 5) return 1 + ((FIRST_TREAD - 1) * (rows - 1)) / 4;
  const tread = Math.floor((rows - 1) / TREAD_ROWS);
  if (tread === 0) return FIRST_TREAD;
  const riser = (MOST_MS / PLAIN_MS - SECOND_TREAD) / (MOST_ROWS / TREAD_ROWS - 2);
  return SECOND_TREAD + (tread - 1) * riser;
}
