// What `npm start` shows: text that streams from the default pair, then the default controller against plain decoding.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './steps.mjs';

const load = (file) => import(pathToFileURL(join(root, 'dist', file)).href);
const { createEngine } = await load('index.js');
const { LiveView } = await load('cli/live-view.js');

const question = 'Write a Python function that checks if a number is prime.';
const request = { messages: [{ role: 'user', content: question }], maxTokens: 160 };
let stopped = false;
let running;
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  process.on(signal, () => {
    if (stopped || !running) process.exit(code);
    stopped = true;
    process.exitCode = code;
    running.abort();
  });
}

const engine = await createEngine();
process.stderr.write(`\n${question}\n\n`);
running = engine.generate(request);
const view = new LiveView();
for await (const part of running.events()) {
  if (part.type === 'text') process.stdout.write(part.text);
  else if (part.type === 'step') view.step(part.step);
}
process.stdout.write('\n');
view.end();
const first = await running;
const again = async (options) => {
  running = engine.generate({ ...request, ...options });
  return await running;
};
// The first text warms up memory and teaches the controller: what compares is the second, with plain decoding in between.
const plain = stopped ? undefined : await again({ controller: 'off' });
const adaptive = stopped ? undefined : await again();
if (!stopped) summarise(adaptive, plain, first);
await engine.close();

function summarise({ stats, tokens }, plain, first) {
  const speed = (result) => `${result.tokensPerSecond.toFixed(1)} t/s`;
  const ratio = stats.tokensPerSecond / plain.stats.tokensPerSecond;
  const same = tokens.join() === plain.tokens.join() ? 'the same tokens' : 'not the same tokens: see README';
  process.stderr.write(`
auto      ${speed(stats)}, ${stats.steps} steps, ${Math.round(100 * stats.acceptanceRate)} % of ${stats.draftTokens} drafted tokens accepted
          (${speed(first.stats)} at first, as shown above)
plain     ${speed(plain.stats)}, ${plain.stats.steps} steps
auto / plain: ${ratio.toFixed(2)}, ${same}
`);
}
