// A benchmark from its first run to its result: every arm on every prompt, in one process with models loaded once.

import { armFigures } from './arm-figures.js';
import type { Arm } from './arms.js';
import type { BenchFindings, BenchResult, BenchRun, PartFindings, RunFigures } from './bench-result.js';
import { compareArms, regretOf } from './comparisons.js';
import { compareTokens } from './equality.js';
import { judgeFitness, LoadWatch, plainSpread } from './noise.js';
import type { Part } from './prompt-sums.js';
import type { BenchPrompt } from './prompts.js';
import { randomFrom } from './random.js';
import { type BenchEngine, type MeasuredRun, measureRun } from './run.js';
import { blockSeeds, type ScheduledGroup, schedule } from './schedule.js';
import { costsOfSteps } from './step-costs.js';
import { timelinesOf } from './timelines.js';
import { verdicts } from './verdict.js';

/** Tokens of a run of the warm-up. */
const WARM_UP_TOKENS = 32;

export interface BenchPlan {
  profile: BenchResult['profile'];
  /** The command that makes this benchmark again. */
  command: string;
  /** Plain decoding must be one of them. */
  arms: readonly Arm[];
  prompts: readonly BenchPrompt[];
  /** Where the prompts come from. */
  promptsFrom: string;
  maxTokens: number;
  blocks: number;
  temperatures: readonly number[];
  seed: number;
  /** Nothing is begun that would likely end later, by `performance.now()`; the first group always is. */
  deadline: number;
  /** When the command began, by `performance.now()`. */
  startedAt: number;
}

export interface BenchProgress {
  /** Runs, those of the warm-up included. */
  done: number;
  total: number;
  /** Milliseconds that the rest will take, as far as the runs so far tell; undefined before the first. */
  msLeft: number | undefined;
  /** What has just run. */
  arm: string;
  promptId: string;
}

export interface BenchHooks {
  signal: AbortSignal;
  onProgress?: (progress: BenchProgress) => void;
  /** Told of the first run of each arm and prompt whose tokens are not plain decoding's, as soon as it is known. */
  onDifference?: (difference: BenchResult['equality']['differing'][number]) => void;
}

/** Runs the benchmark. Where the signal ends it early, the result holds what was measured and says so. */
export async function runBench(
  engine: BenchEngine,
  plan: BenchPlan,
  environment: Record<string, unknown>,
  hooks: BenchHooks,
): Promise<BenchResult> {
  const arms = new Map(plan.arms.map((arm) => [arm.name, arm]));
  const names = [...arms.keys()];
  const groups = schedule({ ...plan, arms: names });
  const load = new LoadWatch();
  const warmUp = await warmUpArms(engine, plan, hooks);
  const { measured, groupsMeasured, reason } = await runGroups(engine, groups, arms, plan, hooks, warmUp);
  const fitness = judgeFitness(load.cores, plainSpread(measured.map(({ run }) => run)));

  const equality = compareTokens(measured);
  const [first, ...further] = plan.temperatures.map((temperature, i) => ({
    temperature,
    ...findings(
      measured.filter(({ run }) => run.temperature === temperature),
      { fitness, equality },
      randomFrom(plan.seed + 2 + i),
    ),
  }));
  const { temperature: verdictsTemperature, ...found } = first!;
  const costs = costsOfSteps(measured, {
    temperature: verdictsTemperature,
    draftThreads: engine.info.draftThreads,
    depthOf: (arm) => arms.get(arm)?.depth,
  });
  return {
    format: 'adaptive-spec-bench',
    version: 1,
    profile: plan.profile,
    command: plan.command,
    createdAt: new Date().toISOString(),
    seconds: (performance.now() - plan.startedAt) / 1000,
    ...(reason ? { partial: { reason, groupsMeasured, groupsPlanned: groups.length } } : {}),
    environment,
    settings: {
      arms: names,
      prompts: plan.promptsFrom,
      promptCount: plan.prompts.length,
      maxTokens: plan.maxTokens,
      blocks: plan.blocks,
      warmUp,
      temperatures: [...plan.temperatures],
      seed: plan.seed,
      seeds: blockSeeds(plan.seed, plan.blocks),
    },
    ...(costs ? { costs } : {}),
    fitness,
    equality,
    ...found,
    ...(further.length > 0 ? { further } : {}),
    timelines: timelinesOf(measured.filter(({ run }) => run.temperature === plan.temperatures[0])),
    runs: measured.map(({ run }) => roundedRun(run)),
  };
}

/** Each arm once, so that pages, caches and code that is compiled late cost no measured run. Answers the number. */
async function warmUpArms(engine: BenchEngine, plan: BenchPlan, { signal }: BenchHooks): Promise<number> {
  let runs = 0;
  for (const arm of plan.arms) {
    if (signal.aborted) break;
    const maxTokens = Math.min(plan.maxTokens, WARM_UP_TOKENS);
    const prompt = plan.prompts[0]!;
    const fixed = { controller: arm.make(), temperature: 0, seed: plan.seed, block: -1 };
    await measureRun(engine, arm, { prompt, maxTokens, ...fixed, signal });
    runs++;
  }
  return runs;
}

/**
 * Runs all groups. What a controller has learnt on one text it has for the next, as where an engine keeps it; but it goes
 * through the prompts once only, since what it learnt on a text would flatter it there: each block and temperature has new
 * ones, one for the first run of a group and another for the second.
 */
async function runGroups(
  engine: BenchEngine,
  groups: readonly ScheduledGroup[],
  arms: ReadonlyMap<string, Arm>,
  plan: BenchPlan,
  { signal, onProgress, onDifference }: BenchHooks,
  warmUp: number,
): Promise<{
  measured: MeasuredRun[];
  groupsMeasured: number;
  reason?: NonNullable<BenchResult['partial']>['reason'];
}> {
  const measured: MeasuredRun[] = [];
  const total = warmUp + groups.length * 2 * arms.size;
  const startedAt = performance.now();
  const newControllers = () => new Map([...arms].map(([name, arm]) => [name, arm.make()]));
  let controllers = [newControllers(), newControllers()];
  for (const [i, group] of groups.entries()) {
    const perGroup = i > 0 ? (performance.now() - startedAt) / i : 0;
    if (i > 0 && performance.now() + perGroup > plan.deadline)
      return { measured, groupsMeasured: i, reason: 'time limit' };
    const { block, temperature, seed, prompt, order } = group;
    const before = groups[i - 1] ?? group;
    if (before.block !== block || before.temperature !== temperature)
      controllers = [newControllers(), newControllers()];
    const ofGroup: MeasuredRun[] = [];
    for (const [place, name] of order.entries()) {
      const controller = controllers[place < arms.size ? 0 : 1]!.get(name)!;
      const options = { controller, prompt, maxTokens: plan.maxTokens, temperature, seed, block, signal };
      const one = signal.aborted ? undefined : await measureRun(engine, arms.get(name)!, options);
      if (!one) return { measured, groupsMeasured: i, reason: 'interrupted' };
      // The steps of one run of each arm and prompt are enough for costs and timelines; all would be a lot of memory.
      const kept = block === 0 && place < arms.size ? one : { ...one, steps: [] };
      ofGroup.push(kept);
      measured.push(kept);
      const done = measured.length + warmUp;
      const perRun = (performance.now() - startedAt) / measured.length;
      onProgress?.({ done, total, msLeft: perRun * (total - done), arm: name, promptId: prompt.id });
    }
    const told = new Set<string>();
    for (const difference of compareTokens(ofGroup).differing) {
      if (!told.has(difference.arm)) onDifference?.(difference);
      told.add(difference.arm);
    }
  }
  return { measured, groupsMeasured: groups.length };
}

function findings(
  measured: readonly MeasuredRun[],
  { fitness, equality }: Pick<BenchResult, 'fitness' | 'equality'>,
  random: () => number,
): BenchFindings {
  const runs = measured.map(({ run }) => run);
  const found = findingsOf(measured, 'beforeLoop', random);
  const { comparisons } = found;
  return {
    ...found,
    verdict: verdicts({ runs, comparisons, fitness, equality, random }),
    all: findingsOf(measured, 'all', random),
  };
}

function findingsOf(measured: readonly MeasuredRun[], part: Part, random: () => number): PartFindings {
  const runs = measured.map(({ run }) => run);
  const comparisons = compareArms(runs, part, random);
  return { figures: armFigures(measured, part, random), comparisons, regret: regretOf(runs, part) };
}

/** Tenths of a microsecond are enough, and keep a report of thousands of runs short. */
function roundedRun(run: BenchRun): BenchRun {
  const { all, beforeLoop, timeToFirstTokenMs } = run;
  return {
    ...run,
    all: roundedFigures(all),
    beforeLoop: roundedFigures(beforeLoop),
    timeToFirstTokenMs: rounded(timeToFirstTokenMs),
  };
}

function roundedFigures(figures: RunFigures): RunFigures {
  const entries = Object.entries(figures).map(([name, value]) => [name, rounded(value)]);
  return Object.fromEntries(entries) as unknown as RunFigures;
}

function rounded(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
