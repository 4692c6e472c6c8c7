// What the store of finished requests' text gains: on a request's first run beside other prompts' texts, on the same
// request again, and on one that is worded otherwise. Plain decoding and the same drafter without the store beside it.

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { choosePrompts, defaultPrompts } from '../dist/bench/prompts.js';
import { createEngine } from '../dist/index.js';
import { main, root } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { writeReport } from './report.mjs';
import { ratioWithInterval } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '2' },
    'per-kind': { type: 'string', default: '4' },
    tokens: { type: 'string', default: '192' },
    depth: { type: 'string', default: '8' },
    drafters: { type: 'string', default: 'ngram,hybrid' },
    out: { type: 'string', default: join(root, 'bench/results/ngram-store.json') },
  },
});
const perKind = Number(options['per-kind']);
const depth = Number(options.depth);

await main(async () => {
  const prompts = choosePrompts(defaultPrompts(), { perKind });
  let models;
  const load = await waitForQuiet();
  const runs = [];
  for (let round = 0; round < Number(options.rounds); round++)
    for (const drafter of options.drafters.split(',')) {
      const engine = await createEngine({ calibrate: 'off', ngramStore: true });
      models = [engine.info.model, engine.info.draft];
      const time = async (content, settings) => {
        const { stats, tokens } = await engine.generate({
          messages: [{ role: 'user', content }],
          maxTokens: Number(options.tokens),
          ...{ drafter, depth, ...settings },
        });
        return { tokensPerSecond: stats.tokensPerSecond, tokens: [...tokens] };
      };
      for (const { id, kind, prompt } of prompts) {
        const reworded = `${prompt} Thank you.`;
        const cases = { first: prompt, again: prompt, reworded };
        for (const [name, text] of Object.entries(cases)) {
          const plain = await time(text, { depth: 0, share: false });
          const alone = await time(text, { share: false });
          const shared = await time(text, {});
          for (const { tokens } of [alone, shared])
            if (String(tokens) !== String(plain.tokens)) throw new Error(`${id} differs from plain decoding`);
          const speeds = [plain, alone, shared].map(({ tokensPerSecond }) => tokensPerSecond);
          runs.push({ drafter, case: name, id, kind, round, speeds });
        }
      }
      await engine.close();
    }
  const rows = [];
  for (const drafter of options.drafters.split(','))
    for (const name of ['first', 'again', 'reworded']) {
      const of = runs.filter((run) => run.drafter === drafter && run.case === name);
      const overPlain = ratioWithInterval(of.map(({ speeds: [plain, , shared] }) => shared / plain));
      const overAlone = ratioWithInterval(of.map(({ speeds: [, alone, shared] }) => shared / alone));
      const alonePlain = ratioWithInterval(of.map(({ speeds: [plain, alone] }) => alone / plain));
      rows.push({ drafter, case: name, runs: of.length, overPlain, overAlone, aloneOverPlain: alonePlain });
      const text = ({ ratio, low, high }) => `${ratio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
      console.log(
        `${drafter}, ${name}: ${text(overPlain)} times plain, ${text(overAlone)} times the drafter without the store (${text(alonePlain)} times plain)`,
      );
    }
  writeReport(options.out, {
    what: 'speed with the store of finished requests over plain decoding, and over the same drafter without it',
    command: `node bench/ngram-store.mjs --rounds ${options.rounds} --per-kind ${perKind} --tokens ${options.tokens} --depth ${depth} --drafters ${options.drafters}`,
    models,
    loadBefore: load,
    rows,
  });
});
