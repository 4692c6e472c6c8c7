// The smallest use: one prompt in, one result out, on the default pair.
import { generate } from 'adaptive-spec';

const { text, stats } = await generate({ prompt: 'The capital of France is', maxTokens: 24 });
console.log(text);
console.log(`${stats.tokensPerSecond.toFixed(1)} t/s, ${stats.steps} steps`);
