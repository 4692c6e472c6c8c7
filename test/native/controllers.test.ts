// Controllers that do everything a controller should not, and what the engine tells those that behave.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ORIGIN } from '../../lib/control/controller.js';
import { draftedBy, trimmedTo } from '../../lib/control/stop-rule.js';
import {
  type Controller,
  type DepthController,
  type DetailedPlan,
  type Engine,
  type GenerateOptions,
  type MadePlan,
  type Plan,
  type RequestInfo,
  readAuditLog,
  type StepReport,
} from '../../lib/index.js';
import { BEGINNINGS, random, tinyEngine } from './tiny-engine.js';

let engine: Engine;
let plain: number[];
const prompt = BEGINNINGS[0]!;
const request = { prompt, maxTokens: 40, onWarning: () => {} } satisfies GenerateOptions;

beforeAll(async () => {
  engine = await tinyEngine('target', 'draft');
  plain = (await engine.generate({ ...request, controller: 'off' })).tokens;
});
afterAll(() => engine.close());

const run = (controller: unknown) => engine.generate({ ...request, controller: controller as Controller });

/** Things a controller may do instead of answering. The report's arrays are the engine's own memory. */
const MISDEEDS: ((report: StepReport, next: () => number) => unknown)[] = [
  () => Number.NaN,
  () => -1,
  () => 1e9,
  () => Number.POSITIVE_INFINITY,
  () => -0.5,
  () => 3.7,
  () => '8',
  () => null,
  () => undefined,
  () => true,
  () => 8n,
  () => Symbol('8'),
  () => [],
  () => ({}),
  () => ({ depth: 'deep' }),
  () => ({ depth: 4, stop: 1 }),
  () => ({ depth: 4, stop: { minProbability: 7 } }),
  () => ({ depth: 4, stop: { minProbability: Number.NaN } }),
  () => ({ depth: 4, drafter: 'nobody' }),
  () => Promise.resolve(8),
  () => Promise.reject(new Error('later')),
  () => ({
    get depth() {
      throw new Error('getter');
    },
  }),
  () => new Proxy({}, { get: () => new Proxy(() => {}, {}) }),
  () => {
    throw new Error('thrown');
  },
  () => {
    throw null;
  },
  () => {
    throw {
      get message() {
        throw new Error('in the message');
      },
    };
  },
  (report) => {
    // Takes the engine's memory away.
    structuredClone(report.tokens, { transfer: [report.tokens.buffer as ArrayBuffer] });
    return 5;
  },
  (report) => {
    for (const array of [report.probabilities, report.margins, report.entropies])
      structuredClone(array, { transfer: [array.buffer as ArrayBuffer] });
    return 5;
  },
  (report) => {
    report.tokens.fill(-1);
    report.probabilities.fill(Number.NaN);
    return 6;
  },
  (report) => Object.freeze(report) && 4,
  (report) => {
    for (const key of Object.keys(report))
      Object.defineProperty(report, key, {
        get: () => {
          throw new Error(key);
        },
      });
    return 3;
  },
  () => {
    void engine.generate({ prompt: 'x', maxTokens: 1 }).catch(() => {});
    return 4;
  },
  () => {
    engine.tokenize('some text');
    return 4;
  },
  (_report, next) => {
    const until = performance.now() + 25 * next();
    while (performance.now() < until);
    return 4;
  },
];

describe('a hostile controller', () => {
  it('never changes the text: 500 of them, each with misdeeds of its own', async () => {
    for (let seed = 0; seed < 500; seed++) {
      const next = random(seed + 1);
      // One misdeed alone at first, then mixtures.
      const nextPlan = (report: StepReport) =>
        MISDEEDS[seed < MISDEEDS.length ? seed : Math.floor(next() * MISDEEDS.length)]!(report, next) as Plan;
      const deeds = seed % 3;
      const controller =
        deeds === 0
          ? nextPlan
          : {
              name: 'hostile',
              nextPlan,
              begin: () => MISDEEDS[seed % MISDEEDS.length]!(fakeReport(), next),
              explain: () => MISDEEDS[(seed * 7) % MISDEEDS.length]!(fakeReport(), next),
            };
      const result = await run(controller);
      expect(result.tokens, `controller ${seed}`).toEqual(plain);
      expect(result.finishReason).toBe('length');
    }
  }, 300_000);

  it('that aborts its own generation ends it', async () => {
    const controller = new AbortController();
    const generation = engine.generate({
      ...request,
      maxTokens: 400,
      signal: controller.signal,
      controller: () => {
        controller.abort(new Error('from inside'));
        return 4;
      },
    });
    await expect(generation).rejects.toThrow('from inside');
  });

  it('that closes its engine ends its generation and no more', async () => {
    const other = await tinyEngine('target', 'draft');
    const generation = other.generate({
      ...request,
      maxTokens: 400,
      controller: () => {
        void other.close();
        return 4;
      },
    });
    await expect(generation).rejects.toMatchObject({ code: 'DISPOSED' });
    await other.close();
    expect((await run(() => 4)).tokens).toEqual(plain);
  });

  it('is told of once, and counted', async () => {
    const warnings: string[] = [];
    const result = await engine.generate({
      ...request,
      controller: (() => 'eight') as unknown as Controller,
      onWarning: ({ message }) => warnings.push(message),
    });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/the string "eight"/);
    expect(result.stats.controller.errors).toBe(result.stats.controller.calls);
  });

  it('is told of plan by plan to who listens', async () => {
    const plans: MadePlan[] = [];
    const off = engine.on('plan', (plan) => plans.push(plan));
    let asked = 0;
    const controller: DepthController = {
      name: 'odd',
      nextPlan: () => (asked++ % 2 === 0 ? 2 : Number.NaN),
    };
    const { stats } = await engine.generate({ ...request, controller, onWarning: () => {} });
    off();
    expect(plans).toHaveLength(stats.controller.calls);
    expect(plans.map(({ errors }) => errors)).toEqual(plans.map((_, i) => i % 2));
    expect(plans.every(({ controller, depth }) => controller === 'odd' && depth === 2)).toBe(true);
    const milliseconds = plans.reduce((sum, plan) => sum + plan.milliseconds, 0);
    expect(milliseconds * 1000).toBeCloseTo(stats.controller.calls * stats.controller.meanMicroseconds, 3);
  });

  it('that blocks the event loop costs late plans, and the text comes on', async () => {
    const quick = await tinyEngine('target', 'draft', { planDeadlineMs: 2 });
    let calls = 0;
    const result = await quick.generate({
      ...request,
      maxTokens: 200,
      controller: () => {
        if (++calls === 3) {
          const until = performance.now() + 150;
          while (performance.now() < until);
        }
        return 3;
      },
    });
    expect(result.tokens.slice(0, 40)).toEqual(plain);
    expect(result.stats.controller.latePlans).toBeGreaterThan(0);
    // While it was blocked steps went on with the last plan. On a busy machine every plan may be late.
    expect(result.stats.steps).toBeGreaterThanOrEqual(result.stats.controller.latePlans);
    expect(result.tokens).toHaveLength(200);
    await quick.close();
  });
});

describe('a controller', () => {
  it('is begun once, then asked before every step, and never after the last', async () => {
    const begun: RequestInfo[] = [];
    const reports: { step: number; position: number; drafted: number; tokens: number; text: string }[] = [];
    const result = await run({
      name: 'listening',
      begin: (info: RequestInfo) => begun.push(info),
      nextPlan: ({ step, position, drafted, tokens, text }: StepReport) => {
        reports.push({ step, position, drafted, tokens: tokens.length, text });
        return 4;
      },
    });
    expect(begun).toEqual([
      {
        promptTokens: engine.tokenize(prompt).length,
        promptText: prompt,
        maxTokens: 40,
        maxDepth: 32,
        drafters: engine.info.drafters,
        temperature: 0,
      },
    ]);
    expect(reports[0]).toEqual({ step: 0, position: 0, drafted: 0, tokens: 0, text: '' });
    expect(reports).toHaveLength(result.stats.steps);
    expect(reports.map(({ step }) => step)).toEqual(reports.map((_, i) => i));
    let position = 0;
    for (const report of reports) {
      position += report.tokens;
      expect(report.position).toBe(position);
    }
  });

  it('hears what the drafter thought of each token', async () => {
    let seen = 0;
    const { stats } = await run((report: StepReport) => {
      const { drafted, accepted, probabilities, margins, entropies, tokens, rows } = report;
      expect(probabilities.length).toBe(drafted);
      expect(margins.length).toBe(drafted);
      expect(entropies.length).toBe(drafted);
      expect(report.text.length).toBeGreaterThanOrEqual(0);
      for (let i = 0; i < drafted; i++) {
        expect(probabilities[i]).toBeGreaterThan(0);
        expect(probabilities[i]).toBeLessThanOrEqual(1);
        expect(margins[i]).toBeGreaterThanOrEqual(0);
        expect(margins[i]!).toBeLessThanOrEqual(probabilities[i]!);
        expect(entropies[i]).toBeGreaterThanOrEqual(0);
        seen++;
      }
      if (report.step > 0) {
        expect(tokens.length).toBe(accepted + 1);
        expect(rows).toBe(drafted + 1);
        expect(report.drafter).toBe(drafted > 0 ? 'model' : '');
        expect(report.verifyMs).toBeGreaterThan(0);
      }
      return report.step % 9;
    });
    expect(seen).toBeGreaterThan(20);
    expect(stats.controller.errors).toBe(0); // nor did any of the checks above throw
  });

  it('stops drafts early by the threshold of its plan', async () => {
    const low: number[] = [];
    const result = await run((report: StepReport) => {
      low.push(...report.probabilities);
      return { depth: 16, stop: { minProbability: 0.5 } };
    });
    expect(Math.min(...low)).toBeGreaterThanOrEqual(0.5);
    expect(result.stats.draftTokens).toBeLessThan(result.stats.steps * 16);
  });

  it.each(['model', 'ngram', 'hybrid'])(
    'gets the drafts that stop rules in TypeScript give, verified as far as those say: %s',
    async (drafter) => {
      await using patient = await tinyEngine('target', 'draft', { planDeadlineMs: 10_000 });
      const maxTokens = 120;
      // What the controller throws would otherwise be no more than a fault of its own.
      const warnings: string[] = [];
      const next = random(11);
      const seenOrigins = new Set<number>();
      const seenMatches = { agreeing: 0, differing: 0 };
      let kept = 0;
      let plan: DetailedPlan = { depth: 0 };
      let rows = 0;
      let ended = 0;
      let trimmed = 0;
      let before = 0;
      const check = (report: StepReport) => {
        const { drafted, verified, probabilities, margins, entropies, matches, origins } = report;
        const room = maxTokens - before - 1;
        const depth = Math.min(plan.depth, room);
        const stop = plan.stop!;
        const outcome = draftedBy(stop, report, depth);
        expect(outcome.drafted).toBe(drafted);
        // Whether a model was asked for each token, is what its origin says.
        const fromNgrams = origins.filter((origin) => origin === ORIGIN.ngram).length;
        expect(outcome.computed).toBe(drafted - fromNgrams);
        for (const [j, origin] of origins.entries()) {
          seenOrigins.add(origin);
          if (origin !== ORIGIN.model) expect(matches[j]).toBe(probabilities[j]);
          else if (matches[j]! > 0) seenMatches.agreeing++;
          else if (matches[j]! < 0) seenMatches.differing++;
        }
        const last = { probability: probabilities[drafted - 1]!, entropy: entropies[drafted - 1]! };
        if (stop.keep && drafted > 0 && drafted < depth && !outcome.wantsMore) {
          kept++;
          const refused = last.probability < stop.minProbability! || last.entropy > stop.maxEntropy!;
          expect(refused).toBe(true);
        }
        if (drafted < depth && stop.value && drafter === 'model') {
          // It ended by value: not even a sure token would have been drafted.
          expect(outcome.wantsMore).toBe(false);
          const longer = {
            probabilities: [...probabilities, 1],
            margins: [...margins, 1],
            entropies: [...entropies, 0],
          };
          expect(draftedBy(stop, longer, depth).drafted).toBe(drafted);
          ended++;
        }
        expect(verified).toBe(plan.trim ? trimmedTo(stop, report, drafted, rows) : drafted);
        if (verified < drafted) trimmed++;
      };
      for (let round = 0; round < 10; round++) {
        rows = before = 0;
        await patient.generate({
          prompt: BEGINNINGS[round % BEGINNINGS.length]!,
          maxTokens,
          drafter,
          onWarning: ({ message }) => warnings.push(message),
          controller: (report: StepReport) => {
            if (report.step > 0) check(report);
            rows = report.rows;
            before = report.position;
            const value = {
              tokensPerMs: 0.05 + next(),
              draftMs: 0.3 * next(),
              verifyMs: [2, 2.2, 2.4 + next(), 3.5, 3.6, 3.7 + next(), 5],
              startMs: 0.3 * next(),
              rebuildMs: 0.4 * next(),
              ahead: next(),
            };
            const acceptance = {
              ...{
                bias: next(),
                logit: next(),
                margin: next(),
                entropy: -next(),
                place: -next(),
                match: next(),
              },
              ...{ ngramBias: next(), ngramLogit: next() },
            };
            plan = { depth: 12, stop: { acceptance, value }, trim: next() < 0.7 };
            if (next() < 0.2) plan = { depth: 12, stop: { minSurvival: 0.4, maxEntropy: 4 * next() } };
            if (next() < 0.3)
              plan = {
                depth: 12,
                stop: { minProbability: 0.6 * next(), maxEntropy: 4 * next(), keep: true },
              };
            return plan;
          },
        });
      }
      expect(warnings).toEqual([]);
      if (drafter === 'model') expect(ended).toBeGreaterThan(50);
      expect(trimmed).toBeGreaterThan(10);
      expect(kept).toBeGreaterThan(10);
      expect([...seenOrigins].sort()).toEqual({ model: [0], ngram: [1], hybrid: [0, 1, 2] }[drafter]);
      expect(seenMatches.agreeing > 0).toBe(drafter === 'hybrid');
      expect(seenMatches.differing > 0).toBe(drafter === 'hybrid');
    },
  );

  it('whose plan holds for several steps is not asked meanwhile, but told of every step', async () => {
    const asked: number[] = [];
    const observed: number[] = [];
    const result = await run({
      name: 'patient',
      nextPlan: ({ step }: StepReport) => {
        asked.push(step);
        return { depth: 2, steps: 5 };
      },
      observe: ({ step }: StepReport) => observed.push(step) && undefined,
    });
    expect(result.tokens).toEqual(plain);
    // While the last plan holds for one step more, so that nothing waits for the next.
    expect(asked.length).toBeGreaterThan(3);
    expect(asked).toEqual(asked.map((_, i) => Math.max(0, 5 * i - 1)));
    expect(result.stats.controller.calls).toBe(asked.length);
    expect([...asked, ...observed].sort((a, b) => a - b)).toEqual(
      Array.from({ length: result.stats.steps }, (_, step) => step),
    );
  });

  it('can look at drafts that are not verified', async () => {
    const drafts: number[][] = [];
    const result = await run({
      name: 'looking',
      nextPlan: () => ({ depth: 6, verify: 0, steps: 256 }),
      observe: ({ drafted, verified, draftTokens }: StepReport) => {
        expect(verified).toBe(0);
        expect(draftTokens).toHaveLength(drafted);
        drafts.push([...draftTokens]);
      },
    });
    expect(result.tokens).toEqual(plain);
    expect(result.stats.steps).toBe(40);
    expect(result.stats.verifiedTokens).toBe(0);
    expect(result.stats.controller.errors).toBe(0);
    expect(drafts.filter((draft) => draft.length === 6).length).toBeGreaterThan(30);
  });

  it('hears of the lag of a drafter that it left idle, and of the catching up', async () => {
    const lags: number[] = [];
    let catchUp = 0;
    await run((report: StepReport) => {
      if (report.step > 0) lags.push(report.drafterLag);
      if (report.catchUpMs > 0) catchUp++;
      return report.step === 10 ? 4 : 0;
    });
    expect(lags[8]).toBeGreaterThan(lags[0]!);
    expect(catchUp).toBeGreaterThan(0);
  });

  it('has its changes of K in the audit log', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-audit-'));
    const path = join(folder, 'audit.jsonl');
    const audited = await tinyEngine('target', 'draft', { audit: { path } });
    await audited.generate({ ...request, controller: (report) => (report.step < 5 ? 4 : 9) });
    await audited.close();
    const { entries, torn } = readAuditLog(path);
    expect(torn).toBe(0);
    expect(entries.map(({ msg }) => msg)).toEqual(['K: 4 -> 9']);
    rmSync(folder, { recursive: true });
  });

  it('ends its generation, and only that, where the audit log must not lose a line and does', async () => {
    const audited = await tinyEngine('target', 'draft', { audit: { path: '/dev/full', onError: 'fail' } });
    const changing = audited.generate({ ...request, controller: (report) => 1 + (report.step % 2) });
    await expect(changing).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    expect((await audited.generate({ ...request, depth: 2 })).tokens).toEqual(plain);
    await audited.close();
  });

  it('loses audit lines and no text on a full disk, by default', async () => {
    const warnings: string[] = [];
    const audited = await tinyEngine('target', 'draft', { audit: { path: '/dev/full' }, warnings });
    const result = await audited.generate({ ...request, controller: (report) => 1 + (report.step % 2) });
    expect(result.tokens).toEqual(plain);
    expect(result.stats.auditLinesDropped).toBeGreaterThan(1);
    expect(warnings.filter((text) => /dropped/.test(text))).toHaveLength(1);
    await audited.close();
  });
});

function fakeReport(): StepReport {
  return {
    tokens: new Int32Array(2),
    probabilities: new Float32Array(2),
    margins: new Float32Array(2),
    entropies: new Float32Array(2),
  } as unknown as StepReport;
}
