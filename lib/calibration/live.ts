// Learns what steps cost from the reports of real ones. Pure: the same reports give the same table; O(1) a step.

import type { StepReport } from '../control/controller.js';
import {
  askedModel,
  CostModel,
  type CostTable,
  isPlain,
  type RowCost,
  tokensBehind,
} from '../control/costs.js';
import { modelTokensOf } from '../control/stop-rule.js';
import { RobustMean, type RobustMeanState } from './robust-mean.js';
import { RowCell, type RowCellState } from './row-cell.js';

export interface LiveCostsOptions {
  /** A table to begin with, which live steps then correct. */
  base?: CostTable | undefined;
  /** Whether anything is drafted by a model: then a table needs the cost of a draft token too. Default true. */
  drafts?: boolean;
  /** Threads of the draft model, for the table. Default 1, or those of `base`. */
  draftThreads?: number;
}

export interface LiveCostsState {
  steps: number;
  scale: number;
  slope: { sxx: number; sxy: number };
  contexts: { least: number; most: number };
  lastRows: number;
  cells: [rows: number, cell: RowCellState][];
  rebuild: RobustMeanState;
  mixed: RobustMeanState;
  after: RobustMeanState;
  reading: RobustMeanState;
  lag: number;
  slow: { plain: number; other: number };
  isPlain: boolean;
  draft: RobustMeanState;
  alone: RobustMeanState;
  asked: RobustMeanState;
}

/**
 * A pass that follows no draft model's work in its step, and if it has one row no other step's rows either; a row beside
 * such; several rows after the draft model.
 */
type Surroundings = 'free' | 'mixed' | 'asked';

const MAX_ROWS = 65;
/** Steps with so many rows until their mean is believed. */
const ENOUGH = 5;
/** Weight of a base table's number, in steps: what it says of one number of rows against another may be well off. */
const PRIOR_STEPS = 4;
/** Own steps from which on a cell is known well enough that what is off is put down to the whole machine. */
const SETTLED = 12;
/** What a number of rows has of its own up to this share says nothing of others. */
const OWN_NOISE = 0.05;
/** How fast the scale that all numbers of rows share follows. Faster than a cell, so that it takes up most of a drift. */
const SCALE_SHARE = 0.05;
const SCALE_CLIP = 0.3;
/** What a pass's time over what is usual counts for in their mean, and most that it counts as. */
const SLOW_SHARE = 0.01;
const SLOW_MOST = 2.5;
/** The slope is believed from contexts that vary by so many tokens (standard deviation), over so many steps. */
const SLOPE_TOKENS = 64;
const SLOPE_STEPS = 40;
/** Steps from which on a cell has its full say in the slope. */
const FULL_WEIGHT = 50;
/** The table's long context is at least so much longer than its short one. */
const CONTEXT_SPAN = 128;

/**
 * Time of a pass with n rows after c tokens = scale * expected(n, c) * (cell of n at c), where `expected` is the base
 * table, or 1 ms without one; a drift of the whole machine goes into the scale, what one n has of its own into its
 * cell, and what the context adds (where `base` doesn't say) into one slope. Which of the first two is off can only be
 * told by another n: the first one seen goes into the scale, a later one into its cell until that is settled. A step
 * counts where its request ran alone, since a pass shared with others has their rows too.
 */
export class LiveCosts {
  readonly #options: LiveCostsOptions;
  readonly #base: CostModel | undefined;
  readonly #learnsSlope: boolean;
  readonly #cells = new Map<number, RowCell>();
  readonly #rebuild: RobustMean;
  readonly #mixed: RobustMean;
  readonly #after: RobustMean;
  readonly #reading: RobustMean;
  readonly #draft: RobustMean;
  readonly #alone: RobustMean;
  readonly #asked: RobustMean;
  #steps = 0;
  #scale = 1;
  /** Sums over the cells. */
  #sxx = 0;
  #sxy = 0;
  #least = Number.POSITIVE_INFINITY;
  #most = 0;
  #lastRows = 0;
  /** Accepted tokens that the draft model had not read after the step before. */
  #lag = 0;
  /**
   * Mean of time over what is usual, slow passes included, which a cell leaves out: of plain steps and of others, since
   * threads that compute more are held up more.
   */
  #slow = { plain: 1, other: 1 };
  /** Whether the step before verified nothing and asked no draft model. */
  #isPlain = false;

  constructor(options: LiveCostsOptions = {}) {
    this.#options = options;
    const { base } = options;
    this.#base = base && base.target.length > 0 ? new CostModel(base, MAX_ROWS) : undefined;
    this.#learnsSlope = !base || new Set(base.target.map((point) => point.contextLength)).size < 2;
    this.#rebuild = new RobustMean(base?.rebuildMs);
    this.#mixed = new RobustMean(base?.mixedMs);
    this.#after = new RobustMean(base?.draft.afterMs);
    this.#reading = new RobustMean(base?.draft.readMs);
    this.#draft = new RobustMean(base && base.draft.msPerToken > 0 ? base.draft.msPerToken : undefined);
    this.#alone = new RobustMean(base?.overheadMs);
    this.#asked = new RobustMean(base ? base.overheadMs + base.callbackMs : undefined);
  }

  /** Steps that counted. */
  get steps(): number {
    return this.#steps;
  }

  /** How the machine is against `base`: 1.2 is a fifth slower. Without one, a factor of no meaning. */
  get scale(): number {
    return this.#scale;
  }

  /** Different numbers of rows that the table says something about. */
  get rowsKnown(): number {
    return new Set(this.#points(1).map(({ rows }) => rows)).size;
  }

  /** Takes a step in. `isAsked` is whether a controller was asked for its plan, which inside of one is true. */
  observe(report: StepReport, isAsked = true): void {
    if (report.step === 0 || report.load.running !== 1) {
      this.#lastRows = 0; // The next pass has another shape than this one.
      this.#lag = report.drafterLag;
      return;
    }
    this.#steps++;
    const wasPlain = this.#isPlain;
    const asked = askedModel(modelTokensOf(report.origins), report.draftMs, this.#draft.mean);
    this.#isPlain = isPlain(report.rows, asked);
    const among = report.rows > 1 ? (asked ? 'asked' : 'free') : wasPlain && this.#isPlain ? 'free' : 'mixed';
    this.#observePass(report.rows, report.contextLength - report.tokens.length, report.verifyMs, among);
    this.#observeDraft(report);
    this.#observeReading(report);
    (isAsked ? this.#asked : this.#alone).add(report.otherMs);
  }

  #observePass(rows: number, contextLength: number, ms: number, among: Surroundings): void {
    const before = this.#lastRows;
    this.#lastRows = rows;
    // The first pass after a prompt, or after passes that others shared, finds other caches too.
    if (before === 0) return;
    const changed = rows !== before;
    if (!(ms > 0) || rows < 1 || rows > MAX_ROWS) return;
    this.#least = Math.min(this.#least, contextLength);
    this.#most = Math.max(this.#most, contextLength);
    const expected = this.#expected(rows, contextLength);
    let cell = this.#cells.get(rows);
    if (!cell) {
      cell = new RowCell();
      // What the table says counts for as much as many steps: else the first few would take up the machine's drift.
      if (this.#base) {
        Object.assign(cell, { count: PRIOR_STEPS, meanContext: contextLength, mean: this.#ownOf(rows) });
      }
      this.#cells.set(rows, cell);
    }
    const slope = this.#slope();
    const usual = this.#scale * expected * cell.at(contextLength, slope);
    this.#countSlow(rows, among, ms, usual);
    // What surroundings add is told by passes of as many rows without them.
    if (among === 'mixed' && (this.#base !== undefined || cell.same >= ENOUGH)) {
      this.#mixed.add(ms - usual);
      return;
    }
    // These go on: they are most of the passes that tell how the machine drifts.
    const change = changed ? this.#rebuild.mean : 0;
    if (among === 'asked' && cell.free >= ENOUGH) this.#after.add(ms - usual - change);
    const after = among === 'asked' ? Math.max(0, this.#after.mean) : 0;
    if (among === 'free') cell.free++;
    if (changed) {
      // Only where this many rows were seen after as many is it known what the change adds.
      if (cell.same >= ENOUGH) this.#rebuild.add(ms - usual - after);
    } else {
      if (cell.same === 0 && this.#rebuild.count === 0) cell = this.#restart(rows);
      cell.same++;
    }
    const clean = Math.max(0.2 * ms, ms - after - (changed ? this.#rebuild.mean : 0));
    const settled = this.#isSettled(cell);
    const off = clean / (this.#scale * expected * cell.at(contextLength, slope)) - 1;
    const anchored = this.#isAnchored;
    const first = this.#base !== undefined && !settled && !anchored;
    if (first) this.#scale *= 1 + Math.max(SCALE_SHARE, 1 / (this.#steps + 1)) * clipped(off);
    else if (settled || (!anchored && cell.count >= ENOUGH)) this.#scale *= 1 + SCALE_SHARE * clipped(off);
    this.#weigh(cell, -1);
    // The first one's own stays what the table says: its steps count, and tell nothing more than the scale.
    const relative = first ? cell.at(contextLength, slope) : clean / (this.#scale * expected);
    cell.add(relative, contextLength, slope);
    this.#weigh(cell, 1);
  }

  /**
   * What numbers of rows that were not seen have of their own: what the nearest that were have, since what is wrong of two
   * and three rows will be wrong of four. Else rows that a table holds too dear, and that nobody verifies for it, would
   * stay so for good.
   */
  #ownOf(rows: number): number {
    let below: [rows: number, own: number] | undefined;
    let above: [rows: number, own: number] | undefined;
    for (const [seen, { count, mean }] of this.#cells) {
      if (count < ENOUGH) continue;
      const own = 1 + Math.sign(mean - 1) * Math.max(0, Math.abs(mean - 1) - OWN_NOISE);
      if (seen <= rows && seen > (below?.[0] ?? 0)) below = [seen, own];
      if (seen >= rows && seen < (above?.[0] ?? Number.POSITIVE_INFINITY)) above = [seen, own];
    }
    if (below === undefined || above === undefined) return (below ?? above)?.[1] ?? 1;
    if (below[0] === above[0]) return below[1];
    return below[1] + ((rows - below[0]) / (above[0] - below[0])) * (above[1] - below[1]);
  }

  #countSlow(rows: number, among: Surroundings, ms: number, usual: number): void {
    const more = among === 'mixed' ? this.#mixed.mean : among === 'asked' ? this.#after.mean : 0;
    const over = ms / (usual + Math.max(0, more));
    const kind = rows === 1 && among === 'free' ? 'plain' : 'other';
    this.#slow[kind] += SLOW_SHARE * (Math.min(over, SLOW_MOST) - this.#slow[kind]);
  }

  #isSettled({ count }: RowCell): boolean {
    return count >= SETTLED + (this.#base ? PRIOR_STEPS : 0);
  }

  /** Whether some number of rows is known well enough to tell a drift by. */
  get #isAnchored(): boolean {
    for (const cell of this.#cells.values()) if (this.#isSettled(cell)) return true;
    return false;
  }

  /** Forgets passes that each had a change of shape in them, which nothing could tell from the pass itself. */
  #restart(rows: number): RowCell {
    const old = this.#cells.get(rows);
    if (old) this.#weigh(old, -1);
    const cell = new RowCell();
    this.#cells.set(rows, cell);
    return cell;
  }

  /** Adds a cell's share to the common slope's sums, or takes it off. */
  #weigh(cell: RowCell, sign: 1 | -1): void {
    const weight = sign * Math.min(1, cell.count / FULL_WEIGHT);
    this.#sxx += weight * cell.sxx;
    this.#sxy += weight * cell.sxy;
  }

  /**
   * A draft that ended before its depth may have had one token more, turned down by its stop rule: the time of a token
   * lies between two bounds then, and what is within them is no news.
   */
  #observeDraft({ drafter, drafted, depth, draftMs, origins }: StepReport): void {
    if (drafter !== 'model' && drafter !== 'hybrid') return;
    // What n-grams propose takes next to no time.
    const made = modelTokensOf(origins);
    const ms = draftMs - this.#startMs;
    if (made < 1 || !(ms > 0)) return;
    const most = ms / made;
    const least = ms / (drafted < depth ? made + 1 : made);
    const known = this.#draft.count > 0 ? this.#draft.mean : (least + most) / 2;
    this.#draft.add(Math.min(most, Math.max(least, known)));
  }

  #observeReading({ catchUpMs, drafterLag }: StepReport): void {
    const behind = tokensBehind(this.#lag);
    if (catchUpMs > 0 && behind > 0) this.#reading.add(catchUpMs / behind);
    this.#lag = drafterLag;
  }

  /** Not learned: a step's first token can't be told from the others, but by drafts of several lengths. */
  get #startMs(): number {
    return this.#options.base?.draft.startMs ?? 0;
  }

  #expected(rows: number, contextLength: number): number {
    return this.#base?.verifyMs(rows, contextLength) ?? 1;
  }

  /** Rise of a relative time per token of context; 0 until enough is known. */
  #slope(): number {
    if (!this.#learnsSlope || this.#steps < SLOPE_STEPS) return 0;
    return this.#sxx > SLOPE_TOKENS ** 2 ? Math.max(0, this.#sxy / this.#sxx) : 0;
  }

  /**
   * What is known by now; undefined until passes and draft tokens were seen, or given by `base`. Its times are means,
   * with the passes that are held up; `usual` leaves those out, as a `base` has it: a table that is to be one.
   */
  table(times: 'mean' | 'usual' = 'mean'): CostTable | undefined {
    const { base, drafts = true, draftThreads = base?.draft.threads ?? 1 } = this.#options;
    const startMs = this.#startMs;
    if (drafts && this.#draft.count === 0) return undefined;
    const target = this.#points(times === 'mean' ? Math.max(1, this.#slow.other / this.#slow.plain) : 1);
    if (target.length === 0) return undefined;
    const alone = this.#alone.count > 0 ? this.#alone : this.#asked;
    const callback = this.#asked.count > 0 ? Math.max(0, this.#asked.mean - alone.mean) : 0;
    return {
      target,
      draft: {
        msPerToken: drafts ? this.#draft.mean : 0,
        threads: draftThreads,
        ...(drafts && startMs > 0 && { startMs }),
        ...(drafts && this.#after.count > 0 && { afterMs: Math.max(0, this.#after.mean) }),
        ...(drafts && this.#reading.count > 0 && { readMs: this.#reading.mean }),
      },
      overheadMs: alone.mean,
      rebuildMs: Math.max(0, this.#rebuild.mean),
      ...(this.#mixed.count > 0 && { mixedMs: Math.max(0, this.#mixed.mean) }),
      callbackMs: callback,
    };
  }

  /** `slow`: what passes of several rows take more than usual against those of one, being held up more often. */
  #points(slow: number): RowCost[] {
    const meanOf = (rows: number, ms: number) => (rows === 1 ? ms : ms * slow);
    const slope = this.#slope();
    const { base } = this.#options;
    const contexts = this.#contexts(slope);
    const cells = [...this.#cells].filter(([, cell]) => cell.count >= ENOUGH);
    // What was measured is given back as it is.
    if (cells.length === 0) {
      return (base?.target ?? []).map(({ rows, contextLength, ms }) => ({
        rows,
        contextLength,
        ms: meanOf(rows, this.#scale * ms),
      }));
    }
    const seen = new Set(cells.map(([rows]) => rows));
    const rowsOf = (contextLength: number) =>
      base?.target.filter((point) => point.contextLength === contextLength && !seen.has(point.rows)) ?? [];
    return contexts.flatMap((contextLength) =>
      risen([
        ...rowsOf(contextLength).map(({ rows, ms }) => ({
          rows,
          contextLength,
          ms: meanOf(rows, this.#scale * this.#ownOf(rows) * ms),
          weight: PRIOR_STEPS,
        })),
        ...cells.map(([rows, cell]) => {
          // A line through few contexts must not lead to nothing, or below.
          const relative = Math.max(0.2 * cell.mean, cell.at(contextLength, slope));
          const ms = meanOf(rows, this.#scale * this.#expected(rows, contextLength) * relative);
          return { rows, contextLength, ms, weight: Math.min(cell.count, FULL_WEIGHT) };
        }),
      ]),
    );
  }

  /** Context lengths of the table: those of `base`, or the shortest seen, and the longest where a slope is known. */
  #contexts(slope: number): number[] {
    const { base } = this.#options;
    const lengths = [...new Set(base?.target.map((point) => point.contextLength) ?? [])].sort(
      (a, b) => a - b,
    );
    const shortest = lengths[0] ?? this.#least;
    if (!Number.isFinite(shortest)) return [];
    const longest = this.#learnsSlope ? this.#most : (lengths[lengths.length - 1] ?? shortest);
    const known = !this.#learnsSlope || slope > 0;
    return known && longest - shortest >= (this.#learnsSlope ? CONTEXT_SPAN : 1)
      ? [shortest, longest]
      : [shortest];
  }

  snapshot(): LiveCostsState {
    return {
      steps: this.#steps,
      scale: this.#scale,
      slope: { sxx: this.#sxx, sxy: this.#sxy },
      contexts: { least: this.#least, most: this.#most },
      lastRows: this.#lastRows,
      cells: [...this.#cells].map(([rows, cell]) => [rows, { ...cell }]),
      rebuild: this.#rebuild.snapshot(),
      mixed: this.#mixed.snapshot(),
      after: this.#after.snapshot(),
      reading: this.#reading.snapshot(),
      lag: this.#lag,
      slow: { ...this.#slow },
      isPlain: this.#isPlain,
      draft: this.#draft.snapshot(),
      alone: this.#alone.snapshot(),
      asked: this.#asked.snapshot(),
    };
  }

  /** Goes on from a snapshot of one that was made with the same options. */
  restore(state: LiveCostsState): void {
    this.#steps = state.steps;
    this.#scale = state.scale;
    this.#sxx = state.slope.sxx;
    this.#sxy = state.slope.sxy;
    // JSON has no infinity: before the first step it is null there.
    this.#least = state.contexts.least ?? Number.POSITIVE_INFINITY;
    this.#most = state.contexts.most;
    this.#lastRows = state.lastRows;
    this.#cells.clear();
    for (const [rows, cell] of state.cells) this.#cells.set(rows, new RowCell(cell));
    this.#rebuild.restore(state.rebuild);
    this.#mixed.restore(state.mixed);
    this.#after.restore(state.after);
    this.#reading.restore(state.reading);
    this.#lag = state.lag;
    this.#slow = { ...state.slow };
    this.#isPlain = state.isPlain;
    this.#draft.restore(state.draft);
    this.#alone.restore(state.alone);
    this.#asked.restore(state.asked);
  }
}

function clipped(off: number): number {
  return Math.min(SCALE_CLIP, Math.max(-SCALE_CLIP, off));
}

/**
 * The points with times that don't fall as rows rise: where some do, all of them get their mean (pool adjacent
 * violators). More rows never take less time, but those few that a noisy machine has shown may seem to.
 */
function risen(points: readonly (RowCost & { weight: number })[]): RowCost[] {
  const pools: { points: RowCost[]; ms: number; weight: number }[] = [];
  for (const { weight, ...point } of [...points].sort((a, b) => a.rows - b.rows)) {
    let pool = { points: [point], ms: point.ms, weight };
    for (let last = pools.at(-1); last !== undefined && last.ms > pool.ms; last = pools.at(-1)) {
      pools.pop();
      const sum = last.weight + pool.weight;
      const ms = (last.weight * last.ms + pool.weight * pool.ms) / sum;
      pool = { points: [...last.points, ...pool.points], ms, weight: sum };
    }
    pools.push(pool);
  }
  return pools.flatMap(({ points: pooled, ms }) => pooled.map((point) => ({ ...point, ms })));
}
