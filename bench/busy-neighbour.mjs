// What one busy process beside costs: plain decoding and K = 4 on an otherwise quiet machine, and the same while
// another process keeps a core busy. Rounds alternate. A fair share on `threads` cores is threads / (threads + 1).
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { main, root } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';
import { median } from './statistics.mjs';

const busy = process.argv[2] === 'busy';
while (busy);

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '4' },
    tokens: { type: 'string', default: '1500' },
    depths: { type: 'string', default: '0,4' },
    out: { type: 'string', default: join(root, 'bench/results/busy-neighbour.json') },
  },
});

await main(async () => {
  const engine = await createEngine();
  const maxTokens = Number(options.tokens);
  const prompt = 'Write a long story about a lighthouse keeper and the sea.';
  const generate = async (depth) => {
    const { stats, usage } = await engine.generate({ prompt, maxTokens, depth, ignoreEos: true });
    return (1000 * usage.completionTokens) / stats.decodeMs;
  };
  const depths = options.depths.split(',').map(Number);
  const loadBefore = await waitForQuiet();
  const samples = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const depth of depths) samples.push({ depth, beside: false, speed: await generate(depth) });
    const neighbour = fork(import.meta.filename, ['busy']);
    await new Promise((done) => setTimeout(done, 500));
    for (const depth of depths) samples.push({ depth, beside: true, speed: await generate(depth) });
    neighbour.kill('SIGKILL');
    await new Promise((done) => neighbour.once('exit', done));
  }
  const of = (depth, beside) =>
    samples.filter((s) => s.depth === depth && s.beside === beside).map(({ speed }) => speed);
  const fairShare = availableParallelism() / (availableParallelism() + 1);
  const rows = depths.map((depth) => {
    const quiet = median(of(depth, false));
    const beside = median(of(depth, true));
    return {
      depth,
      quiet,
      beside,
      ratio: beside / quiet,
      low: Math.min(...of(depth, true)) / quiet,
      fairShare,
    };
  });
  await engine.close();
  writeReport(options.out, {
    what: 'tokens per second on a quiet machine and beside a process that keeps one core busy',
    command: `node bench/busy-neighbour.mjs --rounds ${options.rounds} --tokens ${options.tokens} --depths ${options.depths}`,
    models: [engine.info.model, engine.info.draft],
    loadBefore,
    rows,
    samples,
  });
  for (const { depth, quiet, beside, ratio, low } of rows)
    console.log(
      `K ${depth}  quiet ${quiet.toFixed(1)} t/s, beside ${beside.toFixed(1)} t/s = ${ratio.toFixed(2)} (lowest ${low.toFixed(2)}; a fair share is ${fairShare.toFixed(2)})`,
    );
});
