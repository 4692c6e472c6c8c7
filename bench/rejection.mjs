// What rejection sampling accepts and how fast it is, against comparing: the same prompts and seeds in turn.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { main, root } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';
import { randomFrom, ratioWithInterval, shuffled } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    temperatures: { type: 'string', default: '0.3,0.7,1' },
    depth: { type: 'string', default: '4' },
    prompts: { type: 'string', default: '12' },
    tokens: { type: 'string', default: '96' },
    out: { type: 'string', default: join(root, 'bench/results/rejection.json') },
  },
});

const depth = Number(options.depth);
/** What is compared, by name; every one drafts by the draft model alone. */
const ARMS = {
  plain: { controller: 'off' },
  compare: { depth, drafter: 'model' },
  rejection: { depth, drafter: 'model', acceptance: 'rejection' },
  'auto compare': { controller: 'auto', drafter: 'model' },
  'auto rejection': { controller: 'auto', drafter: 'model', acceptance: 'rejection' },
};

await main(async () => {
  const all = readFileSync(join(root, 'bench/prompts/dev.jsonl'), 'utf8').trim().split('\n').map(JSON.parse);
  // As many of each kind, since a kind's prompts stand together.
  const stride = all.length / Number(options.prompts);
  const prompts = Array.from(
    { length: Number(options.prompts) },
    (_, i) => all[Math.floor(i * stride)].prompt,
  );
  const engine = await createEngine();
  const load = await waitForQuiet();
  const random = randomFrom(1);
  const rows = [];
  for (const temperature of options.temperatures.split(',').map(Number)) {
    const runs = Object.fromEntries(Object.keys(ARMS).map((arm) => [arm, []]));
    for (const [seed, content] of prompts.entries())
      for (const arm of shuffled(Object.keys(ARMS), random)) {
        const request = { messages: [{ role: 'user', content }], maxTokens: Number(options.tokens) };
        const { stats, usage } = await engine.generate({
          ...request,
          ...ARMS[arm],
          ...{ temperature, seed, ignoreEos: true },
        });
        runs[arm].push({ ...stats, tokens: usage.completionTokens });
      }
    const sum = (arm, field) => runs[arm].reduce((total, run) => total + run[field], 0);
    const speeds = (arm) => runs[arm].map(({ tokens, decodeMs }) => (1000 * tokens) / decodeMs);
    const against = (arm, base) => ratioWithInterval(speeds(arm).map((speed, i) => speed / speeds(base)[i]));
    for (const arm of Object.keys(ARMS)) {
      const base = { rejection: 'compare', 'auto rejection': 'auto compare' }[arm];
      const row = {
        temperature,
        arm,
        tokensPerSecond: (1000 * sum(arm, 'tokens')) / sum(arm, 'decodeMs'),
        acceptanceRate: sum(arm, 'acceptedTokens') / Math.max(1, sum(arm, 'draftTokens')),
        tokensPerStep: sum(arm, 'tokens') / sum(arm, 'steps'),
        againstPlain: against(arm, 'plain'),
        ...(base ? { againstComparing: against(arm, base) } : {}),
      };
      rows.push(row);
      const interval = ({ ratio, low, high }) =>
        `${ratio.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`;
      console.log(
        [
          `${temperature}  ${arm.padEnd(14)}`,
          `${row.tokensPerSecond.toFixed(1)} t/s`,
          `accepted ${(100 * row.acceptanceRate).toFixed(1)} %`,
          `${row.tokensPerStep.toFixed(2)} tokens a step`,
          `of plain ${interval(row.againstPlain)}`,
          base ? `of comparing ${interval(row.againstComparing)}` : '',
        ].join('  '),
      );
    }
  }
  writeReport(options.out, {
    what: 'acceptance and throughput of rejection sampling against comparing, with the draft model',
    command: `node bench/rejection.mjs ${['temperatures', 'depth', 'prompts', 'tokens'].map((name) => `--${name} ${options[name]}`).join(' ')}`,
    models: [engine.info.model, engine.info.draft],
    loadBefore: load,
    rows,
  });
  await engine.close();
});
