// What two engines of one process reach together, and how many threads they have. ROOT: another build to measure.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const { createEngine } = await import(`${resolve(process.argv[2] ?? '.')}/dist/index.js`);
const threads = () => Number(/^Threads:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
const prompts = [
  'Write a Python function that parses a CSV file.',
  'Explain how rainbows form, step by step.',
];
const counts = [threads()];
const engines = [];
for (let i = 0; i < 2; i++) {
  engines.push(await createEngine({ calibrate: 'off' }));
  counts.push(threads());
}

async function together(options) {
  const maxTokens = 120;
  const start = performance.now();
  await Promise.all(
    engines.map(async (engine) => {
      for (const prompt of prompts) await engine.generate({ prompt, maxTokens, ignoreEos: true, ...options });
    }),
  );
  return Math.round((engines.length * prompts.length * maxTokens * 1000) / (performance.now() - start));
}

const speeds = { off: [], 'fixed:3': [] };
await together({ controller: 'off' });
for (let round = 0; round < 4; round++) {
  speeds.off.push(await together({ controller: 'off' }));
  speeds['fixed:3'].push(await together({ depth: 3 }));
}
await Promise.all(engines.map((engine) => engine.close()));
console.log(
  `threads: ${counts.join(', ')}, and ${threads()} when closed; t/s together: ${JSON.stringify(speeds)}`,
);
