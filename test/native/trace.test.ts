// Recording: what an engine did is what its traces say, and any policy runs over them as it does live.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Controller, DepthController, StepReport } from '../../lib/control/controller.js';
import { controllerNames, resolveController } from '../../lib/control/controllers.js';
import { CostModel } from '../../lib/control/costs.js';
import { ControllerDriver } from '../../lib/control/driver.js';
import { type NativePlan, nativePlan } from '../../lib/control/native-plan.js';
import { draftedBy, trimmedTo } from '../../lib/control/stop-rule.js';
import {
  type Engine,
  fixedDepth,
  type RecordedGeneration,
  type RequestOptions,
  readTrace,
  recordedReport,
  recordedRequest,
  type TraceHeader,
} from '../../lib/index.js';
import { RECORDED_DEPTH, recordExhaustively } from '../../lib/observe/exhaustive-recording.js';
import { traceHeader } from '../../lib/observe/trace-header.js';
import { TraceWriter } from '../../lib/observe/trace-writer.js';
import type { ReplayGeneration } from '../../lib/replay/generation.js';
import { loadTraces } from '../../lib/replay/load-trace.js';
import { replay } from '../../lib/replay/replay.js';
import { staircase } from '../unit/synthetic-trace.js';
import { moody, outline, PLAN_BY_TIME, timed } from './policies.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

const TOKENS = 64;
let folder: string;
let engine: Engine;
const warnings: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-trace-'));
  engine = await tinyEngine('targetWithEog', 'draftWithEog', {
    maxDepth: RECORDED_DEPTH,
    planDeadlineMs: 60_000,
    warnings,
  });
});
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true });
});

/** A stop rule by value, whose plans hold for several steps and are trimmed. */
function trimming(): Controller {
  const value = {
    tokensPerMs: 0.7,
    draftMs: 0.1,
    startMs: 0.1,
    verifyMs: [1, 1.2, 1.4, 1.6, 3],
    rebuildMs: 0.1,
    ahead: 0.8,
  };
  return {
    name: 'trimming',
    nextPlan: ({ step, accepted }) => ({
      depth: 4 + accepted,
      stop: { minProbability: 0.1, value },
      trim: true,
      steps: 1 + (step % 3),
    }),
  };
}

/** Feeds what was recorded to a new controller; every plan must be the one that was followed. Answers how many. */
function expectSamePlans(header: TraceHeader, { info, steps }: RecordedGeneration, controller: Controller) {
  const request = recordedRequest(header, info);
  const driver = new ControllerDriver(controller, {
    ...{ maxDepth: request.maxDepth, drafters: request.drafters },
    ...{ firstPlan: nativePlan(0), onWarning: () => {} },
  });
  driver.begin(request);
  let plans = 0;
  let plan: Readonly<NativePlan> | undefined;
  /** Asked for while `plan` holds for a step more. */
  let early: Readonly<NativePlan> | undefined;
  let held = 0;
  for (const [i, step] of steps.entries()) {
    const next = steps[i + 1];
    if (next === undefined) break;
    expect(step.asked).toBe(held <= 1 && early === undefined);
    if (step.asked) {
      early = { ...driver.answer(recordedReport(step)) };
      plans++;
    } else driver.observe(recordedReport(step));
    if (held === 0) {
      plan = early!;
      early = undefined;
      held = plan.steps;
    }
    held--;
    expect(next.late).toBe(false);
    if (plan === undefined) throw new Error('the first report asks');
    expect({ step: next.step, depth: next.depth }).toEqual({ step: step.step + 1, depth: plan.depth });
    const signals = { probabilities: next.p, margins: next.m, entropies: next.h };
    const both = {
      ...signals,
      matches: next.x ?? next.p.map(() => 0),
      origins: next.o ?? next.p.map(() => 0),
    };
    expect(draftedBy(plan, both, next.drafted).drafted).toBe(next.drafted);
    const most = Math.min(next.drafted, plan.verify);
    expect(next.verified).toBe(plan.trim ? trimmedTo(plan, both, most, step.rows) : most);
  }
  return plans;
}

describe('a trace of steps', () => {
  const policies: [name: string, make: () => Controller][] = [
    ...controllerNames
      .filter((name) => name !== 'fixed' && name !== 'off')
      .map((name): [string, () => Controller] => [name, () => resolveController(name)]),
    ['trimming', trimming],
    ['moody', () => moody(7, RECORDED_DEPTH).controller],
  ];

  it.each(policies)('makes %s give the plans that it gave live', async (name, make) => {
    const trace = join(folder, 'plans', `${name}.jsonl.gz`);
    const depths: number[][] = [];
    for (const prompt of [BEGINNINGS[2]!, BEGINNINGS[4]!, 'g']) {
      const result = await engine.generate({
        ...{ prompt, controller: make(), maxTokens: TOKENS, steps: true, trace },
        onWarning: () => {},
      });
      depths.push(result.steps!.map(({ depth }) => depth));
    }
    const { header, generations, torn } = await readTrace(trace);
    expect(torn).toBe(false);
    expect(generations.map(({ steps }) => steps.slice(1).map(({ depth }) => depth))).toEqual(depths);
    for (const generation of generations) {
      expect(generation.end?.tokens).toBe(generation.steps.at(-1)!.position);
      expect(expectSamePlans(header, generation, make())).toBeGreaterThan(3);
    }
  });

  it('gives an adaptive policy something to adapt to', async () => {
    const { generations } = await readTrace(join(folder, 'plans', 'adaptive.jsonl.gz'));
    const depths = generations.flatMap(({ steps }) => steps.map(({ depth }) => depth));
    expect(new Set(depths).size).toBeGreaterThan(2);
  });

  it('holds the costs that the controller was told', async () => {
    const measuring = await tinyEngine('target', 'draft', { calibrate: 'auto', planDeadlineMs: 60_000 });
    const trace = join(folder, 'costs.jsonl');
    try {
      await measuring.calibrate({ budgetMs: 200 });
      for (let i = 0; i < 2; i++)
        await measuring.generate({ prompt: BEGINNINGS[0]!, controller: 'vllm', maxTokens: TOKENS, trace });
      for (const name of PLAN_BY_TIME) {
        const request = { maxTokens: TOKENS, trace: join(folder, `costs-${name}.jsonl`) };
        for (const prompt of [BEGINNINGS[2]!, BEGINNINGS[4]!])
          await measuring.generate({ ...request, prompt, controller: resolveController(name) });
      }
    } finally {
      await measuring.close();
    }
    const { header, generations } = await readTrace(trace);
    expect(header.costs?.target.length).toBeGreaterThan(0);
    expect(generations[1]!.info.costs?.target.length).toBeGreaterThan(0);
    for (const generation of generations) expectSamePlans(header, generation, resolveController('vllm'));
    for (const name of PLAN_BY_TIME) {
      const told = await readTrace(join(folder, `costs-${name}.jsonl`));
      expect(told.generations).toHaveLength(2);
      for (const generation of told.generations) {
        expect(generation.info.costs?.target.length).toBeGreaterThan(0);
        expect(expectSamePlans(told.header, generation, resolveController(name)), name).toBeGreaterThan(0);
      }
    }
  });

  it('has those of a fixed depth, for which nobody is asked', async () => {
    const trace = join(folder, 'fixed.jsonl');
    const request = { prompt: engine.tokenize(BEGINNINGS[2]!), depth: 5, controller: 'fixed', maxTokens: 24 };
    const { tokens, text } = await engine.generate({ ...request, trace });
    const { generations } = await readTrace(trace);
    const [{ info, steps, end }] = generations as [RecordedGeneration];
    expect(info).toMatchObject({ controller: 'fixed', maxTokens: 24, promptText: BEGINNINGS[2] });
    expect(steps.flatMap((step) => step.tokens)).toEqual(tokens);
    expect(steps.map((step) => step.text).join('')).toBe(text);
    expect(steps.slice(1).every(({ depth, asked }) => depth === 5 && !asked)).toBe(true);
    expect(end).toEqual({ tokens: 24, finishReason: 'length' });
  });

  it('keeps generations that run side by side apart, and leaves one without its end that was cut short', async () => {
    const side = await tinyEngine('target', 'draft', { parallel: 3, planDeadlineMs: 60_000 });
    const trace = join(folder, 'side.jsonl.gz');
    const abort = new AbortController();
    const request = (prompt: string, more: RequestOptions = {}) =>
      side.generate({ prompt, controller: () => 3, maxTokens: 80, trace, ...more });
    try {
      const cut = request(BEGINNINGS[2]!, { signal: abort.signal, maxTokens: 400 });
      const [a, b] = await Promise.all([request(BEGINNINGS[0]!), request(BEGINNINGS[1]!)]);
      abort.abort();
      await expect(cut).rejects.toThrow('abort');
      const stopped = request(BEGINNINGS[3]!, { maxTokens: 400 });
      for await (const _ of stopped) break;
      await stopped;
      await side.close();
      const { generations, torn } = await readTrace(trace);
      expect(torn).toBe(false);
      const outputs = generations.map(({ steps }) => steps.flatMap(({ tokens }) => tokens));
      expect(outputs).toContainEqual(a.tokens);
      expect(outputs).toContainEqual(b.tokens);
      expect(generations.filter(({ end }) => end === undefined).map(({ info }) => info.promptText)).toEqual([
        BEGINNINGS[2],
      ]);
      expect(generations.filter(({ end }) => end?.finishReason === 'aborted')).toHaveLength(1);
    } finally {
      await side.close();
    }
  });

  it.each(['/dev/full', '/dev/null/no/trace.jsonl'])(
    'costs one warning, never the text, where %s takes nothing',
    async (trace) => {
      const heard: string[] = [];
      const other = await tinyEngine('target', 'draft', { warnings: heard });
      try {
        for (let i = 0; i < 2; i++) {
          const { tokens } = await other.generate({ prompt: BEGINNINGS[0]!, maxTokens: 16, trace });
          expect(tokens).toHaveLength(16);
        }
      } finally {
        await other.close();
      }
      expect(heard).toHaveLength(1);
      expect(heard[0]).toMatch(/trace file .*(ENOSPC|ENOTDIR).*what follows is not traced/);
    },
  );

  it.each([[7], [''], ['a\0b'], [{}]])('is refused where its path is %j', async (trace) => {
    const wrong = engine.generate({ prompt: 'a', trace: trace as string });
    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message: /^trace is / });
  });

  it('is refused while another engine writes it, and not made by a request that is wrong', async () => {
    const trace = join(folder, 'shared.jsonl');
    const wrong = engine.generate({ prompt: 'a', drafter: 'nobody', trace });
    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(existsSync(trace)).toBe(false);
    const other = await tinyEngine('target', 'draft');
    try {
      await other.generate({ prompt: 'a', maxTokens: 4, trace });
      await expect(engine.generate({ prompt: 'a', trace })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: /another engine/,
      });
    } finally {
      await other.close();
    }
    await engine.generate({ prompt: 'a', maxTokens: 4, trace });
    expect((await readTrace(trace)).generations).toHaveLength(1);
  });
});

describe.each(['model', 'ngram', 'hybrid'])('an exhaustive trace of the drafter %s', (drafter) => {
  let generations: ReplayGeneration[];
  const prompts = ['one two three. one two three. one two', 'g', 'zz', 'qq', 'if x'];

  beforeAll(async () => {
    const path = join(folder, `${drafter}.jsonl.gz`);
    const header = await traceHeader(engine.info, { mode: 'exhaustive', maxDepth: RECORDED_DEPTH, drafter });
    const writer = new TraceWriter(path, header);
    for (const prompt of prompts) {
      const recording = await recordExhaustively(engine, {
        prompt: { id: prompt, kind: 'code', prompt },
        ...{ maxTokens: TOKENS, drafter, depth: RECORDED_DEPTH },
      });
      writer.write(recording.generation);
      for (const position of recording.positions) writer.write(position);
      writer.write(recording.end!);
    }
    await writer.close();
    ({ generations } = await loadTraces([path]));
  });

  async function live(generation: ReplayGeneration, controller: Controller): Promise<StepReport[]> {
    const reports: StepReport[] = [];
    const ignore = engine.on('step', (report) => {
      if (report.step > 0) reports.push(report);
    });
    const { tokens } = await engine.generate({
      ...{ prompt: generation.promptText, controller, drafter, maxTokens: TOKENS, onWarning: () => {} },
    });
    ignore();
    expect(tokens).toEqual([...generation.tokens]);
    return reports;
  }

  function replayed(generation: ReplayGeneration, controller: Controller) {
    const steps: ReturnType<typeof outline>[] = [];
    replay(generation, controller, new CostModel(staircase), { onStep: (step) => steps.push(outline(step)) });
    return steps;
  }

  it('has right drafts, wrong ones, and a text with an end of its own', () => {
    const right = generations.flatMap((generation) => [...generation.right]);
    expect(generations.map(({ promptText }) => promptText)).toEqual(
      prompts.map((text) => expect.stringContaining(text)),
    );
    expect(right.filter((r) => r === 0).length).toBeGreaterThan(5);
    expect(right.filter((r) => r >= 2).length).toBeGreaterThan(5);
    expect(generations.some(({ length }) => length < TOKENS)).toBe(true);
  });

  it.each([0, 1, 3, 8, 31])(
    'is replayed in the steps of the engine at a fixed depth of %i',
    async (depth) => {
      for (const generation of generations) {
        const steps = (await live(generation, fixedDepth(depth))).map(outline);
        expect(replayed(generation, fixedDepth(depth))).toEqual(steps);
      }
    },
  );

  it('is replayed in the steps of a stop rule with trim', async () => {
    for (const generation of generations) {
      const steps = (await live(generation, trimming())).map(outline);
      expect(replayed(generation, trimming())).toEqual(steps);
    }
  });

  it.each([1, 2, 3, 4])('is replayed in the steps of plans of every form (%i)', async (seed) => {
    for (const generation of generations) {
      const [there, here] = [moody(seed, RECORDED_DEPTH), moody(seed, RECORDED_DEPTH)];
      const steps = (await live(generation, there.controller)).map(outline);
      expect(replayed(generation, here.controller)).toEqual(steps);
    }
  });

  it.each([...PLAN_BY_TIME])('is replayed in the steps of %s, told the same times', async (name) => {
    const make = () => timed(resolveController(name) as DepthController, staircase);
    for (const generation of generations) {
      const steps = (await live(generation, make())).map(outline);
      expect(replayed(generation, make())).toEqual(steps);
    }
  });

  it.each(controllerNames.filter((name) => !PLAN_BY_TIME.has(name) && name !== 'fixed'))(
    'is replayed in the steps of %s',
    async (name) => {
      for (const generation of generations) {
        const steps = (await live(generation, resolveController(name))).map(outline);
        expect(replayed(generation, resolveController(name))).toEqual(steps);
      }
    },
  );
});

describe('recording exhaustively', () => {
  it('fails with the position where a late plan leaves a gap', async () => {
    const hasty = await tinyEngine('target', 'draft', { planDeadlineMs: 1 });
    const ignore = hasty.on('step', ({ step }) => {
      const until = performance.now() + 50;
      while (step === 0 && performance.now() < until);
    });
    try {
      const recording = recordExhaustively(hasty, {
        prompt: { id: 'late', kind: 'code', prompt: BEGINNINGS[0]! },
        ...{ maxTokens: 32, drafter: 'model', depth: 8 },
      });
      await expect(recording).rejects.toMatchObject({
        code: 'TRACE_FAILED',
        message: /"late" has a gap at output position 0: its plan came too late/,
      });
    } finally {
      ignore();
      await hasty.close();
    }
  });

  it('keeps what it has where it is stopped', async () => {
    const endless = await tinyEngine('target', 'draft', { planDeadlineMs: 60_000 });
    const abort = new AbortController();
    const maxTokens = 400;
    try {
      const { positions, end } = await recordExhaustively(endless, {
        prompt: { id: 'stopped', kind: 'code', prompt: BEGINNINGS[0]! },
        ...{ maxTokens, drafter: 'model', depth: RECORDED_DEPTH, signal: abort.signal },
        onPosition: () => abort.abort(),
      });
      expect(end).toBeUndefined();
      expect(positions.length).toBeGreaterThan(0);
      expect(positions.length).toBeLessThan(maxTokens);
    } finally {
      await endless.close();
    }
  });
});
