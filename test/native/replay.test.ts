// Replay against the engine: on a trace recorded position by position, every policy gives the steps that it gives live.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { controllerNames, resolveController } from '../../lib/control/controllers.js';
import { CostModel } from '../../lib/control/costs.js';
import { type Controller, type Engine, fixedDepth, type StepReport } from '../../lib/index.js';
import type { TracePosition } from '../../lib/observe/trace-format.js';
import { type ReplayGeneration, replayGeneration } from '../../lib/replay/generation.js';
import { replay } from '../../lib/replay/replay.js';
import { staircase } from '../unit/synthetic-trace.js';
import { moody, outline, PLAN_BY_TIME } from './policies.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

const TOKENS = 48;
const WIDTH = 12;
let engine: Engine;
let recorded: { prompt: Int32Array; generation: ReplayGeneration }[];

beforeAll(async () => {
  engine = await tinyEngine('target', 'draft', { maxDepth: WIDTH, planDeadlineMs: 10_000 });
  recorded = [];
  for (const text of BEGINNINGS.slice(0, 3)) recorded.push(await record(text));
});
afterAll(() => engine.close());

/** Reports of a run but the prompt's; copies. */
async function live(prompt: Int32Array, controller: Controller, maxTokens = TOKENS): Promise<StepReport[]> {
  const reports: StepReport[] = [];
  const ignore = engine.on('step', (report) => {
    if (report.step > 0) reports.push(report);
  });
  const { stats } = await engine.generate({ prompt, controller, maxTokens, onWarning: () => {} });
  ignore();
  expect(stats.steps).toBe(reports.length);
  return reports;
}

/** An exhaustive trace the slow way: the output so far is the prompt, and the first step's draft is what counts. */
async function record(text: string): Promise<{ prompt: Int32Array; generation: ReplayGeneration }> {
  const prompt = Int32Array.from(engine.tokenize(text));
  const plain = await live(prompt, fixedDepth(0));
  const tokens = plain.map((report) => report.tokens[0]!);
  const positions: TracePosition[] = [];
  for (const [i, token] of tokens.entries()) {
    const from = Int32Array.of(...prompt, ...tokens.slice(0, i));
    const [first] = await live(from, fixedDepth(WIDTH), Math.min(TOKENS - i, WIDTH + 1));
    const draft = [...first!.draftTokens];
    const wrong = draft.findIndex((id, j) => id !== tokens[i + j]);
    positions.push({
      ...{ i, token, text: plain[i]!.text, draft, right: wrong < 0 ? draft.length : wrong, draftMs: 1 },
      p: [...first!.probabilities],
      m: [...first!.margins],
      h: [...first!.entropies],
      contextLength: plain[i]!.contextLength,
    });
  }
  const info = {
    ...{ id: text, kind: '', promptTokens: prompt.length, promptText: text, maxTokens: TOKENS },
    ...{ temperature: 0, seed: 0 },
  };
  return { prompt, generation: replayGeneration(info, positions, WIDTH) };
}

function replayed(generation: ReplayGeneration, controller: Controller) {
  const steps: ReturnType<typeof outline>[] = [];
  replay(generation, controller, new CostModel(staircase), { onStep: (step) => steps.push(outline(step)) });
  return steps;
}

describe('replay', () => {
  it('has drafts that are right and drafts that are wrong to go by', () => {
    const right = recorded.flatMap(({ generation }) => [...generation.right]);
    expect(right.filter((r) => r === 0).length).toBeGreaterThan(5);
    expect(right.filter((r) => r >= 3).length).toBeGreaterThan(5);
  });

  it.each([0, 1, 3, 8, WIDTH])('takes the steps of a fixed depth of %i', async (depth) => {
    for (const { prompt, generation } of recorded) {
      const steps = (await live(prompt, fixedDepth(depth))).map(outline);
      expect(replayed(generation, fixedDepth(depth))).toEqual(steps);
    }
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'takes the steps of plans of every form (%i), and tells the controller the same',
    async (seed) => {
      for (const { prompt, generation } of recorded) {
        const [there, here] = [moody(seed, WIDTH), moody(seed, WIDTH)];
        const steps = (await live(prompt, there.controller)).map(outline);
        expect(replayed(generation, here.controller)).toEqual(steps);
        expect(here.heard).toEqual(there.heard);
      }
    },
  );

  it.each(controllerNames.filter((name) => !PLAN_BY_TIME.has(name) && name !== 'fixed'))(
    'takes the steps of %s',
    async (name) => {
      for (const { prompt, generation } of recorded) {
        const steps = (await live(prompt, resolveController(name))).map(outline);
        expect(replayed(generation, resolveController(name))).toEqual(steps);
      }
    },
  );
});
