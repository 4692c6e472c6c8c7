// The tables that Markdown and HTML have in common: rows of cells, as text.

import { change, isNumber, percent } from '../../percent.js';
import type { ArmFigures, BenchFindings, BenchResult, PartFindings } from '../bench-result.js';
import { armsOf, figuresOf, kindsOf } from './arms.js';
import { againstBestFixed } from './findings.js';
import { duration, interval, number } from './format.js';

/** A table; `text` says which columns hold words, the others hold numbers. */
export interface Table {
  header: string[];
  text: number;
  rows: string[][];
}

/** Speed of every arm by kind, with intervals over all kinds; at the end that of all tokens. */
export function speedTable(result: BenchResult, findings: BenchFindings): Table {
  return speeds(result, findings, ['all, loops included'], ({ tokensPerSecondAll }) => [
    number(tokensPerSecondAll.value),
  ]);
}

/** The same of all tokens. */
export function allSpeedTable(result: BenchResult, { all }: BenchFindings): Table {
  return speeds(result, all, [], () => []);
}

function speeds(
  result: BenchResult,
  findings: PartFindings,
  moreHeader: string[],
  more: (figures: ArmFigures) => string[],
): Table {
  const kinds = kindsOf(findings);
  return {
    header: ['arm', 'all kinds (95 % interval)', ...kinds, 'spread over kinds', ...moreHeader],
    text: 1,
    rows: armsOf(result).flatMap((arm) => {
      const all = figuresOf(findings, arm);
      if (!all) return [];
      const byKind = kinds.map((kind) => number(figuresOf(findings, arm, kind)?.tokensPerSecond.value));
      const { tokensPerSecond, spreadOverKinds } = all;
      return [[arm, interval(tokensPerSecond), ...byKind, percent(spreadOverKinds, 1), ...more(all)]];
    }),
  };
}

/** Every arm over all kinds, by all tokens: speed, regret and gaps. */
export function allTable(result: BenchResult, { all }: BenchFindings): Table {
  const best = againstBestFixed(all)[0]?.referenceArm ?? 'the best fixed depth';
  return {
    header: [
      ...['arm', 'tokens per second (95 % interval)', `over ${best} (95 % interval)`, 'time regret'],
      ...['token gap p50, ms', 'p95, ms', 'p99, ms'],
    ],
    text: 1,
    rows: armsOf(result).flatMap((arm) => {
      const figures = figuresOf(all, arm);
      if (!figures) return [];
      const compared = againstBestFixed(all, arm).find(({ kind }) => kind === 'all');
      const { p50, p95, p99 } = figures.tokenGapMs;
      return [
        [
          ...[arm, interval(figures.tokensPerSecond), compared ? interval(compared.ratio, 3) : '–'],
          change(all.regret.find((one) => one.arm === arm && one.kind === 'all')?.value),
          ...[p50, p95, p99].map((ms) => number(ms, 2)),
        ],
      ];
    }),
  };
}

/** Acceptance, depth and phases of every arm over all kinds. */
export function stepTable(result: BenchResult, findings: PartFindings): Table {
  return {
    header: [
      'arm',
      'runs',
      'acceptance rate',
      'mean acceptance length',
      'mean K',
      'draft',
      'verify',
      'catch-up',
      'other',
    ],
    text: 1,
    rows: armsOf(result).flatMap((arm) => {
      const figures = figuresOf(findings, arm);
      if (!figures) return [];
      const { phases } = figures;
      return [
        [
          arm,
          String(figures.runs),
          figures.acceptanceByPosition.length > 0 ? percent(figures.acceptanceRate, 1) : '–',
          number(figures.meanAcceptanceLength, 2),
          number(figures.meanDepth),
          ...[phases.draft, phases.verify, phases.catchUp, phases.other].map((share) => percent(share, 1)),
        ],
      ];
    }),
  };
}

/** Time to the first token and between tokens, in milliseconds. */
export function gapTable(result: BenchResult, findings: PartFindings): Table {
  return {
    header: ['arm', 'first token p50, ms', 'p95, ms', 'token gap p50, ms', 'p95, ms', 'p99, ms'],
    text: 1,
    rows: armsOf(result).flatMap((arm) => {
      const figures = figuresOf(findings, arm);
      if (!figures) return [];
      const { timeToFirstTokenMs: first, tokenGapMs: gap } = figures;
      return [[arm, ...[first.p50, first.p95, gap.p50, gap.p95, gap.p99].map((ms) => number(ms, 2))]];
    }),
  };
}

/** Every comparison, as ratios with intervals. */
export function comparisonTable({ comparisons }: PartFindings): Table {
  return {
    header: ['arm', 'against', 'that is', 'kind', 'ratio (95 % interval)'],
    text: 4,
    rows: comparisons.map(({ arm, against, referenceArm, kind, ratio }) => [
      arm,
      against,
      referenceArm,
      kind,
      interval(ratio, 3),
    ]),
  };
}

export function regretTable(result: BenchResult, findings: PartFindings): Table {
  const kinds = ['all', ...kindsOf(findings)];
  const value = (arm: string, kind: string) =>
    findings.regret.find((one) => one.arm === arm && one.kind === kind)?.value;
  return {
    header: ['arm', ...kinds],
    text: 1,
    rows: armsOf(result)
      .filter((arm) => findings.regret.some((one) => one.arm === arm))
      .map((arm) => [arm, ...kinds.map((kind) => change(value(arm, kind)))]),
  };
}

export function costTable({ costs }: BenchResult): Table {
  const rows = (costs?.target ?? []).toSorted((a, b) => a.contextLength - b.contextLength || a.rows - b.rows);
  return {
    header: ['context', 'rows', 'ms'],
    text: 0,
    rows: rows.map((point) => [String(point.contextLength), String(point.rows), number(point.ms, 3)]),
  };
}

export function peerTable({ peers = [] }: BenchResult): Table {
  return {
    header: ['engine', 'setting', 'kind', 'note', 'tokens per second'],
    text: 4,
    rows: peers.map(({ name, setting, kind, tokensPerSecond, note }) => [
      name,
      setting,
      kind,
      note ?? '',
      number(tokensPerSecond),
    ]),
  };
}

/** Command, machine, models and settings: how to make the report again. */
export function originTable(result: BenchResult): Table {
  const { settings, fitness } = result;
  const rows: string[][] = [
    ['command', result.command],
    ['profile', result.profile],
    ['made', `${result.createdAt}, in ${duration(result.seconds)}`],
    ['arms', settings.arms.join(', ')],
    ['prompts', `${settings.promptCount} of ${settings.prompts}`],
    ['tokens per run', `at most ${settings.maxTokens}`],
    ['blocks', `${settings.blocks}, after ${settings.warmUp} runs of warm-up`],
    ['temperatures', settings.temperatures.join(', ')],
    ['seed of the order', String(settings.seed)],
    ['seeds of the sampling', settings.seeds.join(', ')],
    [
      'load of others',
      isNumber(fitness.loadOfOthers) ? `${number(fitness.loadOfOthers, 2)} cores` : 'not known',
    ],
    ['spread of repeated runs', percent(fitness.spread, 1)],
  ];
  for (const [name, value] of Object.entries(result.environment)) {
    // A list of objects, as the models are, is a row for each.
    const several = Array.isArray(value) && value.some((item) => typeof item === 'object');
    for (const item of several ? value : [value]) rows.push([name, plainText(item)]);
  }
  return { header: ['', ''], text: 2, rows };
}

function plainText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(plainText).join(', ');
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([name, item]) => `${name}: ${plainText(item)}`)
      .join(', ');
  }
  return String(value);
}
