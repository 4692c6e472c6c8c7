import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { main, root } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';
import { median, ratioWithInterval } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '30' },
    tokens: { type: 'string', default: '128' },
    depths: { type: 'string', default: '0,1,4,8' },
    out: { type: 'string', default: join(root, 'bench/results/callback-cost.json') },
  },
});

await main(async () => {
  const engine = await createEngine();
  const load = await waitForQuiet();
  const request = { prompt: 'Once upon a time', maxTokens: Number(options.tokens), ignoreEos: true };
  const rows = [];
  for (const depth of options.depths.split(',').map(Number)) {
    const pairs = [];
    for (let round = 0; round < Number(options.rounds); round++) {
      const asks = { ...request, controller: () => depth };
      const native = { ...request, depth };
      const order = round % 2 === 0 ? [native, asks] : [asks, native];
      const [first, second] = [await engine.generate(order[0]), await engine.generate(order[1])];
      const [without, asked] = round % 2 === 0 ? [first, second] : [second, first];
      pairs.push({
        native: without.stats.tokensPerSecond,
        asked: asked.stats.tokensPerSecond,
        waitUs: (1000 * asked.stats.controller.waitMs) / asked.stats.steps,
        latePlans: asked.stats.controller.latePlans,
      });
    }
    const ratio = ratioWithInterval(pairs.map(({ native, asked }) => asked / native));
    const row = {
      depth,
      native: median(pairs.map(({ native }) => native)),
      asked: median(pairs.map(({ asked }) => asked)),
      medianRatio: median(pairs.map(({ native, asked }) => asked / native)),
      ratio,
      waitMicrosecondsPerStep: median(pairs.map(({ waitUs }) => waitUs)),
      latePlans: pairs.reduce((sum, { latePlans }) => sum + latePlans, 0),
    };
    rows.push(row);
    console.log(
      `K ${depth}  asked ${row.asked.toFixed(1)} t/s / native ${row.native.toFixed(1)} t/s = ${row.medianRatio.toFixed(4)} median, ${ratio.ratio.toFixed(4)} mean (${ratio.low.toFixed(4)} to ${ratio.high.toFixed(4)}), waits ${row.waitMicrosecondsPerStep.toFixed(0)} µs a step, ${row.latePlans} late`,
    );
  }
  writeReport(options.out, {
    what: 'throughput with a callback at every step over the same depth set natively',
    command: `node bench/callback-cost.mjs --rounds ${options.rounds} --tokens ${options.tokens} --depths ${options.depths}`,
    models: [engine.info.model, engine.info.draft],
    loadBefore: load,
    rows,
  });
  await engine.close();
});
