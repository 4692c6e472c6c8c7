// What each arm did, over all its runs and by kind of text.

import type { ArmFigures, RunFigures } from './bench-result.js';
import { byKind, type Part, type PromptSums, speedOf, speedsOf, sumsByPrompt } from './prompt-sums.js';
import type { MeasuredRun } from './run.js';
import { add } from './run-figures.js';
import { bootstrap, coefficientOfVariation, quantiles } from './statistics.js';

type Sums = ReadonlyMap<string, PromptSums>;

/** Figures of every arm in one part of its tokens: one entry for 'all' kinds and one for each. */
export function armFigures(measured: readonly MeasuredRun[], part: Part, random: () => number): ArmFigures[] {
  const runs = measured.map(({ run }) => run);
  const sums = sumsByPrompt(runs, part);
  const all = sumsByPrompt(runs, 'all');
  return [...byKind(measured, ({ run }) => run.arm)].flatMap(([arm, ofArm]) => {
    const speeds = speedsOf([...(sums.get(arm)?.values() ?? [])]);
    const figures = (kind: string, chosen: readonly MeasuredRun[]) =>
      figuresOf({ arm, kind, part, measured: chosen, sums: sums.get(arm)!, all: all.get(arm)!, random });
    const total = { ...figures('all', ofArm), spreadOverKinds: coefficientOfVariation(speeds) };
    const kinds = [...byKind(ofArm, ({ run }) => run.kind)].map(([kind, chosen]) => figures(kind, chosen));
    return [total, ...kinds];
  });
}

function figuresOf({
  arm,
  kind,
  part,
  measured,
  sums,
  all,
  random,
}: {
  arm: string;
  kind: string;
  part: Part;
  measured: readonly MeasuredRun[];
  /** By prompt: of the part, and of all tokens. */
  sums: Sums;
  all: Sums;
  random: () => number;
}): ArmFigures {
  const speed = (prompts: Sums) => {
    const chosen = [...prompts.values()].filter((prompt) => kind === 'all' || prompt.kind === kind);
    const strata = [...byKind(chosen, (prompt) => prompt.kind).values()];
    if (strata.length === 0) return { value: 0, low: 0, high: 0, prompts: 0 };
    return bootstrap(strata, (drawn) => speedOf(drawn.flat()), { random });
  };
  const total = totalOf(measured.map(({ run }) => run[part]));
  const details = measured.map((one) => one.details[part]);
  const verifiedAt: number[] = [];
  const acceptedAt: number[] = [];
  const lengths: number[] = [];
  const depths: { sum: number; steps: number }[] = [];
  for (const detail of details) {
    for (const [place, count] of detail.verifiedAt.entries()) add(verifiedAt, place, count);
    for (const [place, count] of detail.acceptedAt.entries()) add(acceptedAt, place, count);
    for (const [place, count] of detail.lengths.entries()) add(lengths, place, count);
    for (const [bin, { sum, steps }] of detail.depthByPosition.entries()) {
      depths[bin] ??= { sum: 0, steps: 0 };
      depths[bin].sum += sum;
      depths[bin].steps += steps;
    }
  }
  const depthSum = depths.reduce((sum, bin) => sum + bin.sum, 0);
  const [gap50, gap95, gap99] = quantiles(
    details.flatMap(({ gapsMs }) => gapsMs),
    [0.5, 0.95, 0.99],
  );
  const [first50, first95] = quantiles(
    measured.map(({ run }) => run.timeToFirstTokenMs),
    [0.5, 0.95],
  );
  const tokensPerSecond = speed(sums);
  return {
    arm,
    kind,
    runs: measured.length,
    tokensPerSecond,
    tokensPerSecondAll: part === 'all' ? tokensPerSecond : speed(all),
    acceptanceRate: ratio(total.accepted, total.verified),
    acceptanceRateQuartiles: quartiles(
      measured.flatMap(({ run }) =>
        run[part].verified > 0 ? [run[part].accepted / run[part].verified] : [],
      ),
    ),
    meanAcceptanceLength: ratio(total.tokens, total.steps),
    acceptanceByPosition: verifiedAt.map((count, place) => ratio(acceptedAt[place]!, count)),
    acceptedLengthShares: lengths.map((count) => ratio(count, total.steps)),
    meanDepth: ratio(depthSum, total.steps),
    depthByPosition: depths.map(({ sum, steps }) => ratio(sum, steps)),
    timeToFirstTokenMs: { p50: first50!, p95: first95! },
    tokenGapMs: { p50: gap50!, p95: gap95!, p99: gap99! },
    phases: {
      draft: ratio(total.draftMs, total.decodeMs),
      verify: ratio(total.verifyMs, total.decodeMs),
      catchUp: ratio(total.catchUpMs, total.decodeMs),
      other: ratio(total.otherMs, total.decodeMs),
    },
  };
}

function totalOf(figures: readonly RunFigures[]): RunFigures {
  const total = { ...figures[0]! };
  for (const one of figures.slice(1)) {
    for (const name of Object.keys(total) as (keyof RunFigures)[]) total[name] += one[name];
  }
  return total;
}

function quartiles(values: readonly number[]): ArmFigures['acceptanceRateQuartiles'] {
  const [low, p25, p50, p75, high] = quantiles(values, [0, 0.25, 0.5, 0.75, 1]);
  return { min: low!, p25: p25!, p50: p50!, p75: p75!, max: high! };
}

function ratio(a: number, b: number): number {
  return b > 0 ? a / b : 0;
}
