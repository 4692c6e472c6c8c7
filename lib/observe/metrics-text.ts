// Reads what a server's /metrics says: samples in Prometheus' text format, and nothing but the samples.

/** One line: a name, its labels, and a number. */
export interface Sample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

/** A name, labels in braces where it has some, and a number. A quoted value may have braces in it. */
const LINE = /^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"/g;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', '"': '"', '\\': '\\' };

/** Samples of a text; comments, empty lines and lines that are none are passed over. */
export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const match = line.startsWith('#') ? null : LINE.exec(line);
    if (!match) continue;
    const value = numberOf(match[3]!);
    if (value === undefined) continue;
    const labels: Record<string, string> = {};
    for (const [, name, quoted] of (match[2] ?? '').matchAll(LABEL))
      labels[name!] = quoted!.replaceAll(/\\(.)/g, (whole, letter: string) => ESCAPES[letter] ?? whole);
    samples.push({ name: match[1]!, labels, value });
  }
  return samples;
}

function numberOf(text: string): number | undefined {
  if (/^[+-]?Inf(inity)?$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  if (/^NaN$/i.test(text)) return Number.NaN;
  const value = Number(text);
  return Number.isNaN(value) ? undefined : value;
}
