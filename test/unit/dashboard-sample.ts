// A made-up server for the dashboard: texts of several kinds, drafted and accepted by numbers from a seed, at known costs.

import type { StepReport } from '../../lib/control/controller.js';
import type { CostTable } from '../../lib/control/costs.js';
import { HeuristicController } from '../../lib/control/heuristic-controller.js';
import type { GenerationResult } from '../../lib/result.js';
import type { ServerState } from '../../lib/serve/state.js';
import { FakeEngine } from './fake-engine.js';
import { requestInfo, stepReport } from './step-report.js';

/** Two rows cost little more than one; a riser behind eight. */
export const COSTS: CostTable = {
  target: [1, 2, 4, 8, 9, 16, 17, 33].map((rows) => ({
    rows,
    contextLength: 0,
    ms: 8 + 0.35 * rows + (rows > 8 ? 2.5 : 0) + (rows > 16 ? 3 : 0),
  })),
  draft: { msPerToken: 0.9, threads: 1, startMs: 0.4 },
  overheadMs: 0.3,
  rebuildMs: 0.2,
  callbackMs: 0.05,
};

/** Text, and how much of it a drafter gets right. */
const PARTS: readonly (readonly [acceptance: number, text: string])[] = [
  [
    0.55,
    'Here is a function that counts the words of a text. It splits at white space, drops what is empty, and keeps the rest in a map, so that the commonest can be found without sorting all of them:\n\n',
  ],
  [
    0.9,
    '```js\nexport function countWords(text) {\n  const counts = new Map();\n  for (const word of text.toLowerCase().split(/\\s+/)) {\n    if (word === "") continue;\n    counts.set(word, (counts.get(word) ?? 0) + 1);\n  }\n  return counts;\n}\n```\n\n',
  ],
  [0.5, 'It gives, for the first line of a well-known poem, a map that reads as JSON like this:\n\n'],
  [
    0.85,
    '```json\n{\n  "tyger": 2,\n  "burning": 1,\n  "bright": 1,\n  "in": 1,\n  "the": 2,\n  "forests": 1,\n  "of": 1,\n  "night": 1\n}\n```\n\n',
  ],
  [
    0.7,
    'Three things to note:\n\n- Case is folded, so "The" and "the" are one word.\n- Punctuation stays on its word.\n- The map keeps the order in which words came.\n\n',
  ],
  [
    0.6,
    'Where n is the number of words, it takes O(n) steps, and the map holds at most n entries, so \\(m \\le n\\) and \\(\\sum_{i=1}^{m} c_i = n\\).\n',
  ],
];

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}

/** An engine that knows the pieces of `PARTS` as its tokens, and what steps cost. */
export class SampleEngine extends FakeEngine {
  override readonly costs = COSTS as never;
  readonly #pieces: string[] = [];

  constructor(parallel = 2) {
    super({
      description: 'llama 135M Q4_1',
      threads: 8,
      kernels: 'avx512',
      contextSize: 4096,
      maxDepth: 32,
      parallel,
      vocabularySize: 100_000,
    });
  }

  /** The id of a piece of text. */
  idOf(piece: string): number {
    const known = this.#pieces.indexOf(piece);
    return known >= 0 ? known : this.#pieces.push(piece) - 1;
  }

  override detokenize(tokens: Int32Array | readonly number[]): string {
    return Array.from(tokens, (token) => this.#pieces[token] ?? '�').join('');
  }
}

/** The reports of a request that writes `parts`, with a K that follows what was accepted. */
export function* sampleReports(
  engine: SampleEngine,
  seed: number,
  parts: readonly (readonly [number, string])[] = PARTS,
): Generator<StepReport, void, undefined> {
  const next = random(seed);
  const tokens = parts.flatMap(([acceptance, text]) =>
    [...text.matchAll(/\s*\S{1,5}|\s+/g)].map(([piece]) => ({ piece, acceptance })),
  );
  const controller = new HeuristicController();
  controller.begin(requestInfo({ maxDepth: 12 }));
  let depth = 5;
  for (let at = 0, step = 1; at < tokens.length; step++) {
    const left = tokens.length - at - 1;
    const drafted = Math.min(depth, left);
    let accepted = 0;
    while (accepted < drafted && next() < tokens[at + accepted]!.acceptance) accepted++;
    const emitted = tokens.slice(at, at + accepted + 1);
    const wrong = ['ly', ' and', ' (the', ' of', '0'];
    const draft = Array.from({ length: drafted }, (_, i) =>
      i < accepted ? tokens[at + i]!.piece : wrong[(at + i) % wrong.length]!,
    );
    const report = stepReport({
      step,
      position: at + emitted.length,
      depth,
      drafted,
      accepted,
      draftTokens: Int32Array.from(draft, (piece) => engine.idOf(piece)),
      tokens: Int32Array.from(emitted, ({ piece }) => engine.idOf(piece)),
      text: emitted.map(({ piece }) => piece).join(''),
      draftMs: drafted > 0 ? 0.4 + 0.9 * drafted : 0,
      verifyMs: 8 + 0.35 * (drafted + 1) + (drafted > 7 ? 2.5 : 0) + next(),
      otherMs: 0.3,
      contextLength: 40 + at,
      drafter: drafted > 0 ? 'model' : '',
    });
    yield report;
    depth = Number(controller.nextPlan(report));
    at += emitted.length;
  }
}

/** Tells a server's state of a request, a step at a time. */
export function* tellingRequest(
  state: ServerState,
  id: string,
  reports: Iterable<StepReport>,
  { controller = 'adaptive', kind = 'chat' as const } = {},
): Generator<void, void, undefined> {
  state.emit('begin', { id, kind, model: 'sample', promptTokens: 40, controller, maxTokens: 512 });
  state.emit('step', id, stepReport({ contextLength: 40 }));
  for (const report of reports) {
    state.emit('step', id, report);
    yield;
  }
  state.emit('end', id, { finishReason: 'stop' } as GenerationResult, undefined);
}

/** Tells of a whole request at once. */
export function tellRequest(...parts: Parameters<typeof tellingRequest>): void {
  for (const _ of tellingRequest(...parts));
}
