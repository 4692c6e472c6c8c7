// Keeps training prompts apart from the benchmark's, and from each other.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const BENCH = join(import.meta.dirname, '../../bench/prompts/dev.jsonl');
/** A prompt that shares this part of a benchmark prompt's word triples, or of its own, is a near copy. */
const MOST_SHARED = 0.4;

/** The texts that nothing may be trained on. */
export function benchPrompts(file = BENCH) {
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).prompt);
}

export class Overlap {
  #bench;
  #known = new Set();

  /** @param {string[]} bench */
  constructor(bench) {
    this.#bench = bench.map(triplesOf);
  }

  add(text) {
    this.#known.add(normalised(text));
  }

  /** False for a near copy of a benchmark prompt and for a prompt that is known. */
  isNew(text) {
    if (this.#known.has(normalised(text))) return false;
    return this.worst(text) < MOST_SHARED;
  }

  /** Largest share of word triples in common with one benchmark prompt, of that prompt's or of the text's. */
  worst(text) {
    const own = triplesOf(text);
    let worst = 0;
    for (const bench of this.#bench) {
      let shared = 0;
      for (const triple of bench) if (own.has(triple)) shared++;
      worst = Math.max(worst, shared / bench.size, own.size > 0 ? shared / own.size : 0);
    }
    return worst;
  }
}

function normalised(text) {
  return wordsOf(text).join(' ');
}

function wordsOf(text) {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

function triplesOf(text) {
  const words = wordsOf(text);
  const triples = new Set();
  for (let i = 0; i + 3 <= words.length; i++) triples.add(words.slice(i, i + 3).join(' '));
  return triples;
}
