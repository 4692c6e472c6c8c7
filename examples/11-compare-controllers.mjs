// Controllers side by side on prompts of your own: the same text from each, in how many steps and at what speed. A glance,
// no measurement: `adaptive-spec bench --arms fixed:4,auto --prompts FILE` alternates, repeats, and knows its error.
import { createEngine } from 'adaptive-spec';

const prompts = ['Write a Python function that adds two numbers.', 'List the planets of the solar system.'];
const engine = await createEngine();
for (const settings of [{ controller: 'off' }, { depth: 2 }, { depth: 8 }, { controller: 'auto' }]) {
  const sum = { tokens: 0, steps: 0, ms: 0 };
  for (const content of prompts) {
    const messages = [{ role: 'user', content }];
    const { tokens, stats } = await engine.generate({ messages, maxTokens: 64, ...settings });
    sum.tokens += tokens.length;
    sum.steps += stats.steps;
    sum.ms += stats.decodeMs;
  }
  const speed = ((1000 * sum.tokens) / sum.ms).toFixed(1);
  console.log(JSON.stringify(settings), `${sum.tokens} tokens in ${sum.steps} steps, ${speed} t/s`);
}
await engine.close();
