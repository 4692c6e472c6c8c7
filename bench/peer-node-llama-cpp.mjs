// node-llama-cpp in a process of its own, as peers.mjs runs it. A setting is {predictor, options?}: 'none', 'draft' or
// 'lookup', with the options of its predictor's class. The job's `library` is the folder that it is installed in.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CONTEXT } from './peer-settings.mjs';
import { serveJob } from './peer-worker.mjs';

const { library } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { getLlama, DraftSequenceTokenPredictor, InputLookupTokenPredictor } = await import(
  pathToFileURL(join(library, 'node_modules/node-llama-cpp/dist/index.js')).href
);

await serveJob(async ({ target, draft, threads, maxTokens, setting }) => {
  const { predictor, options } = setting;
  // It drafts and verifies at the same time; under this limit the two share the threads, as its default has it.
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    maxThreads: threads,
  });
  const contextOf = async (/** @type {string} */ path) => {
    const model = await llama.loadModel({ modelPath: path });
    const context = await model.createContext({ contextSize: CONTEXT, threads, sequences: 1 });
    return { model, context };
  };
  const { model, context } = await contextOf(target);
  const drafter = predictor === 'draft' ? await contextOf(draft) : undefined;
  const draftSequence = drafter?.context.getSequence();
  return {
    async generate({ id, ids, text: prompt }) {
      const read = model.tokenize(prompt, true);
      if (read.join() !== ids.join())
        throw new Error(`${id}: node-llama-cpp reads the prompt as ${read.length} other tokens`);
      await draftSequence?.clearHistory();
      const tokenPredictor = predictorFor(predictor, options, draftSequence);
      // Its chat classes tell the predictor the prompt; without them it looks nothing up.
      tokenPredictor?.updateInputTokens(ids);
      const sequence = context.getSequence(tokenPredictor ? { tokenPredictor } : {});
      /** @type {number[]} */
      const tokens = [];
      let first = 0;
      let last = 0;
      for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
        last = performance.now();
        if (tokens.length === 0) first = last;
        tokens.push(token);
        if (tokens.length === maxTokens) break;
      }
      const { validated, refuted } = sequence.tokenPredictions;
      const text = model.detokenize(tokens);
      // Disposes of the predictor with it; the draft's sequence is ours and stays.
      sequence.dispose();
      const decodeMs = last - first;
      return {
        promptTokens: ids.length,
        // It times nothing itself: from its first token to its last.
        tokensPerSecond: (1000 * (tokens.length - 1)) / decodeMs,
        decodeMs,
        emitted: tokens.length,
        drafted: validated + refuted,
        accepted: validated,
        tokens,
        text,
      };
    },
    close: () => llama.dispose(),
  };
});

function predictorFor(name, options, draftSequence) {
  if (name === 'draft') return new DraftSequenceTokenPredictor(draftSequence, options);
  if (name === 'lookup') return new InputLookupTokenPredictor(options);
}
