// What a calibration gives: the cost table, and what is known of how it was measured.

import type { CostTable, RowCost } from '../control/costs.js';
import type { Warning } from '../options.js';

/** One measured point of v(n, contextLength), with the middle half of its samples. Times are in milliseconds. */
export interface MeasuredRow extends RowCost {
  low: number;
  high: number;
}

/** A measured cost table. */
export interface Calibration extends CostTable {
  target: MeasuredRow[];
  /** Choosing the likeliest token from one row of logits; a part of `overheadMs`. */
  samplingMs: number;
  /** Logits in such a row. */
  vocabularySize: number;
  /** Numbers of rows after which a further one is dear. See `findRisers`. */
  staircase: number[];
  /** Parts that the budget had no room for; live steps fill them in. */
  missing: CalibrationPart[];
  /** True where the machine was busy with other things: such a table is never cached. */
  loaded: boolean;
  /** Cores that others took meanwhile; undefined where that can't be told. */
  loadOfOthers: number | undefined;
  /** Middle half of a point's samples over their median; the median of all points. */
  spread: number;
  /** An ISO date. */
  measuredAt: string;
  /** What it took. */
  milliseconds: number;
  warnings: Warning[];
}

/** Parts that a calibration may lack. 'rows' is some of the usual numbers of rows, 'context' the slope, 'steps' whole steps of some depths. */
export type CalibrationPart = 'rows' | 'context' | 'draft' | 'overhead' | 'callback' | 'steps';
