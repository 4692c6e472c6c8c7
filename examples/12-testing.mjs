// Tests of your own code, without models: an engine whose answers are given, and errors when they are wanted.
import assert from 'node:assert';
import { AdaptiveSpecError } from 'adaptive-spec';
import { createTestEngine } from 'adaptive-spec/testing';

/** The code under test. */
async function summary(engine, article) {
  try {
    return (await engine.generate({ prompt: `Summarise:\n${article}` })).text;
  } catch (error) {
    if (error.code === 'CONTEXT_OVERFLOW') return 'The article is too long.';
    throw error;
  }
}

const failure = new AdaptiveSpecError('BAD_LOGITS', 'A row is NaN', 'Use another model.');
const engine = await createTestEngine({
  replies: ['It is about the sea.', { error: failure }],
  contextSize: 64,
});

assert.equal(await summary(engine, 'The sea is …'), 'It is about the sea.');
await assert.rejects(summary(engine, 'The sea is …'), { code: 'BAD_LOGITS' });
assert.equal(await summary(engine, 'sea '.repeat(100)), 'The article is too long.');

// Controllers too: seven of ten draft tokens are right, at the same places on every machine.
const { stats } = await (await createTestEngine()).generate({ prompt: 'Hi', controller: () => 4 });
console.log(`all as expected; ${stats.acceptedTokens} of ${stats.draftTokens} draft tokens accepted`);
