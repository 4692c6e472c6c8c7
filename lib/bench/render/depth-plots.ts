// Plots of the depth K: over the position in the output, and step by step over single texts.

import * as Plot from '@observablehq/plot';
import type { BenchFindings, BenchResult } from '../bench-result.js';
import { armsOf, figuresOf, roleOf } from './arms.js';
import { armColour, kindColour } from './colours.js';
import { number } from './format.js';
import { PANEL_WIDTH, type Panel, wholeOnly } from './plots.js';
import { drawSvg } from './svg.js';
import { visible } from './visible.js';

type Timeline = BenchResult['timelines'][number];

const BIN = 16;
const WIDTH = 1080;
/** Tokens side by side; longer texts go on in the next row. */
const ROW_TOKENS = 192;

/** Mean K over the position in the output: a panel for each arm that adapts. */
export function depthPlots(result: BenchResult, findings: BenchFindings): Panel[] {
  const arms = armsOf(result);
  const chosen = arms.filter((arm) => roleOf(arm) === 'adaptive');
  const points = chosen.flatMap((arm) =>
    (figuresOf(findings, arm)?.depthByPosition ?? [])
      .map((depth, bin) => ({ arm, position: bin * BIN + BIN / 2, depth }))
      .filter(({ depth }) => Number.isFinite(depth)),
  );
  const top = Math.max(1, ...points.map(({ depth }) => depth));
  const end = Math.max(BIN, ...points.map(({ position }) => position + BIN / 2));
  return chosen.flatMap((arm) => {
    const own = points.filter((point) => point.arm === arm);
    if (own.length === 0) return [];
    const svg = drawSvg(`Mean planned depth over the position in the output, ${arm}`, {
      width: PANEL_WIDTH,
      height: 180,
      marginLeft: 40,
      marginRight: 12,
      marginTop: 24,
      marginBottom: 36,
      x: {
        domain: [0, end],
        ticks: 6,
        label: 'position in the output, tokens',
        labelAnchor: 'center',
        labelArrow: 'none',
      },
      y: { grid: true, domain: [0, top * 1.05], ticks: 5, label: 'mean K, tokens', labelArrow: 'none' },
      marks: [
        Plot.line(own, { x: 'position', y: 'depth', stroke: armColour(arm, arms), strokeWidth: 2 }),
        Plot.dot(own, {
          x: 'position',
          y: 'depth',
          fill: armColour(arm, arms),
          r: 3,
          title: (point) => `around token ${point.position}: K = ${number(point.depth)}`,
        }),
        Plot.ruleY([0], { stroke: 'currentColor' }),
      ],
    });
    return [{ title: arm, svg }];
  });
}

/** One text step by step; undefined where it has no steps. */
export function timelinePlot({ arm, promptId, steps }: Timeline): Panel | undefined {
  if (steps.length === 0) return undefined;
  const bars = steps.flatMap((step, i) => {
    const start = steps[i - 1]?.position ?? Math.max(0, step.position - step.accepted - 1);
    // A step over the end of a row is in both rows.
    const first = Math.floor(start / ROW_TOKENS);
    const last = Math.floor(Math.max(start, step.position - 1) / ROW_TOKENS);
    return Array.from({ length: last - first + 1 }, (_, j) => ({
      ...step,
      row: first + j,
      from: Math.max(0, start - (first + j) * ROW_TOKENS),
      to: Math.min(ROW_TOKENS, step.position - (first + j) * ROW_TOKENS),
      colour: kindColour(step.kind),
      title: `${visible(step.text)}\nK ${step.depth}: ${step.drafted} drafted, ${step.verified} verified, ${step.accepted} accepted${step.kind ? `, ${visible(step.kind)}` : ''}`,
    }));
  });
  const rows = Math.max(...bars.map(({ row }) => row)) + 1;
  const top = Math.max(1, ...steps.map(({ depth, drafted }) => Math.max(depth, drafted)));
  const width = rows > 1 ? ROW_TOKENS : Math.max(32, steps.at(-1)!.position);
  const place = { x1: 'from', x2: 'to', fy: 'row' } as const;
  const svg = drawSvg(`Depth, accepted and rejected tokens of every step, ${arm} on ${promptId}`, {
    width: WIDTH,
    height: 54 + 120 * rows,
    marginLeft: 44,
    marginRight: 12,
    marginTop: 24,
    marginBottom: 38,
    x: {
      domain: [0, width],
      label: 'position in the output, tokens',
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks: 12,
    },
    y: {
      grid: true,
      domain: [0, top],
      ticks: 4,
      tickFormat: wholeOnly,
      label: 'tokens of the draft',
      labelArrow: 'none',
    },
    fy: {
      label: null,
      padding: 0.18,
      tickFormat: (row: number) => (rows > 1 ? `from ${row * ROW_TOKENS}` : ''),
      axis: rows > 1 ? 'right' : null,
    },
    ...(rows > 1 ? { marginRight: 64 } : {}),
    marks: [
      Plot.rect(bars, { ...place, y1: 0, y2: 'accepted', fill: 'colour', insetLeft: 0.5 }),
      Plot.rect(bars, {
        ...place,
        y1: 'accepted',
        y2: 'verified',
        fill: 'colour',
        fillOpacity: 0.28,
        insetLeft: 0.5,
      }),
      Plot.rect(
        bars.filter(({ drafted, verified }) => drafted > verified),
        {
          ...place,
          y1: 'verified',
          y2: 'drafted',
          fill: 'none',
          stroke: 'colour',
          strokeOpacity: 0.6,
          inset: 0.75,
        },
      ),
      Plot.link(bars, { ...place, y: 'depth', stroke: 'currentColor', strokeWidth: 1.6 }),
      Plot.ruleY([0], { stroke: 'currentColor' }),
      // The whole column answers the pointer, however small its bars are.
      Plot.rect(bars, { ...place, y1: 0, y2: top, fill: 'transparent', title: 'title' }),
    ],
  });
  return { title: `${arm} on ${promptId}`, svg, wide: true };
}
