// The report's plots of speed, time and acceptance, as panels that stand side by side where there is room.

import * as Plot from '@observablehq/plot';
import { CostModel, type CostTable, type RowCost } from '../../control/costs.js';
import { change, percent } from '../../percent.js';
import type { BenchFindings, BenchResult, Interval } from '../bench-result.js';
import { armsOf, figuresOf, kindsOf, roleOf } from './arms.js';
import { armColour, kindColour } from './colours.js';
import { againstBestFixed, drafts } from './findings.js';
import { number } from './format.js';
import { drawSvg } from './svg.js';
import { visible } from './visible.js';

/** One picture with its title. Wide ones are as wide as the page and scroll where it is narrower. */
export interface Panel {
  title: string;
  svg: string;
  wide?: boolean;
}

export const PANEL_WIDTH = 360;
const ROW = 22;
/** Room for values at the right. */
const VALUES = 56;
/** Most characters of a name beside an axis; longer ones are cut. */
const NAME = 16;

const name = (text: string) => {
  const shown = visible(text);
  return shown.length > NAME ? `${shown.slice(0, NAME - 1)}…` : shown;
};

/** Room for row names, which Plot doesn't measure. */
const marginFor = (names: readonly string[]) =>
  14 + 7 * Math.max(3, ...names.map((text) => Math.min(NAME, text.length)));

/** Rows of points with intervals. */
interface Row extends Interval {
  row: string;
  colour: string;
}

interface RowsOptions {
  label: string;
  x: Plot.ScaleOptions;
  show: (row: Row) => string;
  under?: Plot.Markish[];
}

function rowsPlot(rows: readonly Row[], { label, x, show, under = [] }: RowsOptions): string {
  const names = rows.map(({ row }) => row);
  return drawSvg(label, {
    width: PANEL_WIDTH,
    height: 46 + ROW * rows.length,
    marginLeft: marginFor(names),
    marginRight: VALUES,
    marginTop: 8,
    marginBottom: 38,
    x: { grid: true, ticks: 5, labelAnchor: 'center', labelArrow: 'none', ...x },
    y: { type: 'band', domain: names, label: null, tickSize: 0, tickFormat: name },
    marks: [
      ...under,
      Plot.link(rows, {
        x1: 'low',
        x2: 'high',
        y: 'row',
        stroke: 'colour',
        strokeWidth: 2.5,
        strokeOpacity: 0.55,
      }),
      Plot.dot(rows, {
        x: 'value',
        y: 'row',
        fill: 'colour',
        r: 4,
        title: (row: Row) => `${visible(row.row)}: ${show(row)}`,
      }),
      // The values stand in a column of their own, where no line runs through them.
      Plot.text(rows, { y: 'row', text: show, frameAnchor: 'right', dx: VALUES - 8, fill: 'currentColor' }),
    ],
  });
}

/** Tokens per second with intervals: a panel for all kinds and one for each, all on one scale. */
export function speedPlots(result: BenchResult, findings: BenchFindings): Panel[] {
  const arms = armsOf(result);
  const top = Math.max(0, ...findings.figures.map(({ tokensPerSecond }) => tokensPerSecond.high));
  return ['all', ...kindsOf(findings)].flatMap((kind) => {
    const rows = arms.flatMap((arm): Row[] => {
      const figures = figuresOf(findings, arm, kind);
      if (!figures) return [];
      return [{ row: arm, colour: armColour(arm, arms), ...figures.tokensPerSecond }];
    });
    if (rows.length === 0) return [];
    const svg = rowsPlot(rows, {
      label: `Tokens per second by arm, ${kindTitle(kind)}`,
      x: { label: 'tokens per second', domain: [0, top * 1.03 || 1] },
      show: ({ value }) => number(value),
    });
    return [{ title: kindTitle(kind), svg }];
  });
}

/** Ratios to the best fixed depth: a panel per arm, with a row for all kinds together and one for each. */
export function ratioPlots(result: BenchResult, findings: BenchFindings): Panel[] {
  const arms = armsOf(result);
  const all = againstBestFixed(findings);
  const low = Math.min(0.95, ...all.map(({ ratio }) => ratio.low));
  const high = Math.max(1.15, ...all.map(({ ratio }) => ratio.high));
  const domain = [low - 0.02, high + 0.02];
  // What adapts first: it is what the comparison is for.
  const order = arms.toSorted((a, b) => Number(roleOf(b) === 'adaptive') - Number(roleOf(a) === 'adaptive'));
  return order.flatMap((arm) => {
    const own = againstBestFixed(findings, arm);
    if (own.length === 0) return [];
    const rows = own.map(
      ({ kind, ratio }): Row => ({
        row: kind,
        colour: kind === 'all' ? 'currentColor' : kindColour(kind),
        ...ratio,
      }),
    );
    const reference = own[0]!.referenceArm;
    const svg = rowsPlot(rows, {
      label: `Ratio of tokens per second, ${arm} over ${reference}, by kind`,
      x: { label: `${name(arm)} over ${name(reference)}, ratio`, domain },
      show: ({ value }) => number(value, 2),
      under: [
        Plot.ruleX([1], { stroke: 'currentColor', strokeWidth: 1.2 }),
        Plot.ruleX([1.1], { stroke: 'var(--good)', strokeWidth: 1.5, strokeDasharray: '5 3' }),
      ],
    });
    return [{ title: `${arm} over ${reference}`, svg }];
  });
}

/** Time regret over all, and by kind. */
export function regretPlots(result: BenchResult, { regret }: BenchFindings): Panel[] {
  const arms = armsOf(result);
  const known = regret.filter(({ arm, value }) => arms.includes(arm) && Number.isFinite(value));
  if (known.length === 0) return [];
  const shown = arms.filter((arm) => known.some((one) => one.arm === arm));
  const values = known.map(({ value }) => 100 * value);
  const lowest = Math.min(0, ...values);
  const highest = Math.max(1, ...values);
  const span = highest - lowest;
  const frame = {
    width: PANEL_WIDTH,
    height: 46 + ROW * shown.length,
    marginLeft: marginFor(shown),
    marginRight: 12,
    marginTop: 8,
    marginBottom: 38,
    y: { type: 'band' as const, domain: shown, label: null, tickSize: 0, tickFormat: name, padding: 0.25 },
  };
  const x = {
    grid: true,
    ticks: 5,
    labelAnchor: 'center' as const,
    labelArrow: 'none' as const,
    label: 'time regret, %',
  };
  const over = known.filter(({ kind }) => kind === 'all');
  const byKind = known.filter(({ kind }) => kind !== 'all');
  const panels: Panel[] = [];
  if (over.length > 0) {
    const svg = drawSvg('Time regret by arm over all kinds', {
      ...frame,
      x: { ...x, domain: [lowest < 0 ? lowest - 0.2 * span : 0, highest + 0.25 * span] },
      marks: [
        Plot.barX(over, {
          x: (one) => 100 * one.value,
          y: 'arm',
          fill: (one) => armColour(one.arm, arms),
          title: (one) => `${visible(one.arm)}: ${change(one.value)}`,
        }),
        Plot.text(over, {
          x: (one) => Math.max(0, 100 * one.value),
          y: 'arm',
          text: (one) => change(one.value),
          textAnchor: 'start',
          dx: 6,
          fill: 'currentColor',
        }),
        Plot.ruleX([0], { stroke: 'currentColor' }),
      ],
    });
    panels.push({ title: 'all kinds', svg });
  }
  if (byKind.length > 0) {
    const svg = drawSvg('Time regret by arm and kind', {
      ...frame,
      x: { ...x, domain: [lowest - 0.04 * span, highest + 0.04 * span] },
      marks: [
        Plot.ruleX([0], { stroke: 'currentColor' }),
        Plot.dot(byKind, {
          x: (one) => 100 * one.value,
          y: 'arm',
          fill: (one) => kindColour(one.kind),
          stroke: 'var(--paper)',
          strokeWidth: 0.75,
          r: 4.5,
          title: (one) => `${visible(one.arm)}, ${visible(one.kind)}: ${change(one.value)}`,
        }),
      ],
    });
    panels.push({ title: 'by kind', svg });
  }
  return panels;
}

/** Acceptance rate run by run: from the lowest to the highest, the middle half and the median. */
export function acceptancePlot(result: BenchResult, findings: BenchFindings): Panel[] {
  const arms = armsOf(result);
  const rows = arms
    .filter((arm) => drafts(findings, arm))
    .map((arm) => ({
      arm,
      colour: armColour(arm, arms),
      ...figuresOf(findings, arm)!.acceptanceRateQuartiles,
    }))
    .filter(({ p50 }) => Number.isFinite(p50));
  if (rows.length === 0) return [];
  const of = (share: 'min' | 'p25' | 'p50' | 'p75' | 'max') => (row: (typeof rows)[number]) =>
    100 * row[share];
  const svg = drawSvg('Acceptance rate of runs by arm', {
    width: PANEL_WIDTH,
    height: 46 + ROW * rows.length,
    marginLeft: marginFor(rows.map(({ arm }) => arm)),
    marginRight: 16,
    marginTop: 8,
    marginBottom: 38,
    x: {
      grid: true,
      domain: [0, 100],
      ticks: 5,
      label: 'accepted of verified tokens, %',
      labelAnchor: 'center',
      labelArrow: 'none',
    },
    y: { type: 'band', domain: rows.map(({ arm }) => arm), label: null, tickSize: 0, tickFormat: name },
    marks: [
      Plot.link(rows, { x1: of('min'), x2: of('max'), y: 'arm', stroke: 'colour', strokeWidth: 1.5 }),
      Plot.link(rows, {
        x1: of('p25'),
        x2: of('p75'),
        y: 'arm',
        stroke: 'colour',
        strokeWidth: 8,
        strokeOpacity: 0.45,
      }),
      Plot.dot(rows, {
        x: of('p50'),
        y: 'arm',
        fill: 'colour',
        r: 4,
        title: (row) =>
          `${visible(row.arm)}: median ${percent(row.p50)}, ${percent(row.min)} to ${percent(row.max)}`,
      }),
    ],
  });
  return [{ title: 'acceptance rate of single runs', svg }];
}

/** How many tokens a step emits: a panel per arm, the others faint behind it. */
export function lengthPlots(result: BenchResult, findings: BenchFindings): Panel[] {
  const arms = armsOf(result).filter((arm) => drafts(findings, arm));
  const shares = arms.map((arm) => figuresOf(findings, arm)!.acceptedLengthShares);
  const longest = Math.max(0, ...shares.map((one) => one.length));
  const top = Math.max(0, ...shares.flat());
  if (longest === 0) return [];
  return arms.map((arm, i) => {
    const bars = shares[i]!.map((share, place) => ({ length: place + 1, share: 100 * share }));
    const mean = figuresOf(findings, arm)!.meanAcceptanceLength;
    const svg = drawSvg(`Share of steps by emitted tokens, ${arm}`, {
      width: PANEL_WIDTH,
      height: 170,
      marginLeft: 40,
      marginRight: 12,
      marginTop: 24,
      marginBottom: 36,
      x: {
        domain: [0.4, longest + 0.6],
        label: 'tokens emitted by a step',
        labelAnchor: 'center',
        labelArrow: 'none',
      },
      y: { grid: true, domain: [0, 100 * top || 1], ticks: 4, label: '% of the steps', labelArrow: 'none' },
      marks: [
        Plot.rectY(bars, {
          x1: (bar) => bar.length - 0.42,
          x2: (bar) => bar.length + 0.42,
          y: 'share',
          fill: armColour(arm, arms),
          title: (bar) => `${bar.length} tokens: ${number(bar.share)} % of the steps`,
        }),
        Plot.ruleX([mean], { stroke: 'currentColor', strokeDasharray: '4 3' }),
        Plot.ruleY([0], { stroke: 'currentColor' }),
      ],
    });
    return { title: `${arm}: ${number(mean, 2)} on average`, svg };
  });
}

/** Acceptance by place in the draft: a panel per arm, the others faint behind it. */
export function positionPlots(result: BenchResult, findings: BenchFindings): Panel[] {
  const arms = armsOf(result).filter((arm) => drafts(findings, arm));
  const points = arms.flatMap((arm) =>
    figuresOf(findings, arm)!.acceptanceByPosition.map((share, i) => ({
      arm,
      place: i + 1,
      share: 100 * share,
    })),
  );
  const longest = Math.max(2, ...points.map(({ place }) => place));
  return arms.map((arm) => {
    const own = points.filter((point) => point.arm === arm);
    const others = points.filter((point) => point.arm !== arm);
    const svg = drawSvg(`Acceptance by place in the draft, ${arm}`, {
      width: PANEL_WIDTH,
      height: 190,
      marginLeft: 40,
      marginRight: 12,
      marginTop: 24,
      marginBottom: 36,
      x: {
        domain: [0.6, longest + 0.4],
        label: 'place in the draft',
        labelAnchor: 'center',
        labelArrow: 'none',
        ticks: Math.min(longest, 8),
        tickFormat: wholeOnly,
      },
      y: { grid: true, domain: [0, 100], ticks: 5, label: '% accepted', labelArrow: 'none' },
      marks: [
        Plot.line(others, {
          x: 'place',
          y: 'share',
          z: 'arm',
          stroke: 'currentColor',
          strokeOpacity: 0.22,
          strokeWidth: 1,
        }),
        Plot.line(own, { x: 'place', y: 'share', stroke: armColour(arm, arms), strokeWidth: 2 }),
        Plot.dot(own, {
          x: 'place',
          y: 'share',
          fill: armColour(arm, arms),
          r: 3,
          title: (point) => `place ${point.place}: ${number(point.share)} %`,
        }),
      ],
    });
    return { title: arm, svg };
  });
}

/** v(n) by context length, in milliseconds and relative to one row. */
export function costPlots(costs: CostTable | undefined): Panel[] {
  if (!costs || costs.target.length === 0) return [];
  const model = new CostModel(costs);
  const contexts = [...new Set(costs.target.map(({ contextLength }) => contextLength))].sort((a, b) => a - b);
  const points = costs.target.toSorted((a, b) => a.rows - b.rows);
  const widest = Math.max(...points.map(({ rows }) => rows));
  const shortest = contexts[0]!;
  const one = model.verifyMs(1, shortest);
  const opacity = ({ contextLength }: { contextLength: number }) =>
    1 - (0.6 * contexts.indexOf(contextLength)) / Math.max(1, contexts.length - 1);
  const highest = Math.max(...points.map(({ ms }) => ms));
  const frame = {
    width: PANEL_WIDTH,
    height: 240,
    marginLeft: 44,
    marginRight: 14,
    marginTop: 26,
    marginBottom: 38,
    x: {
      domain: [1, Math.max(2, widest)],
      label: 'rows n at once',
      labelAnchor: 'center' as const,
      labelArrow: 'none' as const,
    },
  };
  const absolute = drawSvg('Milliseconds of a pass by number of rows', {
    ...frame,
    marginRight: contexts.length > 1 ? 48 : frame.marginRight,
    y: { grid: true, domain: [0, highest * 1.08], label: 'v(n), ms', labelArrow: 'none' },
    marks: [
      Plot.line(points, {
        x: 'rows',
        y: 'ms',
        z: 'contextLength',
        stroke: 'var(--arm-1)',
        strokeOpacity: opacity,
        strokeWidth: 2,
      } as Plot.LineOptions),
      Plot.dot(points, {
        x: 'rows',
        y: 'ms',
        r: 3,
        fill: 'var(--arm-1)',
        fillOpacity: opacity,
        title: (point) => `${point.rows} rows at context ${point.contextLength}: ${number(point.ms, 2)} ms`,
      }),
      Plot.text(contexts.length > 1 ? endLabels(points, highest) : [], {
        x: widest,
        y: 'at',
        text: ({ contextLength }) => String(contextLength),
        textAnchor: 'start',
        dx: 7,
        fill: 'currentColor',
      }),
    ],
  });
  const base = points.filter(({ contextLength }) => contextLength === shortest);
  const relativeTop = Math.max(2, 1.1 * Math.max(...base.map(({ ms }) => ms / one)));
  const relative = drawSvg('Cost of n rows over that of one row', {
    ...frame,
    y: { grid: true, domain: [0, relativeTop], label: 'v(n) / v(1)', labelArrow: 'none' },
    marks: [
      Plot.line(
        [
          [1, 1],
          [Math.min(relativeTop, widest), Math.min(relativeTop, widest)],
        ],
        { stroke: 'currentColor', strokeDasharray: '2 4' },
      ),
      Plot.line(base, { x: 'rows', y: ({ ms }) => ms / one, stroke: 'var(--arm-1)', strokeWidth: 2 }),
      Plot.dot(base, {
        x: 'rows',
        y: ({ ms }) => ms / one,
        fill: 'var(--arm-1)',
        r: 3,
        title: ({ rows, ms }) => `${rows} rows: ${number(ms / one, 2)} times one row`,
      }),
    ],
  });
  return [
    { title: contexts.length > 1 ? 'milliseconds, by context length' : 'milliseconds', svg: absolute },
    { title: `relative to one row, context ${shortest}`, svg: relative },
  ];
}

/** Where the names of the curves stand: at their ends, or as far above the one below as is needed to read both. */
function endLabels(points: readonly RowCost[], highest: number): { contextLength: number; at: number }[] {
  const ends = [...new Map(points.map((point) => [point.contextLength, point])).values()];
  const apart = highest * 0.09;
  let below = Number.NEGATIVE_INFINITY;
  return ends
    .toSorted((a, b) => a.ms - b.ms)
    .map(({ contextLength, ms }) => {
      below = Math.max(ms, below + apart);
      return { contextLength, at: below };
    });
}

/** Phases of a step, in the order that they are stacked, with their colours. */
export const PHASES = [
  { key: 'draft', title: 'draft', colour: 'var(--kind-2)' },
  { key: 'verify', title: 'verify', colour: 'var(--kind-1)' },
  { key: 'catchUp', title: 'catch-up', colour: 'var(--kind-4)' },
  { key: 'other', title: 'other', colour: 'var(--kind-other)' },
] as const;

/** Time by phase: milliseconds per emitted token, and shares of the time. */
export function phasePlots(result: BenchResult, findings: BenchFindings): Panel[] {
  const arms = armsOf(result);
  const parts = arms.flatMap((arm) => {
    const figures = figuresOf(findings, arm);
    if (!figures) return [];
    const perToken = 1000 / figures.tokensPerSecond.value;
    let end = 0;
    return PHASES.map(({ key, title, colour }) => {
      const start = end;
      end += figures.phases[key];
      return { arm, title, colour, start, end, share: figures.phases[key], perToken };
    });
  });
  if (parts.length === 0) return [];
  const draw = (label: string, axis: string, scale: (part: (typeof parts)[number]) => number) =>
    drawSvg(label, {
      width: PANEL_WIDTH,
      height: 46 + ROW * arms.length,
      marginLeft: marginFor(arms),
      marginRight: 16,
      marginTop: 8,
      marginBottom: 38,
      x: { grid: true, ticks: 5, label: axis, labelAnchor: 'center', labelArrow: 'none', nice: false },
      y: { type: 'band', domain: arms, label: null, tickSize: 0, tickFormat: name, padding: 0.25 },
      marks: [
        Plot.barX(parts, {
          x1: (part) => part.start * scale(part),
          x2: (part) => part.end * scale(part),
          y: 'arm',
          fill: 'colour',
          title: (part) =>
            `${visible(part.arm)}, ${part.title}: ${percent(part.share, 1)}, ${number(part.share * part.perToken, 2)} ms a token`,
        }),
        Plot.ruleX([0], { stroke: 'currentColor' }),
      ],
    });
  return [
    {
      title: 'time per token',
      svg: draw('Milliseconds per token by phase', 'ms per token', (part) => part.perToken),
    },
    { title: 'shares', svg: draw('Shares of decode time by phase', '% of decode time', () => 100) },
  ];
}

export function kindTitle(kind: string): string {
  return kind === 'all' ? 'all kinds' : kind;
}

/** Labels for ticks at whole numbers, none between them. */
export function wholeOnly(value: number): string {
  return Number.isInteger(value) ? String(value) : '';
}
