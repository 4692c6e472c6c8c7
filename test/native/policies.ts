// What live and replayed runs are compared by: a controller with plans of every form, and steps in outline.

import { CostModel, type CostTable } from '../../lib/control/costs.js';
import type { Controller, DepthController, DetailedPlan, Plan, StepReport } from '../../lib/index.js';
import { random } from './tiny-engine.js';

/** Controllers whose plans follow measured times, which are other ones in a replay: compare them `timed`. */
export const PLAN_BY_TIME: ReadonlySet<string> = new Set(['vllm', 'goodput', 'auto', 'hedge']);

/**
 * Plans of every form up to a depth of `width`, by a seed; `heard` is what it was told, in short. Not how far the drafter had read: whether a
 * token is drafted ahead depends on how soon the answer comes.
 */
export function moody(seed: number, width: number): { controller: Controller; heard: string[] } {
  const next = random(seed);
  const heard: string[] = [];
  const whole = (most: number) => Math.floor(next() * (most + 1));
  const plan = (): Plan => {
    if (next() < 0.3) return whole(width + 2) - 1;
    const value = {
      ...{
        tokensPerMs: 0.2 + next(),
        draftMs: 0.1,
        startMs: 0.3 * next(),
        verifyMs: [1, 1.2, 1.4, 1.6, 3, 3.2, 3.4],
        rebuildMs: 0.1,
      },
      ahead: 0.5 + next() / 2,
    };
    const kind = whole(4);
    const detailed: DetailedPlan = { depth: whole(width), steps: 1 + whole(2) };
    if (kind === 0) detailed.stop = { minProbability: next(), keep: next() < 0.5 };
    if (kind === 1) detailed.stop = { maxEntropy: 3 * next(), minSurvival: next() / 2 };
    if (kind === 2) detailed.stop = { value };
    if (kind === 3) return { ...detailed, stop: { value }, trim: true };
    if (kind === 4) detailed.verify = whole(width);
    return detailed;
  };
  const short = ({ step, position, drafted, verified, accepted, text }: StepReport) =>
    heard.push([step, position, drafted, verified, accepted, text].join(' '));
  const controller: Controller = {
    name: 'moody',
    observe: (report) => short(report),
    nextPlan: (report) => {
      short(report);
      if (next() < 0.05) throw new Error('a bad day');
      return plan();
    },
  };
  return { controller, heard };
}

/**
 * A controller that is told of times by a cost table, of what a step drafted and verified, in place of those measured:
 * the same ones live and in a replay. Nor is it told how far the drafter has read, as `moody` isn't.
 */
export function timed(controller: DepthController, table: CostTable): DepthController {
  const costs = new CostModel(table);
  const told = (report: StepReport): StepReport => ({
    ...report,
    draftMs: report.drafted * table.draft.msPerToken,
    verifyMs: costs.verifyMs(report.rows, report.contextLength),
    catchUpMs: 0,
    otherMs: table.overheadMs,
    drafterLag: 1,
  });
  return {
    name: controller.name,
    begin: (request) => controller.begin?.({ ...request, costs: table }),
    nextPlan: (report) => controller.nextPlan(told(report)),
    observe: (report) => controller.observe?.(told(report)),
  };
}

/** What a step was, without its times. */
export function outline(step: Pick<StepReport, 'depth' | 'drafted' | 'verified' | 'accepted'>) {
  const { depth, drafted, verified, accepted } = step;
  return { depth, drafted, verified, accepted };
}
