// On the default pair, a recording by the hybrid drafter is replayed in the very steps that the engine takes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { choosePrompts, defaultPrompts } from '../../lib/bench/prompts.js';
import { resolveController } from '../../lib/control/controllers.js';
import { CostModel } from '../../lib/control/costs.js';
import { type Controller, createEngine, type Engine, fixedDepth, type StepReport } from '../../lib/index.js';
import { RECORDED_DEPTH, recordExhaustively } from '../../lib/observe/exhaustive-recording.js';
import { type ReplayGeneration, replayGeneration } from '../../lib/replay/generation.js';
import { replay } from '../../lib/replay/replay.js';
import { outline } from '../native/policies.js';
import { staircase } from '../unit/synthetic-trace.js';

const TOKENS = 48;
const drafter = 'hybrid';
const prompts = choosePrompts(defaultPrompts(), { perKind: 1 });
const policies: [name: string, make: () => Controller][] = [
  ...[0, 3, 8].map((depth): [string, () => Controller] => [`K = ${depth}`, () => fixedDepth(depth)]),
  ['specdec++', () => resolveController('specdec++')],
];
let engine: Engine;

beforeAll(async () => {
  engine = await createEngine({ maxDepth: RECORDED_DEPTH, planDeadlineMs: 60_000, calibrate: 'off' });
});
afterAll(() => engine.close());

async function live({ promptText }: ReplayGeneration, controller: Controller) {
  const reports: StepReport[] = [];
  const ignore = engine.on('step', (report) => {
    if (report.step > 0) reports.push(report);
  });
  const { tokens } = await engine.generate({ prompt: promptText, controller, drafter, maxTokens: TOKENS });
  ignore();
  return { steps: reports.map(outline), tokens };
}

function replayed(generation: ReplayGeneration, controller: Controller) {
  const steps: ReturnType<typeof outline>[] = [];
  replay(generation, controller, new CostModel(staircase), { onStep: (step) => steps.push(outline(step)) });
  return steps;
}

describe.each(prompts.map((prompt) => [prompt.id, prompt] as const))('%s', (_, prompt) => {
  let generation: ReplayGeneration;
  beforeAll(async () => {
    const options = { prompt, maxTokens: TOKENS, drafter, depth: RECORDED_DEPTH };
    const recording = await recordExhaustively(engine, options);
    expect(recording.end).toBeDefined();
    generation = replayGeneration(
      recording.generation.generation,
      recording.positions,
      RECORDED_DEPTH,
      drafter,
    );
  });

  it.each(policies)('is replayed in the steps of the engine: %s', async (_name, make) => {
    const { steps, tokens } = await live(generation, make());
    expect(tokens).toEqual([...generation.tokens]);
    expect(replayed(generation, make())).toEqual(steps);
  });
});
