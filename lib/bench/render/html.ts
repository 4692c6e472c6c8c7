// The report as one HTML page that needs nothing else: no script, no font, no style from elsewhere.

import type { BenchFindings, BenchResult, Verdict } from '../bench-result.js';
import { kindsOf } from './arms.js';
import { kindColour } from './colours.js';
import { depthPlots, timelinePlot } from './depth-plots.js';
import { assurances, criteria, EXPLANATIONS, headings, headline, warnings } from './findings.js';
import { duration } from './format.js';
import { PAGE_STYLE } from './page-style.js';
import {
  acceptancePlot,
  costPlots,
  lengthPlots,
  type Panel,
  PHASES,
  phasePlots,
  positionPlots,
  ratioPlots,
  regretPlots,
  speedPlots,
} from './plots.js';
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

/** The page. Whatever the result's texts hold stays text, and the page's own policy forbids scripts and requests. */
export function htmlReport(result: BenchResult): string {
  const title = escapeHtml(headline(result));
  const { profile, createdAt, seconds, settings } = result;
  const over = `adaptive-spec bench, profile ${profile}, ${createdAt.slice(0, 16).replace('T', ' ')} UTC, ${duration(seconds)}, ${settings.promptCount} prompts`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header>
<p class="over">${escapeHtml(over)}</p>
${warnings(result).map(warning).join('\n')}
<h1>${title}</h1>
${verdicts(result.verdict)}
${assurances(result)
  .map((line) => `<p>${escapeHtml(line)}</p>`)
  .join('\n')}
</header>
<main>
${sections(result, result)}
${timelines(result)}
${costs(result)}
${(result.further ?? []).map((further) => atTemperature(result, further)).join('\n')}
${peers(result)}
<section>
<h2>How this was made</h2>
${table(originTable(result), 'origin')}
</section>
</main>
</body>
</html>
`;
}

/** Text for an element or a quoted attribute. */
export function escapeHtml(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return visible(text).replace(/[&<>"']/g, (character) => entities[character]!);
}

function warning({ title, lines }: { title: string; lines: string[] }): string {
  const items = lines.map((line) => `<li>${escapeHtml(line)}</li>`).join('');
  return `<div class="warning" role="alert"><strong>${escapeHtml(title)}</strong><ul>${items}</ul></div>`;
}

function verdicts(all: readonly Verdict[]): string {
  if (all.length === 0) return '';
  const cards = all.map((verdict) => {
    const lines = criteria(verdict).map(({ name, answer, figures }) => {
      const mark = { met: '✓', 'not met': '✗', inconclusive: '?' }[answer];
      return `<div><dt>${name}: <span class="answer ${answer.replace(' ', '-')}">${mark} ${answer}</span></dt><dd>${escapeHtml(figures)}</dd></div>`;
    });
    const summary = verdict.summary.map((line) => `<p>${escapeHtml(line)}</p>`).join('');
    return `<div class="verdict"><h3>${escapeHtml(verdict.arm)}</h3><dl>${lines.join('')}</dl>${summary}</div>`;
  });
  return `<div class="verdicts">${cards.join('\n')}</div>`;
}

/** What was found at one temperature. */
function sections(result: BenchResult, findings: BenchFindings): string {
  const heading = headings(result, findings);
  const kinds = legend(kindsOf(findings).map((kind) => ({ title: kind, colour: kindColour(kind) })));
  const phases = legend(PHASES.map(({ title, colour }) => ({ title, colour })));
  return [
    section(
      heading.speed,
      EXPLANATIONS.speed,
      panels(speedPlots(result, findings)),
      folded('Tokens per second, as a table', speedTable(result, findings)),
    ),
    section(
      heading.ratios,
      EXPLANATIONS.ratios,
      panels(ratioPlots(result, findings)),
      folded('All comparisons, as a table', comparisonTable(findings)),
    ),
    section(
      heading.regret,
      EXPLANATIONS.regret,
      kinds,
      panels(regretPlots(result, findings)),
      folded('Time regret, as a table', regretTable(result, findings)),
    ),
    section(
      heading.acceptance,
      EXPLANATIONS.acceptance,
      panels([...acceptancePlot(result, findings), ...lengthPlots(result, findings)]),
    ),
    section(heading.positions, EXPLANATIONS.positions, panels(positionPlots(result, findings))),
    section(
      heading.phases,
      EXPLANATIONS.phases,
      phases,
      panels(phasePlots(result, findings)),
      folded('Acceptance, depth and phases, as a table', stepTable(result, findings)),
    ),
    section(heading.gaps, EXPLANATIONS.gaps, table(gapTable(result, findings))),
    section(heading.depth, EXPLANATIONS.depth, panels(depthPlots(result, findings))),
    section(
      heading.all,
      EXPLANATIONS.all,
      table(allTable(result, findings)),
      table(stepTable(result, findings.all)),
      folded('Tokens per second by kind, loops included', allSpeedTable(result, findings)),
      folded('All comparisons, loops included', comparisonTable(findings.all)),
      folded('Time regret, loops included', regretTable(result, findings.all)),
    ),
  ].join('\n');
}

/** A section, or nothing where there is nothing to show. */
function section(heading: string, explanation: { what: string; plot: string }, ...content: string[]): string {
  // A legend alone shows nothing.
  if (!content.some((part) => part.includes('<svg') || part.includes('<table'))) return '';
  return `<section>
<h2>${escapeHtml(heading)}</h2>
<p class="explanation">${explanation.what} ${explanation.plot}</p>
${content.join('\n')}
</section>`;
}

function timelines(result: BenchResult): string {
  const kinds = new Set(result.timelines.flatMap(({ steps }) => steps.map(({ kind }) => kind)));
  const parts = result.timelines.map((timeline) => {
    const panel = timelinePlot(timeline);
    return panel ? `${panels([panel])}\n${textOf(timeline)}` : '';
  });
  const colours = [...kinds].map((kind) => ({ title: kind || 'no kind', colour: kindColour(kind) }));
  return section(headings(result).timelines, EXPLANATIONS.timelines, legend(colours), ...parts);
}

/** A timeline's text, a span for each step. */
function textOf({ arm, promptId, steps }: BenchResult['timelines'][number]): string {
  const spans = steps.map(({ text, kind, depth, accepted }) => {
    const shown = escapeHtml(text).replaceAll('⏎', '⏎\n');
    return `<span style="border-bottom-color:${kindColour(kind)}" title="K ${depth}, ${accepted} accepted">${shown}</span>`;
  });
  return `<details><summary>The text of ${escapeHtml(arm)} on ${escapeHtml(promptId)}, step by step</summary><div class="steps">${spans.join('')}</div></details>`;
}

function costs(result: BenchResult): string {
  const plots = costPlots(result.costs);
  return section(
    headings(result).costs,
    EXPLANATIONS.costs,
    panels(plots),
    folded('v(n), as a table', costTable(result)),
  );
}

function atTemperature(result: BenchResult, findings: BenchFindings & { temperature: number }): string {
  return `<section>
<h2 class="chapter">At temperature ${findings.temperature}: ${escapeHtml(headline(findings))}</h2>
${verdicts(findings.verdict)}
${sections(result, findings)}
</section>`;
}

function peers(result: BenchResult): string {
  return section(
    'Engines of others',
    {
      what: 'Each in its own process, with the same models, prompts, threads and numbers of tokens.',
      plot: '',
    },
    table(peerTable(result)),
  );
}

function panels(all: readonly Panel[]): string {
  if (all.length === 0) return '';
  const figures = all.map(({ title, svg, wide }) => {
    // What scrolls can be reached by keyboard.
    const drawing = wide ? `<div class="drawing" tabindex="0">${svg}</div>` : svg;
    return `<figure${wide ? ' class="wide"' : ''}><figcaption>${escapeHtml(title)}</figcaption>${drawing}</figure>`;
  });
  return `<div class="panels">${figures.join('\n')}</div>`;
}

function legend(entries: readonly { title: string; colour: string }[]): string {
  const items = entries.map(
    ({ title, colour }) => `<li><i style="background:${colour}"></i>${escapeHtml(title)}</li>`,
  );
  return `<ul class="legend">${items.join('')}</ul>`;
}

function folded(title: string, rows: Table): string {
  if (rows.rows.length === 0) return '';
  return `<details><summary>${title}</summary>${table(rows)}</details>`;
}

function table({ header, text, rows }: Table, name = ''): string {
  if (rows.length === 0) return '';
  const cells = (tag: string, row: readonly string[]) =>
    row.map((cell, i) => `<${tag}${i < text ? ' class="word"' : ''}>${escapeHtml(cell)}</${tag}>`).join('');
  const head = header.some((cell) => cell !== '') ? `<thead><tr>${cells('th', header)}</tr></thead>` : '';
  const body = rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('\n');
  return `<div class="scroll" tabindex="0"><table class="${name}">${head}<tbody>${body}</tbody></table></div>`;
}
