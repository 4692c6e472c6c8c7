// What a step costs beside the models, at a vocabulary of 152,000: n-gram drafts from a store that is full, sampling,
// acceptance, reports. The target has the shape of a model of half a billion weights and random weights.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { main, root } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';
import { shapeModel } from './shape-model.mjs';
import { median, randomFrom } from './statistics.mjs';

const SHAPE = {
  name: '0.5b-152k',
  layers: 24,
  width: 1024,
  feedForward: 4864,
  heads: 16,
  keyHeads: 2,
  vocabulary: 152_000,
};

/** Random weights leave logits flat: without top-k, top-p would keep thousands of tokens, as with no trained model. */
const SAMPLING = { topK: 40, topP: 0.95, seed: 1 };

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    tokens: { type: 'string', default: '128' },
    'store-tokens': { type: 'string', default: '1048576' },
    out: { type: 'string', default: join(root, 'bench/results/bookkeeping.json') },
  },
});

await main(async () => {
  const maxTokens = Number(options.tokens);
  const storeTokens = Number(options['store-tokens']);
  const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-bookkeeping-'));
  const ngramStore = { path: join(folder, 'store'), maxTokens: storeTokens };
  await fill(ngramStore);
  const model = await shapeModel(SHAPE, 'Q4_0');
  const engine = await createEngine({ model, calibrate: 'off', contextSize: 4096, ngramStore });
  const load = await waitForQuiet();
  const prompt = [1, 300, 301, 302];
  const cases = [0, 1, 4, 8].flatMap((depth) =>
    [0, 0.8].map((temperature) => ({ depth, temperature, steps: [] })),
  );
  for (let round = 0; round < Number(options.rounds); round++)
    for (const { depth, temperature, steps } of cases) {
      const generation = engine.generate({
        ...{ prompt, maxTokens, temperature, ...SAMPLING, depth },
        ...{ drafter: 'ngram', ignoreEos: true },
      });
      for await (const part of generation.events())
        if (part.type === 'step' && part.step.step > 0) steps.push(part.step);
    }
  const rows = cases.map(({ depth, temperature, steps }) => {
    const drafted = steps.reduce((sum, step) => sum + step.drafted, 0);
    const beside = (step) => step.draftMs + step.catchUpMs + step.otherMs;
    const row = {
      depth,
      temperature,
      steps: steps.length,
      draftedPerStep: drafted / steps.length,
      besideUs: 1000 * median(steps.map(beside)),
      draftUs: 1000 * median(steps.map((step) => step.draftMs)),
      verifyMs: median(steps.map((step) => step.verifyMs)),
      share: median(steps.map((step) => beside(step) / (beside(step) + step.verifyMs))),
    };
    console.log(
      `K ${depth}, temperature ${temperature}: ${row.besideUs.toFixed(0)} µs a step beside the target's ${row.verifyMs.toFixed(1)} ms (${(100 * row.share).toFixed(2)} %), ${row.draftUs.toFixed(1)} µs of them for ${row.draftedPerStep.toFixed(1)} draft tokens`,
    );
    return row;
  });
  writeReport(options.out, {
    what: 'what a step costs beside the target, at a vocabulary of 152,000',
    command: `node bench/bookkeeping.mjs --rounds ${options.rounds} --tokens ${options.tokens} --store-tokens ${options['store-tokens']}`,
    models: [engine.info.model],
    loadBefore: load,
    sampling: SAMPLING,
    rows,
  });
  await engine.close();
  rmSync(folder, { recursive: true });
});

/** Fills the store with random prompts. A file is of a vocabulary, so a tiny model can write what a larger one reads. */
async function fill(ngramStore) {
  const tiny = { ...SHAPE, name: 'tiny-152k', layers: 1, width: 256, feedForward: 256, heads: 4 };
  const model = await shapeModel(tiny, 'Q4_0');
  const engine = await createEngine({ model, calibrate: 'off', contextSize: 1024, ngramStore });
  const random = randomFrom(1);
  const length = 1000;
  for (let filled = 0; filled < ngramStore.maxTokens; filled += length) {
    const prompt = Int32Array.from({ length }, () => 300 + Math.floor(random() * (SHAPE.vocabulary - 300)));
    await engine.generate({ prompt, maxTokens: 1, controller: 'off' });
  }
  await engine.close();
}
