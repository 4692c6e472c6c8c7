// The experiment's controller: every branch, boundary and order, against its numbers and against a second reading.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AdaptiveSpecController } from '../../lib/control/adaptive-spec-controller.js';
import { requestInfo, stepReport } from './step-report.js';

const invalid = expect.objectContaining({ code: 'INVALID_ARGUMENT' });

describe('rollingAcceptance and shouldAdjust', () => {
  it('is 0.5 with an empty window, which no step without a draft fills', () => {
    const controller = new AdaptiveSpecController();
    expect(controller.rollingAcceptance()).toBe(0.5);
    controller.recordAcceptance(0, 0);
    expect(controller.rollingAcceptance()).toBe(0.5);
    expect(controller.shouldAdjust()).toBe(false);
  });

  it('averages the rates of the steps, not of the tokens', () => {
    const controller = new AdaptiveSpecController();
    controller.recordAcceptance(1, 1);
    controller.recordAcceptance(0, 15);
    expect(controller.rollingAcceptance()).toBe(0.5);
  });

  it('forgets the oldest step after 128', () => {
    const controller = new AdaptiveSpecController();
    controller.recordAcceptance(0, 1);
    for (let i = 0; i < 127; i++) controller.recordAcceptance(1, 1);
    expect(controller.rollingAcceptance()).toBe(127 / 128);
    controller.recordAcceptance(1, 1);
    expect(controller.rollingAcceptance()).toBe(1);
  });

  it('adjusts at 64 drafted tokens, not at 63, and counts from 0 again afterwards', () => {
    const controller = new AdaptiveSpecController();
    controller.recordAcceptance(0, 63);
    expect(controller.shouldAdjust()).toBe(false);
    controller.recordAcceptance(0, 1);
    expect(controller.shouldAdjust()).toBe(true);
    controller.computeNewK();
    expect(controller.shouldAdjust()).toBe(false);
    controller.recordAcceptance(0, 63);
    expect(controller.shouldAdjust()).toBe(false);
  });
});

describe('computeNewK', () => {
  it.each([
    ['above 0.65', 66, 100, 16],
    ['exactly 0.65', 13, 20, 14],
    ['above 0.55', 56, 100, 14],
    ['exactly 0.55', 11, 20, 12],
    ['0.5', 1, 2, 12],
    ['exactly 0.45', 9, 20, 12],
    ['below 0.45', 44, 100, 10],
    ['exactly 0.35', 7, 20, 10],
    ['below 0.35', 34, 100, 8],
    ['the next number above 0.65', 0.6500000000000001, 1, 16],
    ['the next number above 0.55', 0.5500000000000002, 1, 14],
    ['the next number below 0.45', 0.44999999999999996, 1, 10],
    ['the next number below 0.35', 0.34999999999999992, 1, 8],
    ['nothing', 0, 1, 8],
    ['all', 1, 1, 16],
  ])('acceptance %s: %f of %f takes K from 12 to %d', (_, accepted, drafted, k) => {
    const controller = new AdaptiveSpecController({ kCurrent: 12 });
    controller.recordAcceptance(accepted, drafted);
    expect(controller.computeNewK()).toBe(k);
    expect(controller.explain().k).toBe(k);
  });

  it('stays where it is with an empty window', () => {
    expect(new AdaptiveSpecController().computeNewK()).toBe(8);
  });

  it('stops at kMax and at kMin', () => {
    const up = new AdaptiveSpecController();
    up.recordAcceptance(1, 1);
    expect([1, 2, 3, 4, 5, 6].map(() => up.computeNewK())).toEqual([12, 16, 20, 24, 24, 24]);
    const down = new AdaptiveSpecController({ kCurrent: 9 });
    down.recordAcceptance(0, 1);
    expect([1, 2, 3].map(() => down.computeNewK())).toEqual([5, 4, 4]);
  });

  it('moves its thresholds with targetAcceptance', () => {
    const at = (accepted: number) => {
      const controller = new AdaptiveSpecController({ targetAcceptance: 0.7, kCurrent: 12 });
      controller.recordAcceptance(accepted, 100);
      return controller.computeNewK();
    };
    expect([81, 80, 71, 70, 60, 59, 50, 49].map(at)).toEqual([16, 14, 14, 12, 12, 10, 10, 8]);
  });
});

describe('kForContext', () => {
  const prose = 'word '.repeat(40);

  it.each([
    ['an empty snippet', '', 10],
    ['prose', prose, 10],
    ['exactly 5 % code characters', `(${'a'.repeat(19)}`, 10],
    ['just over 5 % code characters', `()${'a'.repeat(37)}`, 18],
    ['a fence without code characters', `${prose}\`\`\`\n${prose}`, 18],
    ['two backticks', `${prose}\`\`${prose}`, 10],
    ...[...'{}()[];:'].map((c): [string, string, number] => [`the code character ${c}`, `a${c}`, 18]),
    ...['∑', '∀', '∃', '→', '⇒', '∫', 'therefore', 'proof'].map((m): [string, string, number] => [
      `the mathematics of ${m}`,
      `${prose}${m}`,
      6,
    ]),
    ['the word Therefore, capitalised', `${prose}Therefore`, 10],
    ['JSON at its start, after blanks', ` \n\t{${prose}`, 6],
    ['JSON by "type":', `${prose}"type": `, 6],
    ['"type" without its colon', `${prose}"type" `, 10],
    ['a brace that is not first', `${prose}{ ${prose}`, 10],
    ['mathematics inside code', 'f(x) → {y};', 18],
    ['JSON dense enough to be code', '{"type":"x"}', 18],
    ['mathematics inside JSON', `{ ${prose} ∑`, 6],
  ])('%s', (_, snippet, k) => {
    expect(new AdaptiveSpecController({ kCurrent: 10 }).kForContext(snippet)).toBe(k);
  });

  it('tells mathematics in JSON from JSON: K - 4 rather than 6', () => {
    const controller = new AdaptiveSpecController({ kCurrent: 16 });
    expect(controller.kForContext(`{ ${prose} ∑`)).toBe(12);
    expect(controller.kForContext(`{ ${prose}`)).toBe(6);
  });

  it('keeps code within kMax, mathematics and JSON above kMin', () => {
    expect(new AdaptiveSpecController({ kCurrent: 20 }).kForContext('();')).toBe(24);
    expect(new AdaptiveSpecController({ kCurrent: 5 }).kForContext('∑')).toBe(4);
    expect(new AdaptiveSpecController({ kMin: 7 }).kForContext(`{${prose}`)).toBe(7);
  });

  it('leaves K itself alone', () => {
    const controller = new AdaptiveSpecController();
    controller.kForContext('();');
    expect(controller.explain().k).toBe(8);
  });
});

describe('as a controller', () => {
  it('starts with K for the prompt', () => {
    const controller = new AdaptiveSpecController();
    controller.begin(requestInfo({ promptText: 'int main() { return 0; }' }));
    expect(controller.nextPlan(stepReport())).toBe(16);
  });

  it('looks at the last 256 characters only', () => {
    const controller = new AdaptiveSpecController();
    controller.begin(requestInfo({ promptText: `∑${'a'.repeat(255)}` }));
    expect(controller.nextPlan(stepReport())).toBe(4);
    expect(controller.nextPlan(stepReport({ step: 1, text: 'a' }))).toBe(8);
    expect(controller.nextPlan(stepReport({ step: 2, text: '∑' }))).toBe(4);
    expect(controller.nextPlan(stepReport({ step: 3, text: 'a'.repeat(300) }))).toBe(8);
  });

  it('finds a word that two steps share', () => {
    const controller = new AdaptiveSpecController();
    controller.begin(requestInfo({ promptText: 'there' }));
    expect(controller.nextPlan(stepReport())).toBe(8);
    expect(controller.nextPlan(stepReport({ text: 'fore' }))).toBe(4);
  });

  it('keeps what it learnt from request to request, but not the text', () => {
    const controller = new AdaptiveSpecController();
    controller.begin(requestInfo({ promptText: '∑' }));
    controller.nextPlan(stepReport());
    expect(controller.nextPlan(stepReport({ drafted: 64, accepted: 64 }))).toBe(8);
    controller.begin(requestInfo({ promptText: 'prose' }));
    expect(controller.nextPlan(stepReport())).toBe(12);
    expect(controller.explain()).toEqual({ k: 12, acceptance: 1, reason: 'high acceptance' });
  });

  it('says what moved K and which context bends it', () => {
    const controller = new AdaptiveSpecController();
    expect(controller.explain()).toEqual({ k: 8, acceptance: 0.5, reason: 'start' });
    controller.begin(requestInfo());
    const reasonAfter = (accepted: number, text: string) => {
      controller.nextPlan(stepReport({ drafted: 6400, accepted, text: `${' '.repeat(256)}${text}` }));
      controller.restore({ ...controller.snapshot(), acceptances: [] });
      return controller.explain().reason;
    };
    expect(reasonAfter(6400, '')).toBe('high acceptance');
    expect(reasonAfter(3840, '')).toBe('acceptance above target');
    expect(reasonAfter(3200, '```')).toBe('acceptance near target; context code');
    expect(reasonAfter(2560, '∑')).toBe('acceptance below target; context math');
    expect(reasonAfter(0, '{')).toBe('low acceptance; context json');
  });

  it('asks for no more than the engine can do', () => {
    const controller = new AdaptiveSpecController();
    controller.begin(requestInfo({ maxDepth: 5 }));
    expect(controller.nextPlan(stepReport())).toBe(5);
    controller.begin(requestInfo({ drafters: [] }));
    expect(controller.nextPlan(stepReport())).toBe(0);
  });
});

describe('settings', () => {
  it.each([
    [{ kMin: -1 }],
    [{ kMin: 1.5 }],
    [{ kMin: '4' }],
    [{ kMin: 30 }],
    [{ kMax: 3 }],
    [{ kMax: 65 }],
    [{ kCurrent: 3 }],
    [{ kCurrent: 25 }],
    [{ kCurrent: null }],
    [{ targetAcceptance: 1.1 }],
    [{ targetAcceptance: Number.NaN }],
    [{ adjustmentInterval: 0 }],
    [{ adjustmentInterval: Number.POSITIVE_INFINITY }],
    [{ acceptanceWindow: 0 }],
    [{ acceptanceWindow: 4097 }],
    [null],
    ['adaptive'],
  ])('refuses %j', (config) => {
    expect(() => new AdaptiveSpecController(config as never)).toThrow(invalid);
  });

  it('names the setting that a mistyped one is near to', () => {
    expect(() => new AdaptiveSpecController({ kMxa: 8 } as never)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        hint: expect.stringContaining('Did you mean kMax?'),
      }),
    );
  });

  it('starts inside a range that leaves out the default', () => {
    expect(new AdaptiveSpecController({ kMin: 10 }).explain().k).toBe(10);
    expect(new AdaptiveSpecController({ kMax: 6, kMin: undefined as never }).explain().k).toBe(6);
  });

  it.each([
    [undefined],
    [null],
    [{}],
    [{ kCurrent: 99 }],
    [{ acceptances: ['1'] }],
    [{ tail: 5 }],
    [{ context: 'poem' }],
    [{ maxDepth: -1 }],
    [{ tokensSinceAdjustment: Number.NaN }],
  ])('refuses to restore %j, and keeps its state', (change) => {
    const controller = new AdaptiveSpecController();
    const before = controller.snapshot();
    const state = change && Object.keys(change).length > 0 ? { ...before, ...change } : change;
    expect(() => controller.restore(state)).toThrow(invalid);
    expect(controller.snapshot()).toEqual(before);
  });
});

// Everything below runs over random reports.

const texts = fc.constantFrom(
  '',
  'word ',
  'f(x);',
  '∑',
  '```',
  ' {',
  '"type":',
  'there',
  'fore',
  '🙂',
  'a'.repeat(200),
);
const reports = fc.array(
  fc
    .record({
      drafted: fc.integer({ min: 0, max: 64 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      text: texts,
    })
    .map(({ drafted, share, text }) => stepReport({ drafted, accepted: Math.round(drafted * share), text })),
  { maxLength: 150 },
);
const configs = fc
  .record({
    ks: fc.array(fc.integer({ min: 0, max: 64 }), { minLength: 3, maxLength: 3 }),
    targetAcceptance: fc.double({ min: 0, max: 1, noNaN: true }),
    adjustmentInterval: fc.integer({ min: 1, max: 200 }),
    acceptanceWindow: fc.integer({ min: 1, max: 40 }),
  })
  .map(({ ks, ...rest }) => {
    const [kMin, kCurrent, kMax] = ks.sort((a, b) => a - b) as [number, number, number];
    return { kMin, kCurrent, kMax, ...rest };
  });

/** The experiment's controller read a second time, with its own numbers and without any economy. */
function plansOfTheExperiment(prompt: string, steps: readonly ReturnType<typeof stepReport>[]): number[] {
  let [k, since, text] = [8, 0, prompt];
  const rates: number[] = [];
  return steps.map((step) => {
    if (step.drafted > 0) {
      rates.push(step.accepted / step.drafted);
      since += step.drafted;
    }
    if (since >= 64) {
      const window = rates.slice(-128);
      const rate = window.length > 0 ? window.reduce((a, b) => a + b, 0) / window.length : 0.5;
      if (rate > 0.65) k += 4;
      else if (rate > 0.55) k += 2;
      else if (rate < 0.35) k -= 4;
      else if (rate < 0.45) k -= 2;
      k = Math.max(4, Math.min(24, k));
      since = 0;
    }
    text += step.text;
    const snippet = text.slice(-256);
    const code = (snippet.match(/[{}()[\];:]/g) ?? []).length;
    if ((snippet.length > 0 && code / snippet.length > 0.05) || /```/.test(snippet))
      return Math.min(k + 8, 24);
    if (/∑|∀|∃|→|⇒|therefore|proof|∫/.test(snippet)) return Math.max(k - 4, 4);
    if (/^\s*\{/.test(snippet) || /"type":/.test(snippet)) return Math.max(4, 6);
    return k;
  });
}

function run(controller: AdaptiveSpecController, steps: readonly ReturnType<typeof stepReport>[]) {
  return steps.map((step) => ({ plan: controller.nextPlan(step), why: controller.explain() }));
}

describe('over random reports', () => {
  it('plans what the experiment planned', () => {
    fc.assert(
      fc.property(texts, reports, (promptText, steps) => {
        const controller = new AdaptiveSpecController();
        controller.begin(requestInfo({ promptText }));
        expect(run(controller, steps).map(({ plan }) => plan)).toEqual(
          plansOfTheExperiment(promptText, steps),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('keeps K within [kMin, kMax], and plans within what the overrides allow', () => {
    fc.assert(
      fc.property(configs, reports, (config, steps) => {
        for (const { plan, why } of run(new AdaptiveSpecController(config), steps)) {
          expect(why.k).toBeGreaterThanOrEqual(config.kMin);
          expect(why.k).toBeLessThanOrEqual(config.kMax);
          expect(plan).toBeGreaterThanOrEqual(config.kMin);
          expect(plan).toBeLessThanOrEqual(Math.max(config.kMax, 6));
        }
      }),
    );
  });

  it('gives the same plans for the same reports', () => {
    fc.assert(
      fc.property(configs, reports, (config, steps) => {
        expect(run(new AdaptiveSpecController(config), steps)).toEqual(
          run(new AdaptiveSpecController(config), steps),
        );
      }),
    );
  });

  it('goes on from a snapshot that went through JSON as if nothing had happened', () => {
    fc.assert(
      fc.property(configs, texts, reports, reports, (config, promptText, before, after) => {
        const original = new AdaptiveSpecController(config);
        original.begin(requestInfo({ promptText, maxDepth: 20 }));
        run(original, before);
        const copy = new AdaptiveSpecController(config);
        copy.restore(JSON.parse(JSON.stringify(original.snapshot())));
        expect(copy.explain()).toEqual(original.explain());
        expect(run(copy, after)).toEqual(run(original, after));
      }),
    );
  });
});
