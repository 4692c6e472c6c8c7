import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { main, root } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';
import { median } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    contexts: { type: 'string', default: '8,250,1000,3000' },
    depths: { type: 'string', default: '0,4,8' },
    out: { type: 'string', default: join(root, 'bench/results/attention.json') },
  },
});
const numbers = (text) => text.split(',').map(Number);

await main(async () => {
  const engines = { off: await createEngine(), on: await createEngine({ flashAttention: 'on' }) };
  const load = await waitForQuiet();
  const text = 'The history of the town begins with a river, a mill and a family of bakers. '.repeat(300);
  const rows = [];
  for (const context of numbers(options.contexts))
    for (const depth of numbers(options.depths)) {
      const prompt = engines.off.tokenize(text).slice(0, context);
      const request = { prompt, depth, maxTokens: 32, ignoreEos: true };
      const ms = { off: [], on: [] };
      for (let round = 0; round < Number(options.rounds); round++)
        for (const mode of round % 2 ? ['on', 'off'] : ['off', 'on']) {
          const { stats } = await engines[mode].generate(request);
          ms[mode].push(stats.verifyMs / stats.steps);
        }
      const ratios = ms.off.map((off, i) => off / ms.on[i]);
      const row = {
        context,
        rows: depth + 1,
        off: median(ms.off),
        on: median(ms.on),
        ratio: median(ratios),
        low: Math.min(...ratios),
        high: Math.max(...ratios),
      };
      rows.push(row);
      console.log(
        `context ${context}, ${depth + 1} rows: off ${row.off.toFixed(2)} ms, on ${row.on.toFixed(2)} ms, off / on ${row.ratio.toFixed(2)} (${row.low.toFixed(2)} to ${row.high.toFixed(2)})`,
      );
    }
  writeReport(options.out, {
    what: 'milliseconds of a verification on the target, flash attention off and on',
    command: `node bench/attention.mjs --rounds ${options.rounds} --contexts ${options.contexts} --depths ${options.depths}`,
    models: [engines.off.info.model],
    loadBefore: load,
    rows,
  });
  await Promise.all(Object.values(engines).map((engine) => engine.close()));
});
