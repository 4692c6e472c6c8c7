// The arms of a result in the order of a report, and which of them it is about.

import type { ArmFigures, BenchFindings, BenchResult, PartFindings } from '../bench-result.js';

const PLAIN = 'plain';
const FIXED = /^fixed:(\d+)(@.+)?$/;

export type ArmRole = 'plain' | 'fixed' | 'adaptive';

export function roleOf(arm: string): ArmRole {
  if (arm === PLAIN) return 'plain';
  return FIXED.test(arm) ? 'fixed' : 'adaptive';
}

/** Plain decoding, fixed depths from the smallest on, then what adapts, as the settings name it. */
export function armsOf(result: BenchResult): string[] {
  const arms = [...new Set([...result.settings.arms, ...result.figures.map(({ arm }) => arm)])];
  const measured = new Set(result.figures.map(({ arm }) => arm));
  const rank = (arm: string) =>
    ({ plain: -1, fixed: Number(FIXED.exec(arm)?.[1]), adaptive: 1e9 })[roleOf(arm)];
  return arms.filter((arm) => measured.has(arm)).sort((a, b) => rank(a) - rank(b));
}

/** Kinds that were measured, in the order of the figures, without 'all'. */
export function kindsOf({ figures }: PartFindings): string[] {
  return [...new Set(figures.map(({ kind }) => kind))].filter((kind) => kind !== 'all');
}

export function figuresOf(findings: PartFindings, arm: string, kind = 'all'): ArmFigures | undefined {
  return findings.figures.find((figures) => figures.arm === arm && figures.kind === kind);
}

/** The arm that headings speak of: `auto` where a verdict is on it, any other verdict's arm, or the fastest. */
export function mainArm(findings: BenchFindings): string | undefined {
  const judged = findings.verdict.find(({ arm }) => arm === 'auto') ?? findings.verdict[0];
  return judged?.arm ?? fastest(findings, () => true);
}

/** The best fixed depth in hindsight, as the verdict has it, or the fastest one. */
export function bestFixed(findings: BenchFindings): string | undefined {
  return findings.verdict[0]?.bestFixed ?? fastest(findings, (arm) => roleOf(arm) === 'fixed');
}

function fastest({ figures }: PartFindings, among: (arm: string) => boolean): string | undefined {
  let best: ArmFigures | undefined;
  for (const figure of figures) {
    if (figure.kind !== 'all' || !among(figure.arm)) continue;
    if (!best || figure.tokensPerSecond.value > best.tokensPerSecond.value) best = figure;
  }
  return best?.arm;
}
