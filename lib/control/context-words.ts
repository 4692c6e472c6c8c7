// Words that tell kinds of text apart. English and the common programming languages; other languages go by structure.

import type { ContextKind } from './context-kind.js';

/** Words that begin a line of code far more often than a line of anything else. Case counts. */
export const CODE_LINE_STARTS: ReadonlySet<string> = new Set(
  (
    'abstract assert async auto await bool break case char class const continue def defer do double elif else enum ' +
    'except export extends extern final finally float fn for from func function go goto if impl implements import ' +
    'int interface let long match mod module mut namespace new package pass print printf private protected public ' +
    'raise require return self static std struct super switch template this throw try type typedef union unsigned ' +
    'use using var virtual void while with yield ' +
    'SELECT FROM WHERE INSERT INTO VALUES CREATE TABLE UPDATE DELETE DROP ALTER JOIN LEFT INNER GROUP ORDER PRIMARY FOREIGN'
  ).split(' '),
);

/** Words of worked mathematics, in lower case. */
export const MATH_WORDS: ReadonlySet<string> = new Set(
  (
    'algebra antiderivative arctan calculate calculated calculating calculus circumference coefficient compute conjecture contradiction cosine cubic denominator derivative diameter differentiate ' +
    'divide divided dividing divisible equals equation equations exponent expression factorial formula fraction hence hypotenuse ' +
    'inequality induction integer integers integral integrate integrating lemma logarithm minus modulo multiply ' +
    'multiplied multiplying numerator odd parabola perimeter plus polynomial prime primes proof prove quadratic quotient ' +
    'radius rectangle remainder simplify sine solve solving square sqrt subtract subtracting sum theorem therefore triangle variable'
  ).split(' '),
);

/** What requests for a kind of text are made of, in lower case. */
export const REQUEST_WORDS: ReadonlyMap<string, ContextKind> = new Map<string, ContextKind>([
  ...wordsOf('json', 'json'),
  ...wordsOf(
    'code',
    'c class code docstring function go golang html implement java javascript method php program python ruby rust ' +
      'script sql swift typescript',
  ),
  ...wordsOf('list', 'bullet bulleted bullets checklist enumerate itinerary list numbered outline steps'),
  ...wordsOf(
    'math',
    'calculate compute derivative differentiate equation evaluate factor integral integrate mean percent prime ' +
      'primes probability proof prove simplify solve sum',
  ),
  ...wordsOf(
    'prose',
    'blog describe dialogue email essay explain letter paragraph poem review speech story tell',
  ),
]);

/** Tags of a code fence that say what is in it. Any other tag is taken for a programming language. */
export const FENCE_TAGS: ReadonlyMap<string, ContextKind | 'open'> = new Map([
  ['json', 'json'],
  ['jsonc', 'json'],
  ['jsonl', 'json'],
  ['json5', 'json'],
  ['geojson', 'json'],
  ['math', 'math'],
  ['latex', 'math'],
  ['tex', 'math'],
  // These can hold anything: what is in them is judged as it comes.
  ['', 'open'],
  ['text', 'open'],
  ['txt', 'open'],
  ['plain', 'open'],
  ['plaintext', 'open'],
  ['markdown', 'open'],
  ['md', 'open'],
  ['output', 'open'],
]);

function wordsOf(kind: ContextKind, words: string): [string, ContextKind][] {
  return words.split(' ').map((word) => [word, kind]);
}
