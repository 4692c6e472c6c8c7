// The report's tables for spreadsheets and data frames: CSV as RFC 4180 has it.

import type { BenchResult, Interval, RunFigures } from '../bench-result.js';

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

/** One line per arm, kind and temperature; a column for each place of a draft and each accepted length. */
export function figuresCsv(result: BenchResult): string {
  const findings = [
    { temperature: result.settings.temperatures[0], figures: result.figures },
    ...(result.further ?? []),
  ];
  const all = findings.flatMap(({ temperature, figures }) =>
    figures.map((figure) => ({ temperature, ...figure })),
  );
  const places = Math.max(0, ...all.map(({ acceptanceByPosition }) => acceptanceByPosition.length));
  const lengths = Math.max(0, ...all.map(({ acceptedLengthShares }) => acceptedLengthShares.length));
  const header = [
    ...['arm', 'kind', 'temperature', 'runs'],
    ...intervalNames('tokens_per_second'),
    ...intervalNames('tokens_per_second_all'),
    ...['acceptance_rate', 'mean_acceptance_length', 'mean_depth'],
    ...['time_to_first_token_ms_p50', 'time_to_first_token_ms_p95'],
    ...['token_gap_ms_p50', 'token_gap_ms_p95', 'token_gap_ms_p99'],
    ...['draft_share', 'verify_share', 'catch_up_share', 'other_share'],
    ...range(places, (place) => `acceptance_at_${place}`),
    ...range(lengths, (length) => `share_of_length_${length}`),
  ];
  const lines = all.map((figure) => [
    ...[figure.arm, figure.kind, figure.temperature, figure.runs],
    ...intervalOf(figure.tokensPerSecond),
    ...intervalOf(figure.tokensPerSecondAll),
    ...[figure.acceptanceRate, figure.meanAcceptanceLength, figure.meanDepth],
    ...[figure.timeToFirstTokenMs.p50, figure.timeToFirstTokenMs.p95],
    ...[figure.tokenGapMs.p50, figure.tokenGapMs.p95, figure.tokenGapMs.p99],
    ...[figure.phases.draft, figure.phases.verify, figure.phases.catchUp, figure.phases.other],
    ...range(places, (place) => figure.acceptanceByPosition[place - 1]),
    ...range(lengths, (length) => figure.acceptedLengthShares[length - 1]),
  ]);
  return csv(header)(lines);
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
