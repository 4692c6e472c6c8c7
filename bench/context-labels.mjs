// Labels the lines of an answer with kinds of text, knowing all of it and what was asked for.

/** A line that begins like code outside a fence. */
const CODE_LINE = /[;{}]$|^(def|class|import|from|return|const|let|#include|fn|func)\b|^\s{2,}\S/;
const JSON_LINE = /^\s*[{[\]}"]/;
const LIST_LINE = /^\s*([-*+•]|\d{1,3}[.)])(\s|$)/;

/**
 * Parts of `text` with their kinds, for an answer to a prompt of `kind`. Fences hold JSON if JSON was asked for,
 * otherwise code. Outside them lines are told apart by how they begin; what is left is prose, or mathematics where
 * that was asked for, the words between formulas included.
 */
export function labelLines(kind, text) {
  const fenced = kind === 'json' ? 'json' : 'code';
  const parts = [];
  let open = false;
  for (const line of text.split(/(?<=\n)/)) {
    const isFence = /^\s*```/.test(line);
    const before = parts.at(-1)?.kind;
    let label = kind === 'math' ? 'math' : 'prose';
    if (open || isFence) label = fenced;
    else if (line.trim() === '') label = before ?? 'prose';
    else if (kind === 'json' && JSON_LINE.test(line)) label = 'json';
    else if (kind === 'code' && CODE_LINE.test(line.trimEnd())) label = 'code';
    else if (kind !== 'math' && LIST_LINE.test(line)) label = 'list';
    if (isFence) open = !open;
    if (label === before) parts.at(-1).text += line;
    else parts.push({ kind: label, text: line });
  }
  return parts;
}
