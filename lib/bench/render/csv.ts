// The report's tables for spreadsheets and data frames: CSV as RFC 4180 has it.

import type { ArmFigures, BenchResult, Interval, PartFindings, RunFigures } from '../bench-result.js';
import { BEST_FIXED } from '../comparisons.js';
import { POSITIONS_PER_BIN } from '../run-figures.js';

type Cell = string | number | null | undefined;

/** One line per run: what was done before the first loop (`before_loop_…`) and in all (`all_…`). */
export function runsCsv({ runs }: BenchResult): string {
  const header = ['arm', 'prompt', 'kind', 'block', 'temperature', 'time_to_first_token_ms', 'loop_at'];
  const lines = runs.map((run) => [
    run.arm,
    run.promptId,
    run.kind,
    run.block,
    run.temperature,
    run.timeToFirstTokenMs,
    run.loopAt,
    ...figuresOf(run.beforeLoop),
    ...figuresOf(run.all),
    run.tokensHash,
  ]);
  return csv([
    ...header,
    ...FIGURES.map((name) => `before_loop_${snake(name)}`),
    ...FIGURES.map((name) => `all_${snake(name)}`),
    'tokens_sha256',
  ])(lines);
}

/**
 * One line per arm, kind and temperature; a column for each place of a draft, each accepted length and each 16 tokens of
 * output. What goes by tokens is there twice: before the first loop, and as `all_…` of all tokens.
 */
export function figuresCsv(result: BenchResult): string {
  const findings = [{ ...result, temperature: result.settings.temperatures[0] }, ...(result.further ?? [])];
  const lines = findings.flatMap(({ temperature, figures, all, regret, comparisons }) =>
    figures.map((before) => {
      const { arm, kind } = before;
      const whole = all.figures.find((one) => one.arm === arm && one.kind === kind);
      return {
        ...{ temperature, before, whole },
        beforeAgainst: againstOf({ comparisons, regret }, arm, kind),
        allAgainst: againstOf(all, arm, kind),
      };
    }),
  );
  const most = (of: (figures: ArmFigures) => number[]) =>
    Math.max(0, ...lines.flatMap(({ before, whole }) => [of(before).length, whole ? of(whole).length : 0]));
  const wide = {
    places: most((one) => one.acceptanceByPosition),
    lengths: most((one) => one.acceptedLengthShares),
    bins: most((one) => one.depthByPosition),
  };
  const header = [
    ...['arm', 'kind', 'temperature', 'runs'],
    ...intervalNames('tokens_per_second'),
    ...intervalNames('tokens_per_second_all'),
    ...['time_to_first_token_ms_p50', 'time_to_first_token_ms_p95'],
    ...stepNames(wide),
    ...stepNames(wide).map((name) => `all_${name}`),
  ];
  const cells = lines.map(({ temperature, before, whole, beforeAgainst, allAgainst }) => [
    ...[before.arm, before.kind, temperature, before.runs],
    ...intervalOf(before.tokensPerSecond),
    ...intervalOf(before.tokensPerSecondAll),
    ...[before.timeToFirstTokenMs.p50, before.timeToFirstTokenMs.p95],
    ...stepCells(before, beforeAgainst, wide),
    ...stepCells(whole, allAgainst, wide),
  ]);
  return csv(header)(cells);
}

/** How many columns the lists take. */
interface Wide {
  places: number;
  lengths: number;
  bins: number;
}

/** An arm's ratio to the best fixed depth, and its time regret. */
interface Against {
  ratio: Interval | undefined;
  regret: number | undefined;
}

function againstOf(
  { comparisons, regret }: Pick<PartFindings, 'comparisons' | 'regret'>,
  arm: string,
  kind: string,
): Against {
  const own = (one: { arm: string; kind: string }) => one.arm === arm && one.kind === kind;
  return {
    ratio: comparisons.find((one) => own(one) && one.against === BEST_FIXED)?.ratio,
    regret: regret.find(own)?.value,
  };
}

function stepNames({ places, lengths, bins }: Wide): string[] {
  return [
    ...['acceptance_rate', 'mean_acceptance_length', 'mean_depth'],
    ...['token_gap_ms_p50', 'token_gap_ms_p95', 'token_gap_ms_p99'],
    ...['draft_share', 'verify_share', 'catch_up_share', 'other_share'],
    ...intervalNames('of_best_fixed'),
    'time_regret',
    ...range(places, (place) => `acceptance_at_${place}`),
    ...range(lengths, (length) => `share_of_length_${length}`),
    ...range(bins, (bin) => `depth_from_${POSITIONS_PER_BIN * (bin - 1)}`),
  ];
}

function stepCells(
  figures: ArmFigures | undefined,
  { ratio, regret }: Against,
  { places, lengths, bins }: Wide,
): Cell[] {
  return [
    ...[figures?.acceptanceRate, figures?.meanAcceptanceLength, figures?.meanDepth],
    ...[figures?.tokenGapMs.p50, figures?.tokenGapMs.p95, figures?.tokenGapMs.p99],
    ...[figures?.phases.draft, figures?.phases.verify, figures?.phases.catchUp, figures?.phases.other],
    ...[ratio?.value, ratio?.low, ratio?.high],
    regret,
    ...range(places, (place) => figures?.acceptanceByPosition[place - 1]),
    ...range(lengths, (length) => figures?.acceptedLengthShares[length - 1]),
    ...range(bins, (bin) => figures?.depthByPosition[bin - 1]),
  ];
}

/**
 * A cell. Text that a spreadsheet would take for a formula gets an apostrophe in front, which spreadsheets read as
 * 'this is text'; quotes, separators and line breaks are quoted. No number and NaN are empty.
 */
export function csvCell(value: Cell): string {
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : '';
  if (value === null || value === undefined) return '';
  const text = /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const FIGURES = [
  'tokens',
  'steps',
  'drafted',
  'verified',
  'accepted',
  'decodeMs',
  'draftMs',
  'verifyMs',
  'catchUpMs',
  'otherMs',
] as const satisfies readonly (keyof RunFigures)[];

function figuresOf(figures: RunFigures): number[] {
  return FIGURES.map((name) => figures[name]);
}

function csv(header: readonly string[]) {
  return (lines: readonly (readonly Cell[])[]) =>
    [header, ...lines].map((line) => `${line.map(csvCell).join(',')}\r\n`).join('');
}

function intervalNames(name: string): string[] {
  return [name, `${name}_low`, `${name}_high`];
}

function intervalOf({ value, low, high }: Interval): number[] {
  return [value, low, high];
}

/** The values of 1 to `count`. */
function range<T>(count: number, value: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => value(i + 1));
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
