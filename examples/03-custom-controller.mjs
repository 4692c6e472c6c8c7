// A controller of your own: deeper while everything is accepted, shallow after a miss, and plain decoding where
// drafting has not paid for a while.
import { createEngine } from 'adaptive-spec';

class Cautious {
  name = 'cautious';
  #depth = 2;
  #misses = 0;

  nextPlan({ drafted, accepted, step }) {
    if (drafted > 0) {
      this.#misses = accepted === 0 ? this.#misses + 1 : 0;
      this.#depth = accepted === drafted ? Math.min(this.#depth + 2, 16) : 2;
    }
    // Off after three empty drafts in a row; asks the drafter again every eighth step.
    if (this.#misses >= 3 && step % 8 !== 0) return 0;
    return { depth: this.#depth, stop: { minProbability: 0.5 } };
  }
}

const engine = await createEngine();
const result = await engine.generate({
  messages: [{ role: 'user', content: 'Write a Python function that adds two numbers.' }],
  controller: new Cautious(),
  maxTokens: 64,
  steps: true,
});
console.log(result.text);
console.log(result.steps.map(({ drafted, accepted }) => `${accepted}/${drafted}`).join(' '));
await engine.close();
