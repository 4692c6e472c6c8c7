// The default policy: drafts what is worth its time, never loses against plain decoding for long, says the same twice.

import { describe, expect, it } from 'vitest';
import { armOf } from '../../../lib/bench/arms.js';
import { AcceptanceLearner, type Surroundings } from '../../../lib/control/acceptance-learner.js';
import { AutoController } from '../../../lib/control/auto-controller.js';
import {
  type DepthController,
  type DetailedPlan,
  ORIGIN,
  type Plan,
  type RequestInfo,
  type StepReport,
} from '../../../lib/control/controller.js';
import type { CostTable } from '../../../lib/control/costs.js';
import { costsAtLoad } from '../../../lib/control/costs-at-load.js';
import { GoodputController } from '../../../lib/control/goodput-controller.js';
import { EXPERTS } from '../../../lib/control/hedge-experts.js';
import { LossGuard } from '../../../lib/control/loss-guard.js';
import { acceptanceOf, draftedBy, trimmedTo } from '../../../lib/control/stop-rule.js';
import { AdaptiveSpecError } from '../../../lib/errors.js';
import { requestInfo, stepReport } from '../step-report.js';

/** A step costs 10 ms with up to four rows and `riser` more beyond. */
function costs(riser = 0, fields: Partial<CostTable> = {}): CostTable {
  const ms = (rows: number) => (rows <= 4 ? 10 : 10 + riser);
  return {
    target: Array.from({ length: 33 }, (_, i) => ({ rows: i + 1, contextLength: 0, ms: ms(i + 1) })),
    draft: { msPerToken: 0.5, threads: 1 },
    overheadMs: 0,
    rebuildMs: 0,
    callbackMs: 0,
    ...fields,
  };
}

const DRAFTERS = ['model', 'ngram', 'hybrid'];

function begun(table: CostTable | undefined, config = {}): AutoController {
  const auto = new AutoController(config);
  auto.begin(requestInfo({ drafters: DRAFTERS, ...(table ? { costs: table } : {}) }));
  return auto;
}

/** Runs a text in which a token that the model holds probable with p is accepted with `acceptance`. */
function run(
  auto: AutoController,
  steps: number,
  { p, acceptance, table }: { p: number; acceptance: number; table: CostTable },
): { tokens: number; ms: number; plans: DetailedPlan[] } {
  const plans: DetailedPlan[] = [];
  let seed = 1;
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  let report = stepReport();
  let tokens = 0;
  let ms = 0;
  let held = 0;
  let plan: DetailedPlan = { depth: 0 };
  for (let step = 1; step <= steps; step++) {
    if (held > 0) auto.observe(report);
    else {
      const answer = auto.nextPlan(report);
      plan = typeof answer === 'number' ? { depth: answer } : answer;
      held = plan.steps ?? 1;
    }
    held--;
    plans.push(plan);
    const signals = {
      probabilities: new Float32Array(plan.depth).fill(p),
      margins: new Float32Array(plan.depth).fill(Math.max(0, 2 * p - 1)),
      entropies: new Float32Array(plan.depth).fill(1 - p),
      origins: new Uint8Array(plan.depth).fill(ORIGIN.model),
      matches: new Float32Array(plan.depth),
    };
    const { drafted } = plan.stop ? draftedBy(plan.stop, signals, plan.depth) : { drafted: plan.depth };
    const verified = plan.trim ? trimmedTo(plan.stop!, signals, drafted, report.rows) : drafted;
    let accepted = 0;
    while (accepted < verified && random() < acceptance) accepted++;
    tokens += accepted + 1;
    const point = table.target.find(({ rows }) => rows === verified + 1)!;
    ms += point.ms + drafted * table.draft.msPerToken + table.overheadMs;
    report = stepReport({
      step,
      position: tokens,
      depth: plan.depth,
      drafter: drafted > 0 ? 'hybrid' : '',
      drafted,
      verified,
      accepted,
      rows: verified + 1,
      contextLength: tokens,
      tokens: new Int32Array(accepted + 1),
      text: 'word '.repeat(accepted + 1),
      verifyMs: point.ms,
      draftMs: drafted * table.draft.msPerToken,
      probabilities: signals.probabilities.subarray(0, drafted),
      margins: signals.margins.subarray(0, drafted),
      entropies: signals.entropies.subarray(0, drafted),
      origins: signals.origins.subarray(0, drafted),
      matches: signals.matches.subarray(0, drafted),
    });
  }
  return { tokens, ms, plans };
}

describe('auto', () => {
  it('counts the time of drafts that were refused', () => {
    const auto = begun(costs(0, { draft: { msPerToken: 5, threads: 1 } }));
    const draftMs = () => {
      const plan = auto.nextPlan(stepReport({ step: 1, drafted: 0, draftMs: 5, tokens: new Int32Array(1) }));
      return (plan as DetailedPlan).stop?.value?.draftMs;
    };
    expect(draftMs()).toBe(5);
    for (let step = 0; step < 8; step++) draftMs();
    expect(draftMs()).toBeGreaterThan(1e6); // Eight times half a plain step: nobody asks the model any more.
  });

  it('verifies up to a riser where a riser is dear, and beyond it where it costs nothing', () => {
    const likely = { p: 0.9, acceptance: 0.9 };
    const flat = costs(0);
    const steep = costs(40);
    const onFlat = run(begun(flat), 300, { ...likely, table: flat });
    const onSteep = run(begun(steep), 300, { ...likely, table: steep });
    expect(onSteep.tokens / 300).toBeLessThan(4.01); // four rows emit at most four tokens
    expect(onFlat.tokens / 300).toBeGreaterThan(4.5);
  });

  it('is never more than 2 % slower than plain decoding over a text in which the drafter is always wrong', () => {
    for (const p of [0.2, 0.6, 0.95]) {
      for (const table of [
        costs(0),
        costs(5),
        costs(2, { draft: { msPerToken: 3, threads: 1 }, overheadMs: 1 }),
      ]) {
        const { tokens, ms } = run(begun(table), 2000, { p, acceptance: 0, table });
        const plainMs = tokens * (10 + table.overheadMs);
        expect(ms / plainMs).toBeLessThan(1.02);
      }
    }
  });

  it('believes outcomes over an overconfident drafter', () => {
    const table = costs(20);
    const { plans } = run(begun(table), 400, { p: 0.97, acceptance: 0.2, table });
    const last = plans.at(-1)!;
    const signals = {
      probabilities: [0.97],
      margins: [0.94],
      entropies: [0.03],
      origins: [ORIGIN.model],
      matches: [0],
    };
    expect(acceptanceOf(last.stop!.acceptance, signals, 0)).toBeLessThan(0.4);
  });

  describe('takes back what loses, and tries it again:', () => {
    const plainStep = (step: number, fields: Partial<StepReport> = {}) =>
      stepReport({ step, position: step, rows: 1, tokens: new Int32Array(1), ...fields });
    /** Four n-grams' tokens, `right` of them. */
    const ngramStep = (step: number, right: number) =>
      plainStep(step, {
        drafted: 4,
        verified: 4,
        accepted: right,
        rows: 5,
        tokens: new Int32Array(right + 1),
        origins: new Uint8Array(4).fill(ORIGIN.ngram),
      });
    const levelOf = (plan: DetailedPlan) =>
      plan.depth === 0 ? 'nobody' : plan.stop!.value!.draftMs > 1e6 ? 'ngrams' : 'model';
    /** Who drafts, from one to the next, where a step goes as `of` says. */
    function levels(auto: AutoController, steps: number, of: (step: number, level: string) => StepReport) {
      const seen = [levelOf(auto.nextPlan(stepReport()) as DetailedPlan)];
      for (let step = 1; step <= steps; step++) {
        const level = levelOf(auto.nextPlan(of(step, seen.at(-1)!)) as DetailedPlan);
        if (seen.at(-1) !== level) seen.push(level);
      }
      return seen;
    }

    it('the draft model alone, where n-grams gain', () => {
      // Catching up in passing takes as long as two plain steps, which the rule doesn't count.
      const lost = (step: number, level: string) =>
        level === 'model' ? plainStep(step, { catchUpMs: 20, drafterLag: 9 }) : ngramStep(step, 2);
      expect(levels(begun(costs(5)), 150, lost)).toEqual(['model', 'ngrams', 'model', 'ngrams']);
    });

    it('all drafting, where n-grams lose', () => {
      const lost = (step: number, level: string) =>
        level === 'nobody' ? plainStep(step) : ngramStep(step, 0);
      expect(levels(begun(costs(5)), 150, lost)).toEqual(['model', 'nobody', 'model', 'nobody']);
    });

    it('nothing, where the model makes good what n-grams lose', () => {
      const mixed = (step: number) => {
        const origins = Uint8Array.of(ORIGIN.model, ORIGIN.model, ORIGIN.ngram, ORIGIN.ngram);
        return plainStep(step, {
          ...{ drafted: 4, verified: 4, accepted: 2, rows: 5, tokens: new Int32Array(3), origins },
        });
      };
      expect(levels(begun(costs(5)), 150, mixed)).toEqual(['model']);
    });
  });

  describe('where the draft model has much to read first', () => {
    const table = costs(0, { draft: { msPerToken: 0.5, threads: 1, readMs: 0.2 } });
    const asks = (plan: unknown) => (plan as DetailedPlan).stop!.value!.draftMs < 1e6;
    const behind = (step: number, drafterLag: number) =>
      stepReport({ step, position: step, rows: 1, tokens: new Int32Array(1), drafterLag });

    it('asks it at once where that is soon paid for, and later where it is not', () => {
      expect(asks(begun(table).nextPlan(behind(0, 100)))).toBe(true);
      const auto = begun(table);
      let step = 0;
      while (!asks(auto.nextPlan(behind(step, 1000)))) step++;
      // 200 ms of reading are 20 plain steps; each step without it is held to forgo a tenth of one.
      expect(step).toBeGreaterThan(100);
      expect(step).toBeLessThan(200);
    });

    it('asks it later again where it gained nothing of late', () => {
      const auto = begun(table);
      // Always wrong, at almost no cost: the guard has nothing against it.
      for (let step = 1; step < 200; step++) {
        auto.nextPlan({ ...behind(step, 1), drafted: 1, draftMs: 0.5, origins: new Uint8Array(1) });
      }
      auto.begin(requestInfo({ drafters: DRAFTERS, costs: table }));
      expect(asks(auto.nextPlan(behind(0, 100)))).toBe(false);
      expect(asks(auto.nextPlan(behind(0, 2)))).toBe(true);
    });
  });

  it('is asked so seldom that asking costs no more than its share', () => {
    const dear = costs(0, { callbackMs: 0.14 });
    const answer = begun(dear).nextPlan(stepReport()) as DetailedPlan;
    expect(answer.steps).toBe(5);
    expect((begun(costs()).nextPlan(stepReport()) as DetailedPlan).steps).toBe(1);
    expect((begun(dear, { askingShare: 0 }).nextPlan(stepReport()) as DetailedPlan).steps).toBe(16);
    expect((begun(costs(), { askingShare: 0 }).nextPlan(stepReport()) as DetailedPlan).steps).toBe(1);
    expect((begun(dear, { askingShare: 1 }).nextPlan(stepReport()) as DetailedPlan).steps).toBe(1);
  });

  it('is not asked again before it would draft, where nobody drafts and asking has a price', () => {
    for (const [callbackMs, most] of [
      [0.45, 64],
      [0, 1],
    ] as const) {
      // Eight tokens of n-grams, all wrong, cost as much as two plain steps.
      const auto = begun(costs(20, { callbackMs }));
      const held: number[] = [];
      for (let step = 1; step <= 200; step++) {
        const report = stepReport({
          step,
          position: step,
          tokens: new Int32Array(1),
          drafted: 8,
          origins: new Uint8Array(8).fill(ORIGIN.ngram),
        });
        const plan = auto.nextPlan(report) as DetailedPlan;
        if (plan.depth === 0) held.push(plan.steps!);
      }
      expect(held.length).toBeGreaterThan(50);
      expect(Math.max(...held)).toBe(most);
    }
  });

  it('without costs learns them from its first steps, then plans by value', () => {
    const table = costs(20);
    const auto = begun(undefined);
    const { plans } = run(auto, 60, { p: 0.9, acceptance: 0.9, table });
    expect(new Set(plans.slice(0, 16).map(({ depth }) => depth))).toEqual(new Set([0, 3, 7]));
    expect(plans.at(-1)!.stop?.value).toBeDefined();
    expect(plans.at(-1)!.stop!.value!.verifyMs[0]).toBeCloseTo(10, 0);
  });

  it('begins with a look at what rows cost now, where all it has is what another engine found', () => {
    // One row takes 10 ms and each further one as much again, or so the table says: nothing would be worth verifying.
    const dear = costs(0, { target: [1, 2, 9].map((rows) => ({ rows, contextLength: 0, ms: 10 * rows })) });
    const depthsBy = (table: CostTable) =>
      run(begun(table), 40, { p: 0.9, acceptance: 0.9, table: costs() }).plans.map(({ stop, depth }) =>
        stop ? 'by value' : depth,
      );
    expect(depthsBy(dear)).toEqual(new Array(40).fill('by value'));
    expect(depthsBy({ ...dear, unconfirmed: true })).toEqual([
      ...new Array(6).fill(0),
      ...new Array(6).fill(3),
      ...new Array(6).fill(7),
      ...new Array(22).fill('by value'),
    ]);
  });

  it('drafts nothing where nothing can be drafted', () => {
    const auto = new AutoController();
    auto.begin(requestInfo({ drafters: [], costs: costs() }));
    expect(auto.nextPlan(stepReport())).toBe(0);
  });

  it('holds asking the model against what that costs the passes after it', () => {
    const plan = begun(costs(0, { draft: { msPerToken: 0.5, threads: 1, startMs: 0.2, afterMs: 1.5 } }));
    expect((plan.nextPlan(stepReport()) as DetailedPlan).stop!.value!.startMs).toBeCloseTo(0.2 + 2 * 1.5, 9);
  });

  it('verifies a few tokens of n-grams now and then where its costs say that none is worth its row', () => {
    const auto = begun(
      costs(0, { target: [1, 2, 9].map((rows) => ({ rows, contextLength: 0, ms: 10 * rows })) }),
    );
    const looks: number[] = [];
    for (let step = 0; step < 2000; step++) {
      const plan = auto.nextPlan(stepReport({ step, position: step, tokens: new Int32Array(1) }));
      if (typeof plan !== 'number' && plan.stop === undefined && plan.depth > 0) {
        expect(plan).toEqual({ depth: 2, steps: 12, tree: { nodes: 0 }, drafter: 'ngram' });
        looks.push(step);
      }
    }
    expect(looks).toEqual([512, 1024, 1536]);
  });

  it('keeps to the drafter that the request asks for', () => {
    const drafterOf = (drafter?: string) => {
      const auto = new AutoController();
      auto.begin(requestInfo({ drafters: DRAFTERS, costs: costs(), ...(drafter && { drafter }) }));
      return (auto.nextPlan(stepReport()) as DetailedPlan).drafter;
    };
    expect([drafterOf(), drafterOf('ngram'), drafterOf('model')]).toEqual(['hybrid', 'ngram', 'model']);
  });

  it('gives the same plans for the same reports, and goes on from a snapshot that went through JSON', () => {
    const table = costs(6, { callbackMs: 0.3, rebuildMs: 1 });
    const one = begun(table);
    const other = begun(table);
    const text = { p: 0.7, acceptance: 0.6, table };
    expect(run(one, 200, text).plans).toEqual(run(other, 200, text).plans);
    const third = new AutoController();
    third.restore(JSON.parse(JSON.stringify(one.snapshot())));
    const report = stepReport({
      step: 201,
      position: 400,
      contextLength: 400,
      tokens: new Int32Array(1),
      rows: 1,
    });
    expect(third.nextPlan(report)).toEqual(one.nextPlan(report));
    expect(third.explain()).toEqual(one.explain());
  });

  it('refuses settings and states that are none', () => {
    for (const config of [{ maxDepth: 0 }, { maxDepth: 65 }, { askingShare: -1 }, { depth: 4 }, null]) {
      expect(() => new AutoController(config as never)).toThrow(AdaptiveSpecError);
    }
    const state = begun(costs()).snapshot();
    for (const broken of [
      { ...state, learner: [1] },
      { ...state, costs: { target: [] } },
      { ...state, kind: 3 },
      {},
      7,
    ]) {
      expect(() => new AutoController().restore(broken)).toThrow(AdaptiveSpecError);
    }
  });
});

describe('the loss guard', () => {
  it('closes at a loss, waits twice as long after each, and starts over after a gain', () => {
    const guard = new LossGuard();
    const waits: number[] = [];
    let waited = 0;
    for (let step = 0; step < 1000; step++) {
      guard.step(guard.isOpen ? -0.5 : 0);
      if (!guard.isOpen) waited++;
      else if (waited > 0) {
        waits.push(waited);
        waited = 0;
      }
    }
    expect(waits.slice(0, 3)).toEqual([128, 256, 512]);
    for (let step = 0; step < 2000 && !guard.isOpen; step++) guard.step(0);
    for (let step = 0; step < 10; step++) guard.step(1);
    expect(guard.snapshot().backOff).toBe(128);
  });

  it('stays open as long as something makes the loss good', () => {
    const guard = new LossGuard();
    for (let step = 0; step < 10; step++) guard.step(-0.5, 3);
    expect(guard.isOpen).toBe(true);
    for (let step = 0; step < 3; step++) guard.step(-0.5, 3);
    expect(guard.isOpen).toBe(false);
  });
});

describe('the acceptance learner', () => {
  const surroundings: Surroundings = { kind: 'code', recent: 0.5, isEarly: false };
  const token = (origin: number, p: number, right: boolean): StepReport =>
    stepReport({
      drafted: 1,
      accepted: right ? 1 : 0,
      probabilities: Float32Array.of(p),
      origins: Uint8Array.of(origin),
    });
  const signals = (p: number, origin: number) => ({
    probabilities: [p],
    margins: [0],
    entropies: [0],
    origins: [origin],
    matches: [0],
  });

  it("comes to the share that is accepted, of the model's tokens and of n-grams' apart", () => {
    const learner = new AcceptanceLearner();
    for (let i = 0; i < 4000; i++) {
      learner.learn(token(ORIGIN.model, 0.8, i % 5 === 0), surroundings);
      learner.learn(token(ORIGIN.ngram, 0.8, i % 10 !== 0), surroundings);
    }
    const model = learner.model(surroundings);
    expect(acceptanceOf(model, signals(0.8, ORIGIN.model), 0)).toBeCloseTo(0.2, 1);
    expect(acceptanceOf(model, signals(0.8, ORIGIN.ngram), 0)).toBeCloseTo(0.9, 1);
  });

  it('never holds a likelier token less acceptable', () => {
    const learner = new AcceptanceLearner();
    for (let i = 0; i < 3000; i++) learner.learn(token(i % 2, i % 3 ? 0.99 : 0.2, i % 3 === 0), surroundings);
    const model = learner.model(surroundings);
    expect(model.logit).toBeGreaterThanOrEqual(0);
    expect(model.ngramLogit).toBeGreaterThanOrEqual(0);
  });

  it('holds code for more acceptable than JSON before it knows better, as the experiment does', () => {
    const learner = new AcceptanceLearner();
    expect(learner.model(surroundings).bias).toBeGreaterThan(
      learner.model({ ...surroundings, kind: 'json' }).bias,
    );
  });
});

describe('where the drafter gives no probabilities', () => {
  /** Plans of `steps` steps whose drafts are right at their first token in two of three. */
  function blind(controller: DepthController, steps: number, first = 0): Plan[] {
    const plans: Plan[] = [];
    let report = stepReport();
    for (let step = first + 1; step <= first + steps; step++) {
      const plan = controller.nextPlan(report);
      plans.push(plan);
      const depth = typeof plan === 'number' ? plan : plan.depth;
      const accepted = Math.min(step % 3, depth);
      report = stepReport({
        ...{ step, depth, drafted: depth, verified: depth, accepted, rows: depth + 1 },
        ...{ position: 2 * step, drafter: 'ngram-mod', verifyMs: 10 },
        tokens: new Int32Array(accepted + 1),
        draftTokens: new Int32Array(depth),
        probabilities: new Float32Array(0),
        margins: new Float32Array(0),
        entropies: new Float32Array(0),
        origins: new Uint8Array(depth).fill(ORIGIN.ngram),
      });
    }
    return plans;
  }
  const requests: [string, Partial<RequestInfo>][] = [
    ['the engine has no other', { drafters: ['ngram-mod'] }],
    ["the engine's first is a trained head", { drafters: ['eagle3', 'ngram'] }],
    ['the request names it', { drafters: [...DRAFTERS, 'ngram-mod'], drafter: 'ngram-mod' }],
  ];

  it.each(requests)("gives goodput's plans where %s", (_, fields) => {
    for (const table of [{}, { costs: costs(20, { callbackMs: 0.1 }) }]) {
      const auto = new AutoController();
      const goodput = new GoodputController({ maxDepth: 24 });
      for (const controller of [auto, goodput]) controller.begin(requestInfo({ ...fields, ...table }));
      const plans = blind(auto, 120);
      expect(plans).toEqual(blind(goodput, 120));
      expect(plans.filter((plan) => plan !== 0).length).toBeGreaterThan(10);
      expect(auto.explain()).toEqual({
        ...goodput.explain(),
        reason: `goodput: ${goodput.explain().reason}`,
      });
    }
  });

  it('plans by value where the request names another', () => {
    const auto = new AutoController();
    auto.begin(requestInfo({ drafters: ['eagle3', 'ngram'], drafter: 'ngram', costs: costs() }));
    expect(auto.nextPlan(stepReport())).toMatchObject({ drafter: 'ngram', trim: true });
  });

  it('keeps within its largest depth', () => {
    const auto = new AutoController({ maxDepth: 3 });
    auto.begin(requestInfo({ drafters: ['ngram-mod'], costs: costs() }));
    expect(Math.max(...blind(auto, 60).map(Number))).toBe(3);
  });

  it('does as an expert of hedge, and as an arm of a benchmark', () => {
    const experts = EXPERTS.filter(({ name }) => name === 'auto').map(({ make }) => make());
    for (const controller of [...experts, armOf('auto@ngram-mod').make() as DepthController]) {
      controller.begin!(requestInfo({ drafters: [...DRAFTERS, 'ngram-mod'], drafter: 'ngram-mod' }));
      expect(controller.nextPlan(stepReport())).toBe(4);
    }
  });

  it('remembers apart what it learns there', () => {
    const table = costs(6);
    const text = { p: 0.7, acceptance: 0.6, table };
    const byValue = requestInfo({ drafters: DRAFTERS, costs: table });
    const byDepth = requestInfo({ ...byValue, drafter: 'ngram-mod' });
    const auto = new AutoController();
    const [value, goodput] = [new AutoController(), new GoodputController({ maxDepth: 24 })];
    for (let round = 0; round < 3; round++) {
      for (const controller of [auto, value]) controller.begin(byValue);
      expect(run(auto, 100, text).plans).toEqual(run(value, 100, text).plans);
      for (const controller of [auto, goodput]) controller.begin(byDepth);
      expect(blind(auto, 50)).toEqual(blind(goodput, 50));
    }
  });

  it('goes on from a snapshot that went through JSON, in either kind of request', () => {
    const drafters = [...DRAFTERS, 'ngram-mod'];
    const auto = new AutoController();
    auto.begin(requestInfo({ drafters, drafter: 'ngram-mod', costs: costs(6) }));
    blind(auto, 50);
    const copyOf = () => {
      const copy = new AutoController();
      copy.restore(JSON.parse(JSON.stringify(auto.snapshot())));
      return copy;
    };
    const copy = copyOf();
    expect(copy.explain()).toEqual(auto.explain());
    expect(blind(copy, 50, 50)).toEqual(blind(auto, 50, 50));
    auto.begin(requestInfo({ drafters, costs: costs(6) }));
    const other = copyOf();
    expect(other.nextPlan(stepReport())).toEqual(auto.nextPlan(stepReport()));
    for (const controller of [auto, other]) controller.begin(requestInfo({ drafters: ['ngram-mod'] }));
    expect(blind(other, 50)).toEqual(blind(auto, 50));
    const state = auto.snapshot();
    for (const goodput of [3, {}, { state: {}, plans: true }, { ...state.goodput, plans: 1 }]) {
      expect(() => new AutoController().restore({ ...state, goodput })).toThrow(AdaptiveSpecError);
    }
  });
});

describe('where several sequences share the steps', () => {
  /** Level up to sixteen rows, then so much a row. */
  const rising = (rowMs: number) =>
    costs(0, {
      target: Array.from({ length: 65 }, (_, i) => ({
        rows: i + 1,
        contextLength: 0,
        ms: 10 + rowMs * Math.max(0, i - 15),
      })),
    });
  const table = rising(0.25);
  const at = (running: number) => ({ load: { running, waiting: 0 } });
  const planAt = (auto: AutoController, running: number) =>
    auto.nextPlan(stepReport(at(running))) as DetailedPlan;

  it('prices a row by what it costs them all', () => {
    const auto = begun(table);
    const rise = (plan: DetailedPlan) => plan.stop!.value!.verifyMs[1]! - plan.stop!.value!.verifyMs[0]!;
    expect(rise(planAt(auto, 1))).toBe(0);
    expect(rise(planAt(auto, 16))).toBe(4);
    expect(planAt(auto, 16).stop!.value!.draftMs).toBeGreaterThanOrEqual(table.draft.msPerToken);
    // And as before when the others have left.
    expect(rise(planAt(auto, 1))).toBe(0);
  });

  it('does not look for drafts where not even right ones would be worth their rows', () => {
    const auto = begun(rising(1));
    expect(planAt(auto, 16)).toEqual({ depth: 0, steps: 64 });
    // And does again when the others have left.
    expect(planAt(auto, 1)).toMatchObject({ drafter: 'hybrid' });
  });

  it('is asked the more seldom the more share them, and not so seldom where it drafts', () => {
    const auto = begun(table);
    expect([1, 2, 4, 8, 16].map((running) => planAt(auto, running).steps)).toEqual([1, 8, 16, 32, 64]);
    for (let step = 1; step < 20; step++)
      auto.observe(
        stepReport({
          ...at(16),
          step,
          drafted: 2,
          verified: 2,
          accepted: 2,
          rows: 3,
          tokens: new Int32Array(3),
        }),
      );
    expect(planAt(auto, 16).steps).toBe(16);
  });

  it('takes a table of several sequences as it is', () => {
    const auto = begun(costsAtLoad(table, 16));
    expect([...planAt(auto, 16).stop!.value!.verifyMs]).toEqual([
      ...planAt(begun(table), 16).stop!.value!.verifyMs,
    ]);
  });

  it('drafts nothing where nothing is known of costs', () => {
    expect(planAt(begun(undefined), 4)).toBe(0);
    expect(planAt(begun(undefined), 1)).toMatchObject({ depth: 0 });
  });

  it('goes on from a snapshot with the load that it had', () => {
    const auto = begun(table);
    planAt(auto, 16);
    const other = new AutoController();
    other.restore(JSON.parse(JSON.stringify(auto.snapshot())));
    expect(planAt(other, 16)).toEqual(planAt(auto, 16));
  });
});
