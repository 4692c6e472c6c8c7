// What may differ between two greedy texts of different sums: the choice between two tokens whose logits are equal
// within float noise. Sequences that share a cache are summed in another order than alone, and each set of kernels has
// an order of its own.
import { expect } from 'vitest';
import { createEngine, type Engine } from '../../lib/index.js';

/** Ties that tests came across, by test name; printed by `reportTies`. */
const found: { where: string; at: number; gap: number }[] = [];

/** Measures how far apart the two best logits of a model are. The model drafts for itself: a draft tells its margins. */
export class TieJudge {
  readonly #engine: Engine;
  readonly #noise: number;

  private constructor(engine: Engine, noise: number) {
    this.#engine = engine;
    this.#noise = noise;
  }

  /** `noise`: logits nearer than this are a tie. */
  static async of(model: string, noise: number): Promise<TieJudge> {
    return new TieJudge(await createEngine({ model, draft: model, contextSize: 1024 }), noise);
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  /**
   * Requires that `actual` is `expected`, or that they part at a tie, which is counted.
   * Answers the number of tokens that were compared.
   */
  async expectSame(
    actual: readonly number[],
    expected: readonly number[],
    prompt: Int32Array,
    where: string,
  ): Promise<number> {
    const parting = actual.findIndex((token, i) => token !== expected[i]);
    if (parting < 0) {
      expect(actual.length, where).toBe(expected.length);
      return actual.length;
    }
    const gap = await this.#gap([...prompt, ...actual.slice(0, parting)]);
    expect(gap, `${where}: token ${parting} differs, and is no tie`).toBeLessThan(this.#noise);
    found.push({ where, at: parting, gap });
    return parting;
  }

  /** Distance of the two best logits after `tokens`. */
  async #gap(tokens: number[]): Promise<number> {
    let gap = Number.NaN;
    const off = this.#engine.on('step', ({ probabilities, margins }) => {
      if (probabilities.length > 0) gap = Math.log(probabilities[0]! / (probabilities[0]! - margins[0]!));
    });
    await this.#engine.generate({ prompt: tokens, maxTokens: 2, controller: () => 1 });
    off();
    return gap;
  }
}

/** Prints the ties that were counted, for the test's output. */
export function reportTies(compared: number): void {
  const gaps = found.map(
    ({ where, at, gap }) => `  ${where}, token ${at}: logits ${gap.toExponential(1)} apart`,
  );
  console.log([`${compared} tokens compared, ${found.length} ties within float noise`, ...gaps].join('\n'));
}
