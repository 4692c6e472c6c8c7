// The report as Markdown: verdict, warnings and tables, without plots.

import type { BenchFindings, BenchResult } from '../bench-result.js';
import { assurances, criteria, EXPLANATIONS, headings, headline, warnings } from './findings.js';
import {
  allSpeedTable,
  allTable,
  comparisonTable,
  costTable,
  gapTable,
  originTable,
  peerTable,
  regretTable,
  speedTable,
  stepTable,
  type Table,
} from './tables.js';
import { visible } from './visible.js';

export function markdownReport(result: BenchResult): string {
  const parts = [`# ${escapeMarkdown(headline(result))}`];
  for (const { title, lines } of warnings(result)) {
    parts.push([`**${escapeMarkdown(title)}**`, ...lines.map(item)].map((line) => `> ${line}`).join('\n'));
  }
  parts.push(...assurances(result).map(escapeMarkdown));
  parts.push(...findingsOf(result, result));
  if (result.costs && result.costs.target.length > 0) {
    parts.push(
      `## ${escapeMarkdown(headings(result).costs)}`,
      EXPLANATIONS.costs.what,
      table(costTable(result)),
    );
  }
  for (const further of result.further ?? []) {
    parts.push(`# At temperature ${further.temperature}: ${escapeMarkdown(headline(further))}`);
    parts.push(...findingsOf(result, further));
  }
  if (result.peers && result.peers.length > 0) parts.push('## Engines of others', table(peerTable(result)));
  parts.push('## How this was made', table(originTable(result)));
  return `${parts.join('\n\n')}\n`;
}

function findingsOf(result: BenchResult, findings: BenchFindings): string[] {
  const heading = headings(result, findings);
  const parts: string[] = [];
  for (const verdict of findings.verdict) {
    const lines = criteria(verdict).map(({ name, answer, figures }) =>
      item(`${verdict.arm}: ${name} ${answer}: ${figures}`),
    );
    parts.push([...lines, ...verdict.summary.map(item)].join('\n'));
  }
  const section = (key: keyof typeof heading, ...tables: Table[]) => {
    const whole = tables.filter(({ rows }) => rows.length > 0);
    if (whole.length > 0)
      parts.push(`## ${escapeMarkdown(heading[key])}`, EXPLANATIONS[key].what, ...whole.map(table));
  };
  section('speed', speedTable(result, findings));
  section('ratios', comparisonTable(findings));
  section('regret', regretTable(result, findings));
  section('acceptance', stepTable(result, findings));
  section('gaps', gapTable(result, findings));
  const { all } = findings;
  section('all', allTable(result, findings), allSpeedTable(result, findings), stepTable(result, all));
  return parts;
}

/** Text that Markdown shows as it is, on one line, in a cell of a table too. */
export function escapeMarkdown(text: string): string {
  return visible(text)
    .replace(/[\\`*_{}[\]<>|#~&!]/g, '\\$&')
    .trim();
}

function item(text: string): string {
  return `- ${escapeMarkdown(text)}`;
}

function table({ header, text, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeMarkdown).join(' | ')} |`;
  const rule = header.map((_, i) => (i < text ? '---' : '---:'));
  return [line(header), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');
}
