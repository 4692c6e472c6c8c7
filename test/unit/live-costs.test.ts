// Costs learned from steps: they find a known curve in noise, follow a drift, and leave strays alone.
import { describe, expect, it } from 'vitest';
import { LiveCosts } from '../../lib/calibration/live.js';
import { ORIGIN } from '../../lib/control/controller.js';
import { CostModel, type CostTable } from '../../lib/control/costs.js';
import { random } from '../native/tiny-engine.js';
import { stepReport } from './step-report.js';

/** A machine: v(n, c) with a riser after 8 and 16 rows. Milliseconds. */
const verify = (rows: number, contextLength: number) =>
  20 + 0.1 * rows + (rows > 8 ? 4 : 0) + (rows > 16 ? 6 : 0) + 0.01 * contextLength;
const DRAFT = 3;
const REBUILD = 1.5;
const OVERHEAD = 0.4;

interface World {
  /** Depths by turns. */
  depths: readonly number[];
  steps: number;
  speed?: (step: number) => number;
  /** Relative noise, to both sides. */
  noise?: number;
  /** One step in so many takes five times as long. */
  strays?: number;
  contextLength?: (step: number) => number;
  /** What a row alone costs more beside drafts; one of these of a draft that was refused. */
  mixed?: number;
  refuses?: boolean;
  /** What several rows cost more after the draft model, which then drafts in every second pair of such steps; else n-grams do. */
  after?: number;
  /** Every fourth pass of several rows takes twice as long. */
  heldUp?: boolean;
  asked?: boolean;
  seed?: number;
}

/** Feeds steps as that machine would report them. */
function live(costs: LiveCosts, world: World): LiveCosts {
  const { depths, steps, speed = () => 1, noise = 0.05, strays = 0, seed = 1 } = world;
  const { contextLength = (step: number) => 50 + (step % 400), asked = true } = world;
  const { mixed = 0, refuses = false, heldUp = false, after } = world;
  const next = random(seed);
  let before = 0;
  costs.observe(stepReport({ step: 0 }), asked);
  for (let step = 1; step <= steps; step++) {
    const drafted = depths[step % depths.length]!;
    const rows = drafted + 1;
    const wobble = () => speed(step) * (1 + noise * (2 * next() - 1));
    const stray = strays > 0 && next() < 1 / strays ? 5 : 1;
    const context = contextLength(step);
    const isMixed = rows === 1 && (before > 1 || refuses);
    const byModel = after === undefined || step % 4 < 2;
    const extra =
      (rows === before ? 0 : REBUILD) + (isMixed ? mixed : 0) + (rows > 1 && byModel ? (after ?? 0) : 0);
    const slow = heldUp && rows > 1 && next() < 0.25 ? 2 : 1;
    costs.observe(
      stepReport({
        step,
        drafted,
        ...(!byModel && { origins: new Uint8Array(drafted).fill(ORIGIN.ngram) }),
        drafter: drafted > 0 ? 'model' : '',
        accepted: 0,
        tokens: new Int32Array(1),
        verifyMs: slow * stray * wobble() * (verify(rows, context) + extra),
        draftMs: stray * wobble() * DRAFT * (refuses && drafted === 0 ? 1 : byModel ? drafted : 0),
        otherMs: stray * wobble() * (OVERHEAD + (asked ? 0.1 : 0)),
        rows,
        contextLength: context + 1,
      }),
      asked,
    );
    before = rows;
  }
  return costs;
}

function expectCurve(table: CostTable | undefined, rows: number[], factor = 1, within = 0.04) {
  const model = new CostModel(table!);
  for (const n of rows)
    for (const contextLength of [50, 250, 450]) {
      const ratio = model.verifyMs(n, contextLength) / (factor * verify(n, contextLength));
      expect(Math.abs(ratio - 1), `${n} rows at ${contextLength}: ${ratio}`).toBeLessThan(within);
    }
}

const base: CostTable = {
  target: [0, 1000].flatMap((contextLength) =>
    [1, 2, 5, 8, 9, 16, 17, 33].map((rows) => ({ rows, contextLength, ms: verify(rows, contextLength) })),
  ),
  draft: { msPerToken: DRAFT, threads: 2 },
  overheadMs: OVERHEAD,
  rebuildMs: REBUILD,
  callbackMs: 0.1,
};

describe('without a table', () => {
  it('finds the curve, its slope over the context, and what else a step costs', () => {
    const costs = live(new LiveCosts({ draftThreads: 2 }), {
      depths: [0, 0, 4, 4, 8, 8, 16, 16, 16],
      steps: 1500,
    });
    const table = costs.table()!;
    expectCurve(table, [1, 5, 9, 17]);
    expect(table.draft.threads).toBe(2);
    expect(table.draft.msPerToken).toBeCloseTo(DRAFT, 0);
    expect(Math.abs(table.rebuildMs - REBUILD)).toBeLessThan(0.5);
    expect(table.overheadMs + table.callbackMs).toBeCloseTo(OVERHEAD + 0.1, 1);
    expect(costs.rowsKnown).toBe(4);
  });

  it('tells the callback from the rest, where steps with and without were seen', () => {
    const costs = live(new LiveCosts(), { depths: [0, 4], steps: 200 });
    live(costs, { depths: [0, 4], steps: 200, asked: false });
    const table = costs.table()!;
    expect(table.overheadMs).toBeCloseTo(OVERHEAD, 1);
    expect(table.callbackMs).toBeCloseTo(0.1, 1);
  });

  it('says nothing before passes and draft tokens were seen', () => {
    const costs = new LiveCosts();
    expect(costs.table()).toBeUndefined();
    live(costs, { depths: [0], steps: 50 });
    expect(costs.table()).toBeUndefined(); // The cost of a draft token is not known.
    live(costs, { depths: [3], steps: 50 });
    expect(costs.table()!.target.map(({ rows }) => rows)).toContain(4);
    const plain = live(new LiveCosts({ drafts: false }), { depths: [0], steps: 50 });
    expect(plain.table()!.draft.msPerToken).toBe(0);
  });

  it('learns nothing from steps that others ran beside', () => {
    const costs = new LiveCosts({ drafts: false });
    for (let step = 1; step < 100; step++)
      costs.observe(stepReport({ step, verifyMs: 9, rows: 1, load: { running: 2, waiting: 0 } }));
    expect(costs.steps).toBe(0);
    expect(costs.table()).toBeUndefined();
  });

  it('takes the time of a draft that ended early for that of its tokens, or of one more that was turned down', () => {
    for (const [made, drafted] of [
      [4, 3],
      [3, 3],
    ] as const) {
      const costs = live(new LiveCosts(), { depths: [4], steps: 50, noise: 0 });
      for (let step = 1; step < 100; step++)
        costs.observe(
          stepReport({
            step,
            depth: 8,
            drafted,
            drafter: 'model',
            rows: 4,
            verifyMs: 9,
            draftMs: made * DRAFT,
          }),
        );
      expect(costs.table()!.draft.msPerToken).toBeCloseTo(DRAFT, 5);
    }
  });

  it('knows nothing of the draft model from what others drafted', () => {
    const costs = new LiveCosts();
    for (let step = 1; step < 100; step++)
      costs.observe(stepReport({ step, drafted: 4, drafter: 'ngram', rows: 5, verifyMs: 9, draftMs: 0.01 }));
    expect(costs.table()).toBeUndefined();
  });
});

describe('several rows', () => {
  const world = { depths: [0, 0, 4, 4, 4, 4, 8, 8, 8, 8], steps: 3000 };

  it('cost more after the draft model, told by those after n-grams', () => {
    for (const known of [{}, { base: { ...base, rebuildMs: REBUILD } }]) {
      const costs = live(new LiveCosts(known), { ...world, after: 5 });
      expectCurve(costs.table(), [1, 5, 9], 1, 0.06);
      expect(Math.abs(costs.table()!.draft.afterMs! - 5)).toBeLessThan(1);
    }
  });

  it('have the model in them where it drafts alone', () => {
    const table = live(new LiveCosts(), { ...world }).table()!;
    expect(table.draft.afterMs).toBeUndefined();
    expectCurve(table, [5, 9], 1, 0.06);
  });
});

describe('reading', () => {
  it('costs so much for each token that the draft model is behind, where they are more than two', () => {
    const costs = live(new LiveCosts(), { depths: [4], steps: 40 });
    expect(costs.table()!.draft.readMs).toBeUndefined();
    for (let step = 41; step < 80; step++) {
      // Behind after every other step, and then catching up.
      const isBehind = step % 2 === 0;
      costs.observe(
        stepReport({
          step,
          rows: 5,
          verifyMs: 9,
          drafterLag: isBehind ? 1 : 20,
          catchUpMs: isBehind ? 1 : 0,
        }),
      );
    }
    expect(costs.table()!.draft.readMs).toBeCloseTo(0.05, 6);
  });
});

describe('a row alone', () => {
  const quick = { ...base, rebuildMs: 0 };

  it('costs what it does among plain steps, and more beside others', () => {
    const costs = live(new LiveCosts({ base: quick }), { depths: [0, 0, 0, 0, 4, 4], steps: 1500, mixed: 5 });
    expectCurve(costs.table(), [1, 5], 1, 0.05);
    // The change of rows is in it too.
    expect(Math.abs(costs.table()!.mixedMs! - 5 - REBUILD)).toBeLessThan(1);
  });

  it('is beside others too where a draft was made and refused', () => {
    const costs = live(new LiveCosts({ base: quick }), { depths: [0], steps: 400 });
    live(costs, { depths: [0], steps: 400, mixed: 5, refuses: true });
    expectCurve(costs.table(), [1], 1, 0.05);
    expect(Math.abs(costs.table()!.mixedMs! - 5)).toBeLessThan(1);
  });

  it('is no measure of passes that are held up more often', () => {
    const costs = live(new LiveCosts({ base }), {
      depths: [0, 0, 0, 0, 4, 4, 4, 4],
      steps: 2000,
      heldUp: true,
    });
    const model = new CostModel(costs.table()!);
    const ratio = model.verifyMs(5, 250) / model.verifyMs(1, 250) / (verify(5, 250) / verify(1, 250));
    expect(ratio).toBeGreaterThan(1.15);
    expect(ratio).toBeLessThan(1.35);
  });
});

describe('strays', () => {
  it('hardly move the curve', () => {
    const costs = live(new LiveCosts(), { depths: [0, 0, 8, 8], steps: 2000, strays: 20 });
    expectCurve(costs.table(), [1, 9], 1, 0.08);
  });
});

describe('the first pass of a request', () => {
  it('is no change of shape, however long it takes', () => {
    const costs = new LiveCosts({ base: { ...base, rebuildMs: 0 } });
    for (let request = 0; request < 40; request++) {
      costs.observe(stepReport({ step: 0 }));
      for (let step = 1; step <= 4; step++) {
        const verifyMs = verify(1, 100) * (step === 1 ? 3 : 1);
        costs.observe(
          stepReport({
            step,
            rows: 1,
            tokens: new Int32Array(1),
            contextLength: 101,
            verifyMs,
            otherMs: 0.5,
          }),
        );
      }
    }
    expect(costs.table()!.rebuildMs).toBe(0);
    expectCurve(costs.table(), [1], 1, 0.03);
  });
});

describe('more rows', () => {
  it('never take less time than fewer, whatever a noisy machine has shown', () => {
    const odd = (rows: number) => (rows === 5 ? 22 : rows === 8 ? 20.2 : verify(rows, 0));
    const wrong = { ...base, target: base.target.map((point) => ({ ...point, ms: odd(point.rows) })) };
    const { target } = live(new LiveCosts({ base: wrong }), { depths: [0], steps: 30, noise: 0 }).table()!;
    for (const contextLength of [0, 1000]) {
      const points = target.filter((point) => point.contextLength === contextLength);
      expect(points.map(({ rows }) => rows)).toEqual([1, 2, 5, 8, 9, 16, 17, 33]);
      for (const [i, { ms }] of points.entries())
        if (i > 0) expect(ms).toBeGreaterThanOrEqual(points[i - 1]!.ms);
      expect(points[2]!.ms).toBe(points[3]!.ms);
      expect(points[2]!.ms / points[4]!.ms).toBeCloseTo((22 + 20.2) / 2 / verify(9, 0), 6);
    }
  });
});

describe('with a table', () => {
  it('gives it back where steps agree with it', () => {
    const costs = live(new LiveCosts({ base }), { depths: [0, 0, 8, 8], steps: 500 });
    expectCurve(costs.table(), [1, 2, 5, 9, 17, 33]);
    expect(costs.scale).toBeCloseTo(1, 1);
  });

  it('gives it as it is before the first step', () => {
    const { callbackMs, ...rest } = new LiveCosts({ base }).table()!;
    expect({ ...rest, callbackMs: 0.1 }).toEqual(base);
    expect(callbackMs).toBeCloseTo(0.1, 9);
  });

  it('carries a drift of the whole machine over to numbers of rows that were not seen', () => {
    const costs = live(new LiveCosts({ base }), { depths: [0, 8], steps: 900, speed: () => 1.5 });
    expect(costs.scale).toBeGreaterThan(1.3);
    expectCurve(costs.table(), [1, 9], 1.5);
    expectCurve(costs.table(), [33], 1.5, 0.12);
  });

  it('takes rows that were not seen for as wrong as those next to them', () => {
    // As a table that was kept in a bad hour: from two rows on three times as dear.
    const ms = ({ rows, ms }: { rows: number; ms: number }) => (rows === 1 ? ms : 3 * ms);
    const dear = { ...base, target: base.target.map((point) => ({ ...point, ms: ms(point) })) };
    const costs = live(new LiveCosts({ base: dear }), { depths: [0, 0, 0, 1, 1], steps: 900 });
    expectCurve(costs.table(), [1, 2], 1, 0.05);
    // Nobody verified so many.
    expectCurve(costs.table(), [5, 8, 16, 33], 1, 0.15);
  });

  it('follows a machine that becomes slower and quick again', () => {
    const costs = new LiveCosts({ base });
    live(costs, { depths: [0, 0, 4], steps: 400 });
    live(costs, { depths: [0, 0, 4], steps: 300, speed: () => 2 });
    expectCurve(costs.table(), [1, 5], 2, 0.08);
    live(costs, { depths: [0, 0, 4], steps: 300 });
    expectCurve(costs.table(), [1, 5], 1, 0.08);
    expect(Math.abs(costs.table()!.draft.msPerToken / DRAFT - 1)).toBeLessThan(0.08);
  });

  it('corrects one number of rows whose cost the table has wrong', () => {
    const wrong = {
      ...base,
      target: base.target.map((p) => (p.rows === 9 ? { ...p, ms: 0.7 * p.ms } : p)),
    };
    const costs = live(new LiveCosts({ base: wrong }), { depths: [0, 0, 0, 8, 8, 4], steps: 1500 });
    expectCurve(costs.table(), [1, 5, 9], 1, 0.06);
  });
});

describe('a table of the wrong shape', () => {
  const wrong = { ...base, target: base.target.map((p) => (p.rows > 1 ? { ...p, ms: 1.4 * p.ms } : p)) };

  it('is not taken for a drift of the machine where texts of one number of rows come after another', () => {
    const costs = new LiveCosts({ base: wrong });
    live(costs, { depths: [0], steps: 200 });
    expectCurve(costs.table(), [1], 1, 0.03);
    live(costs, { depths: [4], steps: 100 });
    // It moved the scale, and with it the one row that no step had any more.
    expectCurve(costs.table(), [1], 1, 0.06);
    expectCurve(costs.table(), [5], 1, 0.1);
  });
});

describe('a snapshot', () => {
  it('goes on where it was taken, through JSON too', () => {
    const world = { depths: [0, 4, 4, 8], steps: 100 };
    const first = live(new LiveCosts({ base }), world);
    const second = new LiveCosts({ base });
    second.restore(JSON.parse(JSON.stringify(first.snapshot())));
    expect(second.table()).toEqual(first.table());
    live(first, { ...world, seed: 9 });
    live(second, { ...world, seed: 9 });
    expect(second.table()).toEqual(first.table());
    const fresh = new LiveCosts();
    fresh.restore(JSON.parse(JSON.stringify(new LiveCosts().snapshot())));
    expect(live(fresh, world).table()).toEqual(live(new LiveCosts(), world).table());
  });
});
