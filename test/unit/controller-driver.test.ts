// Hostile controllers: whatever they do, a usable plan comes out and nothing else.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdaptiveSpecController } from '../../lib/control/adaptive-spec-controller.js';
import type { Controller, Plan, StepReport } from '../../lib/control/controller.js';
import { ControllerDriver, type DriverOptions } from '../../lib/control/driver.js';
import { type NativePlan, nativePlan } from '../../lib/control/native-plan.js';
import { AdaptiveSpecError } from '../../lib/errors.js';
import type { KChange } from '../../lib/observe/audit-log.js';
import { requestInfo, stepReport } from './step-report.js';

const firstPlan: NativePlan = { ...nativePlan(5), minProbability: 0.25, drafter: 1 };

function drive(controller: Controller, options: Partial<DriverOptions> = {}) {
  const warnings: { code: string; message: string }[] = [];
  const driver = new ControllerDriver(controller, {
    maxDepth: 64,
    drafters: ['model', 'ngram'],
    firstPlan,
    onWarning: (warning) => warnings.push(warning),
    ...options,
  });
  return { driver, warnings };
}

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);
beforeAll(() => {
  process.on('unhandledRejection', note);
});
afterAll(() => {
  process.off('unhandledRejection', note);
});

/** Node reports unhandled rejections after the microtasks of a turn. */
async function rejectionsReported(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe('good plans', () => {
  it('become numbers, with defaults for what they leave out', () => {
    const plans: [Plan, NativePlan][] = [
      [8, nativePlan(8)],
      [0, nativePlan(0)],
      [-0, nativePlan(0)],
      [64, nativePlan(64)],
      [{ depth: 3 }, nativePlan(3)],
      [{ depth: 3, stop: {} }, nativePlan(3)],
      [
        { depth: 3, stop: { minProbability: 1 }, drafter: 'ngram' },
        { ...nativePlan(3), minProbability: 1, drafter: 1 },
      ],
      [
        { depth: 3, stop: { maxEntropy: 2, keep: true } },
        { ...nativePlan(3), maxEntropy: 2, keep: true },
      ],
      [
        { depth: 4, tree: { nodes: 8 } },
        { ...nativePlan(4), treeNodes: 8 },
      ],
      [
        { depth: 4, tree: { nodes: 0, branches: 2 } },
        { ...nativePlan(4), treeNodes: 0, branches: 2 },
      ],
      [
        { depth: 4, drafter: 'model' },
        { ...nativePlan(4), minProbability: 0, drafter: 0 },
      ],
    ];
    for (const [plan, native] of plans) {
      for (const controller of [() => plan, { name: 'x', nextPlan: () => plan }]) {
        const { driver, warnings } = drive(controller);
        expect(driver.answer(stepReport())).toEqual(native);
        expect(driver.errors).toBe(0);
        expect(warnings).toEqual([]);
      }
    }
  });

  it('come in one object, so that a step allocates nothing', () => {
    const { driver } = drive((report) => report.step);
    const first = driver.answer(stepReport({ step: 1 }));
    expect(driver.answer(stepReport({ step: 2 }))).toBe(first);
    expect(first.depth).toBe(2);
    expect(firstPlan.depth).toBe(5);
  });

  it('reach the controller with its report, and with `this` where it is an object', () => {
    const seen: unknown[] = [];
    const controller = {
      name: 'x',
      nextPlan(report: StepReport) {
        seen.push(this, report);
        return 1;
      },
      begin(info: unknown) {
        seen.push(this, info);
      },
    };
    const { driver } = drive(controller);
    const [info, report] = [requestInfo(), stepReport()];
    driver.begin(info);
    driver.answer(report);
    expect(seen).toEqual([controller, info, controller, report]);
    expect(seen[1]).toBe(info);
    expect(seen[3]).toBe(report);
  });

  it('are depth 0 without a drafter, which is no fault', () => {
    const { driver, warnings } = drive(() => 8, { drafters: [] });
    expect(driver.answer(stepReport()).depth).toBe(0);
    expect(driver.errors).toBe(0);
    expect(warnings).toEqual([]);
  });
});

const trap = (): never => {
  throw new Error('trap');
};
const allTraps = Object.fromEntries(
  Object.getOwnPropertyNames(Reflect).map((name) => [name, trap]),
) as ProxyHandler<object>;
const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const throws = (make: () => unknown) => () => {
  throw make();
};
const rejecting = () => Promise.reject(new Error('rejected'));
const overflow = (): unknown => [overflow()];

/** What it does, how, and the depth that must come out: 'last' for the last plan, untouched. */
const faults: [what: string, answer: () => unknown, depth: 'last' | number][] = [
  ['throws an error', throws(() => new Error('no')), 'last'],
  ['throws null', throws(() => null), 'last'],
  ['throws undefined', throws(() => undefined), 'last'],
  ['throws a string', throws(() => 'no'), 'last'],
  ['throws a symbol', throws(() => Symbol('no')), 'last'],
  ['throws a rejected promise', throws(rejecting), 'last'],
  ['throws a trap', throws(() => new Proxy({}, allTraps)), 'last'],
  ['throws a revoked proxy', throws(revoked), 'last'],
  [
    'throws an error whose message throws',
    throws(() => Object.defineProperty(new Error(), 'message', { get: trap })),
    'last',
  ],
  ['overflows the stack', overflow, 'last'],
  ['NaN', () => Number.NaN, 'last'],
  ['Infinity', () => Number.POSITIVE_INFINITY, 'last'],
  ['-Infinity', () => Number.NEGATIVE_INFINITY, 'last'],
  ['-1', () => -1, 0],
  ['-0.5', () => -0.5, 0],
  ['3.7', () => 3.7, 3],
  ['65', () => 65, 64],
  ['1e9', () => 1e9, 64],
  ['2 ** 53', () => 2 ** 53, 64],
  ['-1e308', () => -1e308, 0],
  ['a string', () => '8', 'last'],
  ['a long string', () => '8'.repeat(1e5), 'last'],
  ['true', () => true, 'last'],
  ['a bigint', () => 8n, 'last'],
  ['a symbol', () => Symbol('8'), 'last'],
  ['null', () => null, 'last'],
  ['undefined', () => undefined, 'last'],
  ['a function', () => () => 8, 'last'],
  ['an empty object', () => ({}), 'last'],
  ['an object without prototype', () => Object.create(null), 'last'],
  ['an array', () => [8], 'last'],
  ['a boxed number', () => new Number(8), 'last'],
  ['a date', () => new Date(8), 'last'],
  ['a promise', () => Promise.resolve(8), 'last'],
  ['a promise that never ends', () => new Promise(() => {}), 'last'],
  ['a rejected promise', rejecting, 'last'],
  ['a promise rejected with null', () => Promise.reject(null), 'last'],
  ['a promise rejected later', () => new Promise((_, reject) => setImmediate(reject)), 'last'],
  [
    'a promise whose constructor is a trap',
    () => Object.defineProperty(Promise.resolve(8), 'constructor', { get: trap }),
    'last',
  ],
  ['a promise with a depth, which rejects', () => Object.assign(rejecting(), { depth: 8 }), 'last'],
  ['a thenable whose then throws', () => Object.defineProperty({}, 'then', { get: trap }), 'last'],
  [
    'a thenable whose then must not run',
    () => Object.defineProperty({}, 'then', { value: () => process.abort() }),
    'last',
  ],
  ['a trap', () => new Proxy({}, allTraps), 'last'],
  ['a revoked proxy', revoked, 'last'],
  ['depth NaN', () => ({ depth: Number.NaN }), 'last'],
  ['depth as string', () => ({ depth: '8' }), 'last'],
  ['depth null', () => ({ depth: null }), 'last'],
  ['depth -3', () => ({ depth: -3 }), 0],
  ['depth 1e300', () => ({ depth: 1e300 }), 64],
  ['depth 7.5', () => ({ depth: 7.5 }), 7],
  ['depth as rejected promise', () => ({ depth: rejecting() }), 'last'],
  ['depth as object with valueOf', () => ({ depth: { valueOf: trap } }), 'last'],
  [
    'depth getter that throws',
    () => ({
      get depth() {
        return trap();
      },
    }),
    'last',
  ],
  ['stop null', () => ({ depth: 8, stop: null }), 'last'],
  ['stop as number', () => ({ depth: 8, stop: 0.5 }), 'last'],
  ['stop as rejected promise', () => ({ depth: 8, stop: rejecting() }), 'last'],
  ['stop as trap', () => ({ depth: 8, stop: new Proxy({}, allTraps) }), 'last'],
  ['minProbability NaN', () => ({ depth: 8, stop: { minProbability: Number.NaN } }), 'last'],
  ['minProbability -0.1', () => ({ depth: 8, stop: { minProbability: -0.1 } }), 'last'],
  ['minProbability 1.1', () => ({ depth: 8, stop: { minProbability: 1.1 } }), 'last'],
  ['minProbability as string', () => ({ depth: 8, stop: { minProbability: '0.5' } }), 'last'],
  ['minProbability null', () => ({ depth: 8, stop: { minProbability: null } }), 'last'],
  ['tree null', () => ({ depth: 8, tree: null }), 'last'],
  ['tree as number', () => ({ depth: 8, tree: 8 }), 'last'],
  ['tree without nodes', () => ({ depth: 8, tree: { branches: 2 } }), 'last'],
  ['tree of half a node', () => ({ depth: 8, tree: { nodes: 1.5 } }), 'last'],
  ['tree of -1 nodes', () => ({ depth: 8, tree: { nodes: -1 } }), 'last'],
  ['tree of NaN branches', () => ({ depth: 8, tree: { nodes: 8, branches: Number.NaN } }), 'last'],
  ['tree as trap', () => ({ depth: 8, tree: new Proxy({}, allTraps) }), 'last'],
  ['drafter unknown', () => ({ depth: 8, drafter: 'nope' }), 8],
  ['drafter empty', () => ({ depth: 8, drafter: '' }), 8],
  ['drafter __proto__', () => ({ depth: 8, drafter: '__proto__' }), 8],
  ['drafter as index', () => ({ depth: 8, drafter: 0 }), 8],
  ['drafter null', () => ({ depth: 8, drafter: null }), 8],
  ['drafter as object whose toString throws', () => ({ depth: 8, drafter: { toString: trap } }), 8],
  ['drafter as rejected promise', () => ({ depth: 8, drafter: rejecting() }), 8],
  [
    'drafter getter that throws',
    () => ({
      depth: 8,
      get drafter() {
        return trap();
      },
    }),
    'last',
  ],
];

/** The ways in which a fault can be dressed. */
const forms: [form: string, make: (answer: () => unknown) => unknown][] = [
  ['a function', (answer) => () => answer()],
  ['an object', (answer) => ({ name: 'x', nextPlan: answer })],
  ['a frozen object', (answer) => Object.freeze({ name: 'x', nextPlan: answer })],
  [
    'an object whose begin and explain throw',
    (answer) => ({ name: 'x', nextPlan: answer, begin: throws(() => null), explain: throws(() => null) }),
  ],
  [
    'an object whose begin and explain reject',
    (answer) => ({ name: 'x', nextPlan: answer, begin: rejecting, explain: rejecting }),
  ],
  [
    'an object whose name, begin and explain are traps',
    (answer) =>
      Object.defineProperties(
        { nextPlan: answer },
        { name: { get: trap }, begin: { get: trap }, explain: { get: trap } },
      ),
  ],
  [
    'an object that explains itself in traps',
    (answer) => ({ name: Symbol('x'), nextPlan: answer, explain: () => new Proxy({}, allTraps) }),
  ],
  [
    'an object that explains itself in rejected promises',
    (answer) => ({
      name: '',
      nextPlan: answer,
      explain: () => ({ k: rejecting(), acceptance: rejecting(), reason: 8 }),
    }),
  ],
  [
    'an object that ruins its report',
    (answer) => ({
      name: 'x',
      nextPlan(report: StepReport) {
        for (const key of Object.keys(report)) Object.defineProperty(report, key, { get: trap });
        return answer();
      },
    }),
  ],
];

describe(`${faults.length * forms.length} hostile controllers`, () => {
  it('are at least 500', () => {
    expect(faults.length * forms.length).toBeGreaterThanOrEqual(500);
  });

  describe.each(forms)('%s', (_, make) => {
    it.each(faults)('%s', async (_, answer, depth) => {
      let hostile = true;
      const controller = make(() => (hostile ? answer() : { depth: 11, drafter: 'ngram' })) as Controller;
      const { driver, warnings } = drive(controller, { audit: { kChanged() {} } });
      driver.begin(requestInfo());

      const before = driver.errors;
      expect(driver.answer(stepReport())).toEqual(
        depth === 'last' ? firstPlan : { ...nativePlan(depth as number), drafter: depth === 8 ? 1 : -1 },
      );
      expect(driver.errors).toBeGreaterThan(before);

      // A good plan in between becomes the last one.
      hostile = false;
      expect(driver.answer(stepReport()).depth).toBe(11);
      hostile = true;
      const again = driver.answer(stepReport());
      expect(again.depth).toBe(depth === 'last' ? 11 : depth);
      expect(again.drafter).toBe(depth === 'last' || depth === 8 ? 1 : -1);

      expect(driver.calls).toBe(3);
      expect(driver.failure).toBeUndefined();
      expect(warnings).toEqual([{ code: 'CONTROLLER_INVALID', message: expect.any(String) }]);
      expect(warnings[0]!.message.length).toBeLessThan(600);
      await rejectionsReported();
      expect(unhandled).toEqual([]);
    });
  });

  it.each([
    ['null', null],
    ['undefined', undefined],
    ['a number', 8],
    ['an object without nextPlan', {}],
    ['a class', AdaptiveSpecController],
    ['a trap', new Proxy({}, allTraps)],
    ['a function that is a trap', new Proxy(() => 8, allTraps)],
  ])('are survived even where they are none: %s', (_, value) => {
    const { driver, warnings } = drive(value as never);
    driver.begin(requestInfo());
    expect(driver.answer(stepReport())).toEqual(firstPlan);
    expect(driver.errors).toBeGreaterThan(0);
    expect(warnings).toHaveLength(1);
  });
});

describe('faults', () => {
  it('are counted each time and told of once', () => {
    const { driver, warnings } = drive(() => Number.NaN);
    for (let i = 0; i < 10; i++) driver.answer(stepReport());
    expect(driver.errors).toBe(10);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]!.message).toContain('NaN');
  });

  it('name the controller and what it threw', () => {
    const controller = { name: 'mine', nextPlan: throws(() => new Error('boom')) as () => number };
    const { driver, warnings } = drive(controller);
    driver.answer(stepReport());
    expect(warnings[0]!.message).toMatch(/'mine' threw an error: boom/);
  });

  it('suggest the drafter that a mistyped name is near to', () => {
    const { driver, warnings } = drive(() => ({ depth: 1, drafter: 'modle' }));
    driver.answer(stepReport());
    expect(warnings[0]!.message).toContain("did it mean 'model'?");
  });

  it('survive a listener that throws', () => {
    const { driver } = drive(() => Number.NaN, { onWarning: trap });
    expect(driver.answer(stepReport())).toEqual(firstPlan);
  });

  it('cannot hide behind a getter that answers differently the second time', () => {
    let reads = 0;
    const plan = {
      get depth() {
        return reads++ === 0 ? 6 : Number.NaN;
      },
    };
    const { driver } = drive(() => plan);
    expect(driver.answer(stepReport()).depth).toBe(6);
    expect(reads).toBe(1);
  });
});

describe('time', () => {
  it('is the mean over the calls, in microseconds', () => {
    const { driver } = drive((report) => {
      const until = performance.now() + (report.step === 1 ? 20 : 0);
      while (performance.now() < until);
      return 1;
    });
    expect(driver.meanMicroseconds).toBe(0);
    driver.answer(stepReport({ step: 1 }));
    const first = driver.meanMicroseconds;
    expect(first).toBeGreaterThanOrEqual(20_000);
    for (let i = 0; i < 3; i++) driver.answer(stepReport());
    expect(driver.calls).toBe(4);
    expect(driver.meanMicroseconds).toBeLessThan(first);
    expect(driver.meanMicroseconds).toBeGreaterThanOrEqual(5000);
  });
});

describe('audit', () => {
  function audited(controller: Controller) {
    const changes: KChange[] = [];
    return { changes, ...drive(controller, { audit: { kChanged: (change) => changes.push(change) } }) };
  }

  it('logs changes of depth where a controller does not explain itself', () => {
    const { driver, changes } = audited((report) => report.step);
    for (const step of [3, 3, 5, 5]) driver.answer(stepReport({ step, drafted: 4, accepted: 3 }));
    expect(changes).toEqual([{ from: 3, to: 5, acceptance: 0.75, reason: 'controller custom' }]);
  });

  it('logs changes of the adaptive controller’s K, not of what the text makes of it', () => {
    const { driver, changes } = audited(new AdaptiveSpecController());
    driver.begin(requestInfo());
    expect(driver.answer(stepReport()).depth).toBe(8);
    expect(driver.answer(stepReport({ text: 'f();' })).depth).toBe(16);
    expect(changes).toEqual([]);
    driver.answer(stepReport({ drafted: 64, accepted: 48 }));
    expect(changes).toEqual([{ from: 8, to: 12, acceptance: 0.75, reason: 'high acceptance; context code' }]);
  });

  it('logs no change for a step whose explanation throws', () => {
    let k = 4;
    const controller = {
      name: 'x',
      nextPlan: () => 20,
      explain: () => (k === 5 ? trap() : { k, acceptance: Number.NaN, reason: 'because' }),
    };
    const { driver, changes } = audited(controller);
    for (k of [4, 5, 4, 6]) driver.answer(stepReport());
    expect(changes).toEqual([{ from: 4, to: 6, acceptance: 0, reason: 'because' }]);
    expect(driver.errors).toBe(1);
  });

  it('keeps the error of a log that must not fail for the engine to throw, and the plan usable', () => {
    const error = new AdaptiveSpecError('AUDIT_FAILED', 'full', 'free space');
    let calls = 0;
    const audit = {
      kChanged() {
        calls++;
        throw error;
      },
    };
    const { driver } = drive((report) => report.step, { audit });
    for (const step of [1, 2, 3]) expect(driver.answer(stepReport({ step })).depth).toBe(step);
    expect(driver.failure).toBe(error);
    expect(calls).toBe(1);
    expect(driver.errors).toBe(0);
  });
});
