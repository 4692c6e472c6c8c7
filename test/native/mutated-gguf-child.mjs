// One process that is given damaged models, one after the other, and says what became of each.

const { createEngine, AdaptiveSpecError } = await import(process.env.ADAPTIVE_SPEC_INDEX);

/** What became of a model: the tokens that it generated, or the code of the error that it was refused with. */
async function outcomeOf({ model, draft }) {
  try {
    const engine = await createEngine({ model, draft, threads: 1, onWarning: () => {} });
    try {
      const controller = draft ? () => 4 : 'off';
      const request = { prompt: 'hello', maxTokens: 8, ignoreEos: true, controller };
      const { tokens, finishReason } = await engine.generate(request);
      return { tokens, finishReason };
    } finally {
      await engine.close();
    }
  } catch (error) {
    if (error instanceof AdaptiveSpecError && error.code && error.hint)
      return { code: error.code, message: error.message };
    return { untyped: error?.stack ?? String(error) };
  }
}

process.on('message', async (pair) => {
  const outcome = await outcomeOf(pair);
  process.send({ ...outcome, peakMiB: process.resourceUsage().maxRSS / 1024 });
});
process.on('disconnect', () => process.exit());
process.send({ ready: true });
