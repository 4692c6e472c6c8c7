// Our attention against ggml's plain one, which is exact too and was the default before: both under our matrix kernels,
// with the logits of all rows, in turns.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { main, root } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';
import { median } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    contexts: { type: 'string', default: '8,250,1000,3000' },
    rows: { type: 'string', default: '1,5,9,17' },
    out: { type: 'string', default: join(root, 'bench/results/attention.json') },
  },
});
const numbers = (text) => text.split(',').map(Number);

await main(async () => {
  const engines = {
    ours: await createEngine(),
    plain: await createEngine({ flashAttention: 'off' }),
  };
  const loadBefore = await waitForQuiet();
  const rows = [];
  for (const contextLength of numbers(options.contexts))
    for (const n of numbers(options.rows)) {
      const ms = { ours: [], plain: [] };
      for (let round = 0; round < Number(options.rounds); round++)
        // The first pays for the change of the batch's shape.
        for (const mode of round % 2 ? ['ours', 'plain'] : ['plain', 'ours'])
          ms[mode].push(median((await engines[mode].measure(n, { contextLength, repeats: 6 })).slice(1)));
      const ratios = ms.plain.map((plain, i) => plain / ms.ours[i]);
      const row = {
        contextLength,
        rows: n,
        ours: median(ms.ours),
        plain: median(ms.plain),
        ratio: median(ratios),
        low: Math.min(...ratios),
        high: Math.max(...ratios),
      };
      rows.push(row);
      console.log(
        `context ${contextLength}, ${n} rows: plain ${row.plain.toFixed(2)} ms, ours ${row.ours.toFixed(2)} ms, plain / ours ${row.ratio.toFixed(2)} (${row.low.toFixed(2)} to ${row.high.toFixed(2)})`,
      );
    }
  const { model } = engines.ours.info;
  await Promise.all(Object.values(engines).map((engine) => engine.close()));
  writeReport(options.out, {
    what: "milliseconds of a pass through the target, ggml's plain attention and ours",
    command: `node bench/attention.mjs --rounds ${options.rounds} --contexts ${options.contexts} --rows ${options.rows}`,
    models: [model],
    loadBefore,
    rows,
  });
});
