// Labels the lines of an answer with kinds of text, knowing all of it and what was asked for.

/** A line that begins like code outside a fence. */
const CODE_LINE = /[;{}]$|^(def|class|import|from|return|const|let|#include|fn|func)\b|^\s{2,}\S/;
const JSON_LINE = /^\s*[{[\]}"]/;
const FORMULA = /[=^≈≤≥∑∫√]|\d\s*[-+*/×÷]\s*[\d(]/;
const LIST_LINE = /^\s*([-*+•]|\d{1,3}[.)])(\s|$)/;

/**
 * Parts of `text` with their kinds, for an answer to a prompt of `kind`. Fences hold JSON if JSON was asked for,
 * otherwise code. Outside them lines are told apart by how they begin, and the rest is prose. Where mathematics was
 * asked for, a line with a formula and the lines next to it are mathematics; the rest, definitions say, is prose.
 */
export function labelLines(kind, text) {
  const fenced = kind === 'json' ? 'json' : 'code';
  const parts = [];
  let open = false;
  const lines = text.split(/(?<=\n)/);
  const full = lines.filter((line) => line.trim() !== '');
  let place = -1;
  for (const line of lines) {
    if (line.trim() !== '') place++;
    const isMath =
      kind === 'math' && full.slice(Math.max(0, place - 1), place + 2).some((l) => FORMULA.test(l));
    const isFence = /^\s*```/.test(line);
    const before = parts.at(-1)?.kind;
    let label = 'prose';
    if (open || isFence) label = fenced;
    else if (line.trim() === '') label = before ?? 'prose';
    else if (kind === 'json' && JSON_LINE.test(line)) label = 'json';
    else if (kind === 'code' && CODE_LINE.test(line.trimEnd())) label = 'code';
    else if (isMath) label = 'math';
    else if (LIST_LINE.test(line)) label = 'list';
    if (isFence) open = !open;
    if (label === before) parts.at(-1).text += line;
    else parts.push({ kind: label, text: line });
  }
  return parts;
}
