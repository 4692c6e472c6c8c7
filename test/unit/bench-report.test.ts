// The benchmark's report as files: texts of others stay text in every form, and the figures arrive whole.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BenchResult } from '../../lib/bench/bench-result.js';
import { csvCell, figuresCsv, runsCsv } from '../../lib/bench/render/csv.js';
import { headings, headline, warnings } from '../../lib/bench/render/findings.js';
import { duration, interval, number } from '../../lib/bench/render/format.js';
import { escapeHtml, htmlReport } from '../../lib/bench/render/html.js';
import { escapeMarkdown, markdownReport } from '../../lib/bench/render/markdown.js';
import { renderReport } from '../../lib/bench/render/render.js';
import { visible } from '../../lib/bench/render/visible.js';
import { change } from '../../lib/percent.js';
import { HOSTILE, madeUpResult } from './bench-result-sample.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-report-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A result in which every text that anybody but us can choose is hostile. */
function hostileResult(): BenchResult {
  const result = structuredClone(madeUpResult());
  const arm = `auto${HOSTILE}`;
  const renamed = JSON.stringify(result).replaceAll('"auto"', JSON.stringify(arm));
  const hostile = JSON.parse(renamed) as BenchResult;
  hostile.command = HOSTILE;
  hostile.settings.prompts = HOSTILE;
  hostile.environment = { cpu: HOSTILE, [HOSTILE]: { [HOSTILE]: [HOSTILE] } };
  hostile.fitness = { fit: false, reasons: [HOSTILE], loadOfOthers: null, spread: 0.2 };
  hostile.equality = { equal: false, compared: 3, differing: [{ promptId: HOSTILE, arm, at: 4 }] };
  hostile.verdict[0]!.summary = [HOSTILE];
  hostile.peers = [{ name: HOSTILE, setting: HOSTILE, kind: HOSTILE, tokensPerSecond: 1, note: HOSTILE }];
  for (const timeline of hostile.timelines) {
    timeline.promptId = HOSTILE;
    for (const step of timeline.steps) {
      step.text = HOSTILE;
      step.kind = HOSTILE;
    }
  }
  for (const run of hostile.runs) run.promptId = `=HYPERLINK("https://example.invalid","${HOSTILE}")`;
  return hostile;
}

describe('a cell of CSV', () => {
  it.each([
    ['plain', 'plain'],
    ['a,b', '"a,b"'],
    ['a;b', '"a;b"'],
    ['say "so"', '"say ""so"""'],
    ['two\nlines', '"two\nlines"'],
    ['two\r\nlines', '"two\r\nlines"'],
    ['', ''],
    ['=1+1', "'=1+1"],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1', '"\'\t=1"'],
    ['\r=1', '"\'\r=1"'],
    ['=a,"b"', '"\'=a,""b"""'],
  ])('of the text %j is %j', (text, cell) => {
    expect(csvCell(text)).toBe(cell);
  });

  it('leaves numbers numbers, negative ones too, and nothing empty', () => {
    expect([-1.5, 1e-9, Number.NaN, Number.POSITIVE_INFINITY, null, undefined].map(csvCell)).toEqual([
      '-1.5',
      '1e-9',
      '',
      '',
      '',
      '',
    ]);
  });
});

describe('the CSV files', () => {
  it('have a line per run, and as many cells in each as in the header', () => {
    const result = madeUpResult();
    const lines = linesOf(runsCsv(result));
    expect(lines).toHaveLength(result.runs.length + 1);
    expect(new Set(lines.map((line) => line.length))).toEqual(new Set([lines[0]!.length]));
    const first = Object.fromEntries(lines[0]!.map((name, i) => [name, lines[1]![i]]));
    expect(first).toMatchObject({
      arm: 'plain',
      prompt: 'code-1',
      before_loop_tokens: '160',
      before_loop_decode_ms: String(result.runs[0]!.beforeLoop.decodeMs),
      all_other_ms: String(result.runs[0]!.all.otherMs),
      loop_at: '',
    });
  });

  it('have a line per arm, kind and temperature, with each place of the draft', () => {
    const result = madeUpResult();
    const lines = linesOf(figuresCsv(result));
    expect(lines).toHaveLength(2 * result.figures.length + 1);
    const at = lines.findIndex(([arm, kind]) => arm === 'fixed:16' && kind === 'all');
    const cells = Object.fromEntries(lines[0]!.map((name, i) => [name, lines[at]![i]]));
    const figures = result.figures.find(({ arm, kind }) => arm === 'fixed:16' && kind === 'all')!;
    expect(Number(cells.acceptance_at_16)).toBe(figures.acceptanceByPosition[15]);
    expect(Number(cells.share_of_length_17)).toBe(figures.acceptedLengthShares[16]);
    expect(Number(cells.tokens_per_second_low)).toBe(figures.tokensPerSecond.low);
    expect(Number(cells.depth_from_16)).toBe(figures.depthByPosition[1]);
  });

  it('have the figures of all tokens beside those before the first loop', () => {
    const result = madeUpResult();
    const lines = linesOf(figuresCsv(result));
    expect(new Set(lines.map((line) => line.length))).toEqual(new Set([lines[0]!.length]));
    expect(new Set(lines[0]).size).toBe(lines[0]!.length);
    const at = lines.findIndex(([arm, kind]) => arm === 'auto' && kind === 'prose');
    const cells = Object.fromEntries(lines[0]!.map((name, i) => [name, lines[at]![i]]));
    for (const [prefix, part] of [['', result] as const, ['all_', result.all] as const]) {
      const own = (one: { arm: string; kind: string }) => one.arm === 'auto' && one.kind === 'prose';
      const figures = part.figures.find(own)!;
      const ratio = part.comparisons.find((one) => own(one) && one.against === 'best fixed')!.ratio;
      const told = [
        ['acceptance_rate', figures.acceptanceRate],
        ['mean_acceptance_length', figures.meanAcceptanceLength],
        ['acceptance_at_2', figures.acceptanceByPosition[1]],
        ['share_of_length_1', figures.acceptedLengthShares[0]],
        ['depth_from_32', figures.depthByPosition[2]],
        ['token_gap_ms_p95', figures.tokenGapMs.p95],
        ['verify_share', figures.phases.verify],
        ['of_best_fixed', ratio.value],
        ['of_best_fixed_low', ratio.low],
        ['time_regret', part.regret.find(own)!.value],
      ] as const;
      for (const [name, value] of told) expect(Number(cells[prefix + name]), prefix + name).toBe(value);
    }
    expect(cells.all_acceptance_rate).not.toBe(cells.acceptance_rate);
  });

  it('hold hostile texts as text', () => {
    for (const line of linesOf(runsCsv(hostileResult())).slice(1)) expect(line[1]).toMatch(/^'=HYPERLINK/);
  });
});

describe('Markdown', () => {
  it('shows signs of its own as they are', () => {
    expect(escapeMarkdown('a|b *c* _d_ `e` [f](g) <h> #i ~j~ \\k')).toBe(
      'a\\|b \\*c\\* \\_d\\_ \\`e\\` \\[f\\](g) \\<h\\> \\#i \\~j\\~ \\\\k',
    );
    expect(escapeMarkdown('two\nlines')).toBe('two⏎lines');
  });

  it('keeps its tables whole, whatever they hold', () => {
    const lines = markdownReport(hostileResult()).split('\n');
    const tables = lines.join('\n').match(/(^\|.*\n)+/gm)!;
    expect(tables.length).toBeGreaterThan(5);
    for (const table of tables) {
      const widths = table
        .trim()
        .split('\n')
        .map((line) => line.replace(/\\./g, '').split('|').length);
      expect(new Set(widths).size).toBe(1);
    }
    // What is left without the escaped signs is no markup.
    expect(lines.join('\n').replace(/\\./g, '')).not.toMatch(/<|`|!\[/);
  });
});

describe('HTML', () => {
  it('has hostile text as text only, in the page and in its plots', () => {
    const page = htmlReport(hostileResult());
    expect(page).not.toMatch(/<(script|img|b|iframe)\b/i);
    expect(page).not.toContain('</script');
    expect(page).toContain('&lt;/script&gt;&lt;img src=&quot;https://example.invalid/x.png&quot;');
    // In plots, too: xmldom writes them.
    expect(page).toMatch(/<title>[^<]*&lt;\/script&gt;/);
    for (const control of ['\0', '\x1b']) expect(page).not.toContain(control);
  });

  it('loads nothing from anywhere', () => {
    const page = htmlReport(madeUpResult());
    const tags = page.match(/<[a-z][^>]*>/gi)!.join('\n');
    const style = page.match(/<style>.*?<\/style>/gs)!.join('\n');
    expect(tags.match(/\b(?:\w+:)?(?:src|href|srcset|action|data|poster)\s*=\s*"[^"]*"/gi)).toEqual([
      'href="data:,"',
    ]);
    expect(tags).not.toMatch(/\son\w+\s*=/i);
    expect(`${style}${tags}`).not.toMatch(/url\(|@import|https?:(?!\/\/www\.w3\.org\/2000\/svg")/i);
    expect(page).toContain("default-src 'none'");
  });

  it('escapes what ends an attribute or element', () => {
    expect(escapeHtml(`<a href='x' title="y">&`)).toBe('&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;');
  });

  it('says verdict, equality, machine, models, seeds and command', () => {
    const page = htmlReport(madeUpResult());
    for (const part of [
      'throughput',
      'Every arm gave plain decoding&#39;s tokens (392 runs compared).',
      'A made-up CPU &lt;8 cores&gt;',
      'a'.repeat(64),
      'b'.repeat(64),
      '11, 12',
      'adaptive-spec bench --profile quick --out report',
    ]) {
      expect(page).toContain(part);
    }
  });
});

describe('text made visible', () => {
  it('shows control characters, and replaces halves of characters and turns of direction', () => {
    expect(visible('a\nb\tc\0d\x1b')).toBe('a⏎b␉c␀d␛');
    expect(visible('\ud83d x \ude00 😀')).toBe('\ufffd x \ufffd 😀');
    expect(visible('abc\u202edef\u2066')).toBe('abc\ufffddef\ufffd');
  });
});

describe('numbers', () => {
  it('have their sign, unit and interval, and a dash where there are none', () => {
    expect(change(0.123)).toBe('+12.3 %');
    expect(change(-0.0312)).toBe('−3.1 %');
    expect(change(0.0001)).toBe('±0.0 %');
    expect(number(Number.NaN)).toBe('–');
    expect(number(null)).toBe('–');
    expect(interval({ value: 2, low: 1, high: 3 })).toBe('2.0 (1.0 to 3.0)');
    expect(interval({ value: 2, low: 2, high: 2, prompts: 1 })).toBe('2.0');
    expect(duration(59.4)).toBe('59 s');
    expect(duration(431.2)).toBe('7 min 11 s');
  });
});

describe('what the report says', () => {
  it('leads with the verdict on auto', () => {
    const result = madeUpResult();
    const verdict = result.verdict.find(({ arm }) => arm === 'auto')!;
    verdict.gain = { value: -0.021, low: -0.04, high: 0.01 };
    expect(headline(result)).toBe(
      `auto decodes 2.1 % slower than ${verdict.bestFixed}, the best fixed depth: throughput not met, spread met`,
    );
  });

  it('warns of all that forbids believing it', () => {
    const result = madeUpResult({ fit: false });
    result.equality = {
      equal: false,
      compared: 30,
      differing: Array.from({ length: 25 }, (_, at) => ({ promptId: 'code-1', arm: 'auto', at })),
    };
    result.partial = { reason: 'interrupted', groupsMeasured: 3, groupsPlanned: 10 };
    expect(warnings(result).map(({ title }) => title)).toEqual([
      'This run is unfit: do not quote its figures',
      "Some arms gave other tokens than plain decoding's",
      'This run is not complete',
    ]);
    expect(warnings(result)[1]!.lines.at(-1)).toBe('and 5 more');
    expect(markdownReport(result)).toContain('> **This run is unfit');
    expect(warnings(madeUpResult())).toEqual([]);
  });

  it('tells all tokens apart, in Markdown and in HTML, and leaves the verdict to those before the loop', () => {
    const result = madeUpResult();
    const { all } = result;
    const own = (one: { arm: string; kind: string }) => one.arm === 'auto' && one.kind === 'all';
    const figures = all.figures.find(own)!;
    figures.acceptanceRate = 0.987;
    figures.tokensPerSecond = { value: 543.21, low: 540, high: 545, prompts: 28 };
    figures.tokenGapMs = { p50: 0, p95: 7.77, p99: 8.88 };
    all.comparisons.find((one) => own(one) && one.against === 'best fixed')!.ratio.value = 1.2341;
    all.regret.find(own)!.value = -0.0321;
    const heading = `With loops included auto decodes 543.2 tokens per second, +23.4 % over ${result.verdict[0]!.bestFixed}`;
    expect(headings(result).all).toBe(heading);
    const before = headline(result);
    const cells = ['543.2 (540.0 to 545.0)', '1.234', '−3.2 %', '98.7 %', '7.77', '8.88'];
    for (const report of [markdownReport(result), htmlReport(result)]) {
      const from = report.indexOf('With loops included auto');
      expect(from).toBeGreaterThan(0);
      for (const cell of cells) {
        expect(report.slice(0, from)).not.toContain(cell);
        expect(report.slice(from)).toContain(cell);
      }
    }
    expect(headline(result)).toBe(before);
  });

  it('has headings with numbers of the result', () => {
    const result = madeUpResult();
    const figures = result.figures.find(({ arm, kind }) => arm === 'auto' && kind === 'all')!;
    figures.acceptanceRate = 0.444;
    figures.phases.verify = 0.512;
    const heading = headings(result);
    expect(heading.acceptance).toContain('44 %');
    expect(heading.phases).toContain('51 %');
    expect(heading.speed).toContain(`auto ${figures.tokensPerSecond.value.toFixed(1)}`);
  });

  it('comes whole where hardly anything was measured', () => {
    const result = madeUpResult({ bare: true });
    const nothing = { figures: [], comparisons: [], regret: [] };
    Object.assign(result, { ...nothing, all: nothing, verdict: [], timelines: [], runs: [] });
    expect(htmlReport(result)).toContain('No arm was measured');
    expect(markdownReport(result)).toContain('No arm was measured');
    expect(linesOf(runsCsv(result))).toHaveLength(1);
    expect(linesOf(figuresCsv(result))).toHaveLength(1);
  });
});

describe('the files', () => {
  it('are five, in a folder that is made, and the JSON is the result', async () => {
    const result = madeUpResult();
    const files = await renderReport(result, join(folder, 'new', 'report'));
    expect(files.map((file) => basename(file))).toEqual([
      'result.json',
      'runs.csv',
      'figures.csv',
      'report.md',
      'report.html',
    ]);
    expect(JSON.parse(readFileSync(files[0]!, 'utf8'))).toEqual(result);
  });

  it('are refused with a hint where the folder is a file', async () => {
    const path = join(folder, 'file');
    writeFileSync(path, '');
    await expect(renderReport(madeUpResult(), path)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      hint: 'Name a folder that can be written to.',
    });
  });
});

/** A reader of CSV as strict as RFC 4180. */
function linesOf(csv: string): string[][] {
  const lines: string[][] = [];
  let line: string[] = [];
  for (const [, quoted, bare, end] of csv.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    line.push(quoted?.replaceAll('""', '"') ?? bare ?? '');
    if (end === ',') continue;
    lines.push(line);
    line = [];
  }
  return lines;
}
