// How often the context-kind classifier is right, character by character, on texts whose kinds are known.
//
//   node bench/context-kind.mjs [--skip 100] [--lines] [--list 0] FILE.jsonl
//
// A line of the file is {"kind", "text", "prompt"?} or {"parts": [{"kind", "text"}, …], "prompt"?}. The first --skip
// characters of each text, and of each part after the first, are not counted. With --lines the texts' lines are
// labelled first (bench/context-labels.mjs), for an answer to a prompt of one kind seldom is of that kind throughout.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CONTEXT_KINDS, ContextKindClassifier } from '../dist/control/context-kind.js';
import { main } from '../scripts/steps.mjs';
import { labelLines } from './context-labels.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    skip: { type: 'string', default: '100' },
    lines: { type: 'boolean', default: false },
    /** Prints so many of the texts that are wrong most often, with where. */
    list: { type: 'string', default: '0' },
  },
});

await main(async () => {
  if (positionals.length !== 1) throw new Error('Give one file of JSON lines');
  const skip = Number(options.skip);
  const counts = new Map();
  const texts = [];
  const classifier = new ContextKindClassifier();
  for (const line of readFileSync(positionals[0], 'utf8').trim().split('\n')) {
    const { kind, text, prompt = '', parts: given = [{ kind, text }] } = JSON.parse(line);
    const parts = options.lines && kind !== undefined ? labelLines(kind, text) : given;
    const guesses = [];
    classifier.begin(prompt);
    for (const part of parts) {
      for (let i = 0; i < part.text.length; i++) {
        classifier.push(part.text[i]);
        guesses.push(classifier.kind);
      }
    }
    let at = 0;
    let wrong = 0;
    for (const part of parts) {
      for (let i = skip; i < part.text.length; i++) {
        const guess = guesses[at + i];
        const row = counts.get(part.kind) ?? new Map();
        row.set(guess, (row.get(guess) ?? 0) + 1);
        counts.set(part.kind, row);
        if (guess !== part.kind) wrong++;
      }
      at += part.text.length;
    }
    texts.push({ parts, guesses, wrong });
  }
  print(counts);
  const all = texts.map(({ parts }) => parts.map((part) => part.text).join('')).join('\n');
  console.log(`${nanosecondsOf(all).toFixed(0)} ns a character, in pieces of five`);
  texts.sort((a, b) => b.wrong - a.wrong);
  for (const worst of texts.slice(0, Number(options.list))) show(worst);
});

/** Time of a character, the least of five runs, so that neither a cold start nor a neighbour is measured. */
function nanosecondsOf(text) {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 5; run++) {
    const classifier = new ContextKindClassifier();
    const started = performance.now();
    for (let i = 0; i < text.length; i += 5) classifier.push(text.slice(i, i + 5));
    least = Math.min(least, (1e6 * (performance.now() - started)) / text.length);
  }
  return least;
}

/** Rows are what the text is, columns what it was taken for, in % of the row. */
function print(counts) {
  console.log(
    `${'is \\ taken for'.padEnd(16)}${CONTEXT_KINDS.map((kind) => kind.padStart(8)).join('')}   characters`,
  );
  let right = 0;
  let all = 0;
  for (const [kind, row] of counts) {
    const sum = [...row.values()].reduce((a, b) => a + b, 0);
    right += row.get(kind) ?? 0;
    all += sum;
    const cells = CONTEXT_KINDS.map((guess) => (((row.get(guess) ?? 0) / sum) * 100).toFixed(1).padStart(8));
    console.log(`${kind.padEnd(16)}${cells.join('')}   ${sum}`);
  }
  console.log(`right: ${((right / all) * 100).toFixed(1)} % of ${all} characters`);
}

/** A text with the kind in brackets wherever it changes. */
function show({ parts, guesses }) {
  const text = parts.map((part) => part.text).join('');
  let shown = `\n### ${parts.map((part) => part.kind).join(', ')}\n`;
  for (let i = 0; i < text.length; i++) {
    if (i === 0 || guesses[i] !== guesses[i - 1]) shown += `⟦${guesses[i]}⟧`;
    shown += text[i];
  }
  console.log(shown);
}
