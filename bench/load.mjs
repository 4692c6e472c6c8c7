// What sixteen requests at once gain, and what speculation does then: total tokens per second of so many requests under
// each controller, and of one alone by plain decoding. Rounds alternate.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { main, root } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';
import { median } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    parallel: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '128' },
    controllers: { type: 'string', default: 'off,auto,1,2,4' },
    out: { type: 'string', default: join(root, 'bench/results/load.json') },
  },
});

await main(async () => {
  const parallel = Number(options.parallel);
  const maxTokens = Number(options.tokens);
  const engine = await createEngine({ parallel, contextSize: 1024 });
  const lines = readFileSync(join(root, 'bench/prompts/dev.jsonl'), 'utf8').trim().split('\n');
  // As many of each kind as there are, whatever their order in the file.
  const prompts = lines.map((line) => JSON.parse(line)).filter((_, i) => i % 3 === 0);

  const request = (i, name) => {
    const depth = /^\d+$/.test(name) ? { depth: Number(name) } : { controller: name };
    const { prompt, messages } = prompts[i % prompts.length];
    return { ...(messages ? { messages } : { prompt }), maxTokens, ignoreEos: true, ...depth };
  };
  /** Tokens per second from the first request's start to the last one's end, prompts included; depths and acceptance. */
  const run = async (count, name) => {
    const start = performance.now();
    const results = await Promise.all(
      Array.from({ length: count }, (_, i) => engine.generate(request(i, name))),
    );
    const seconds = (performance.now() - start) / 1000;
    const sum = (of) => results.reduce((total, result) => total + of(result), 0);
    const decodeSeconds = Math.max(...results.map(({ stats }) => stats.decodeMs)) / 1000;
    return {
      tokensPerSecond: sum(({ usage }) => usage.completionTokens) / seconds,
      decodeTokensPerSecond: sum(({ usage }) => usage.completionTokens) / decodeSeconds,
      verifiedPerStep: sum(({ stats }) => stats.verifiedTokens) / sum(({ stats }) => stats.steps),
      acceptanceRate:
        sum(({ stats }) => stats.acceptedTokens) /
        Math.max(
          1,
          sum(({ stats }) => stats.draftTokens),
        ),
    };
  };

  const loadBefore = await waitForQuiet();
  if (engine.costs === undefined) await engine.calibrate();
  const names = options.controllers.split(',');
  const arms = [['one, off', 1, 'off'], ...names.map((name) => [`${parallel}, ${name}`, parallel, name])];
  const samples = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    const order = round % 2 === 0 ? arms : [...arms].reverse();
    for (const [arm, count, name] of order) samples.push({ arm, round, ...(await run(count, name)) });
  }
  const rows = arms.map(([arm]) => {
    const own = samples.filter((sample) => sample.arm === arm);
    const of = (key) => median(own.map((sample) => sample[key]));
    return {
      arm,
      tokensPerSecond: of('tokensPerSecond'),
      low: Math.min(...own.map(({ tokensPerSecond }) => tokensPerSecond)),
      high: Math.max(...own.map(({ tokensPerSecond }) => tokensPerSecond)),
      decodeTokensPerSecond: of('decodeTokensPerSecond'),
      verifiedPerStep: of('verifiedPerStep'),
      acceptanceRate: of('acceptanceRate'),
    };
  });
  await engine.close();
  writeReport(options.out, {
    what: `total tokens per second of ${parallel} requests at once and of one alone, prompts included`,
    command: `node bench/load.mjs --parallel ${parallel} --rounds ${options.rounds} --tokens ${maxTokens} --controllers ${options.controllers}`,
    models: [engine.info.model, engine.info.draft],
    loadBefore,
    rows,
    samples,
  });
  const plain = rows[0].tokensPerSecond;
  const off = rows.find(({ arm }) => arm === `${parallel}, off`)?.tokensPerSecond ?? Number.NaN;
  for (const { arm, tokensPerSecond, low, high, verifiedPerStep, acceptanceRate } of rows)
    console.log(
      `${arm.padEnd(10)} ${tokensPerSecond.toFixed(0)} t/s (${low.toFixed(0)} to ${high.toFixed(0)}), ` +
        `${(tokensPerSecond / plain).toFixed(2)} x one, ${(tokensPerSecond / off).toFixed(2)} x off; ` +
        `${verifiedPerStep.toFixed(2)} verified a step, ${acceptanceRate.toFixed(2)} accepted`,
    );
});
