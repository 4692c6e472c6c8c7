// What a saved cost table and a saved state of live costs must be like.

import type { LiveCostsState } from '../calibration/live.js';
import type { RobustMeanState } from '../calibration/robust-mean.js';
import type { RowCellState } from '../calibration/row-cell.js';
import type { CostTable } from './costs.js';
import { finite, flag, type Kind, list, optional, real, shape, whole } from './settings.js';

const AMOUNT = real(0, Number.MAX_VALUE);
const COUNT = whole(0, Number.MAX_SAFE_INTEGER);

export const COST_TABLE: Kind = shape<CostTable>({
  target: list(
    shape({ rows: whole(1, 4096), contextLength: whole(0, Number.MAX_SAFE_INTEGER), ms: AMOUNT }),
    1,
    4096,
  ),
  draft: shape<CostTable['draft']>({
    msPerToken: AMOUNT,
    threads: whole(0, 4096),
    startMs: optional(AMOUNT),
    afterMs: optional(AMOUNT),
    readMs: optional(AMOUNT),
  }),
  overheadMs: AMOUNT,
  rebuildMs: AMOUNT,
  mixedMs: optional(AMOUNT),
  callbackMs: AMOUNT,
  unconfirmed: optional(flag),
  sequences: optional(whole(1, 4096)),
});

const MEAN: Kind = shape<RobustMeanState>({ mean: finite, deviation: AMOUNT, count: COUNT });
const CELL: Kind = shape<RowCellState>({
  count: COUNT,
  same: COUNT,
  free: COUNT,
  meanContext: finite,
  mean: finite,
  sxx: finite,
  sxy: finite,
  deviation: AMOUNT,
});
const ROWS = whole(1, 4096);

export const LIVE_COSTS: Kind = shape<LiveCostsState>({
  steps: COUNT,
  scale: AMOUNT,
  slope: shape({ sxx: finite, sxy: finite }),
  contexts: shape({
    // Infinite before the first step, which JSON turns into null.
    least: {
      is: (value) => value === null || value === Number.POSITIVE_INFINITY || AMOUNT.is(value),
      hint: AMOUNT.hint,
    },
    most: AMOUNT,
  }),
  lastRows: COUNT,
  cells: list(
    {
      is: (value) => Array.isArray(value) && value.length === 2 && ROWS.is(value[0]) && CELL.is(value[1]),
      hint: 'Give a number of rows and its cell.',
    },
    0,
    4096,
  ),
  rebuild: MEAN,
  mixed: MEAN,
  after: MEAN,
  reading: MEAN,
  lag: COUNT,
  slow: shape({ plain: AMOUNT, other: AMOUNT }),
  isPlain: flag,
  draft: MEAN,
  alone: MEAN,
  asked: MEAN,
});
