// What a tree could add and what it does: how often the draft's second and third choice are right where its first is
// wrong, what a row costs, and the speed of trees over chains of the same pair. Chains run on an engine that has no
// branches, so that what branches cost by being there is the trees' to pay.
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CostModel, createEngine } from '../dist/index.js';
import { main, root, StepFailure } from '../scripts/steps.mjs';
import { writeReport } from './report.mjs';
import { geometricMean, ratioWithInterval } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    'prompts-per-kind': { type: 'string', default: '2' },
    tokens: { type: 'string', default: '96' },
    chains: { type: 'string', default: '1,2,3,4' },
    trees: { type: 'string', default: '1:2,1:3,2:3,2:4,3:4' },
    drafter: { type: 'string', default: 'model' },
    out: { type: 'string', default: join(root, 'bench/results/trees.json') },
  },
});
const BINS = [0.2, 0.4, 0.6, 0.8, 1.01];
const DEEP = 4;

function promptsOf(perKind) {
  const lines = readFileSync(join(root, 'bench/prompts/dev.jsonl'), 'utf8').trim().split('\n');
  const counts = new Map();
  return lines
    .map((line) => JSON.parse(line))
    .filter(({ context }) => {
      counts.set(context, (counts.get(context) ?? 0) + 1);
      return counts.get(context) <= perKind;
    });
}

const requestOf = ({ prompt }, more) => ({
  messages: [{ role: 'user', content: prompt }],
  maxTokens: Number(options.tokens),
  drafter: options.drafter,
  ...more,
});

/** Of places whose parents were right, by the draft's probability of its token: which of its choices was right. */
async function ranksOf(engine, prompts) {
  const bins = BINS.map((upTo) => ({ upTo: Math.min(upTo, 1), places: 0, first: 0, second: 0, third: 0 }));
  const stop = engine.on('step', (report) => {
    const { verified, accepted, probabilities, tokens, branches } = report;
    for (let place = 0; place <= Math.min(accepted, verified - 1); place++) {
      const bin = bins[BINS.findIndex((upTo) => probabilities[place] < upTo)];
      bin.places++;
      if (place < accepted) bin.first++;
      else if (branches) {
        const guesses = branches.tokens.filter((_, i) => branches.parents[i] === place - 1);
        if (guesses[0] === tokens[place]) bin.second++;
        if (guesses[1] === tokens[place]) bin.third++;
      }
    }
  });
  // Room for all of them, and for what may follow, which is likelier than some.
  const request = { depth: DEEP, tree: 8 * DEEP, drafter: 'model' };
  for (const prompt of prompts) await engine.generate(requestOf(prompt, request));
  stop();
  return bins;
}

async function curveOf(engine) {
  const table = await engine.calibrate({
    rows: [1, 2, 3, 4, 5, 6, 7, 8, 9],
    repeats: 15,
    contextLength: 100,
  });
  const model = new CostModel(table);
  return Array.from({ length: 9 }, (_, i) => model.verifyMs(i + 1, 100) / model.verifyMs(1, 100));
}

async function compare(chains, trees, prompts) {
  const arms = [
    { name: 'plain', engine: chains, request: { depth: 0 } },
    ...options.chains
      .split(',')
      .map((k) => ({ name: `fixed:${k}`, engine: chains, request: { depth: Number(k) } })),
    ...options.trees.split(',').map((pair) => {
      const [depth, tree] = pair.split(':').map(Number);
      return { name: `fixed:${depth}+tree:${tree}`, engine: trees, request: { depth, tree } };
    }),
    { name: 'auto', engine: chains, request: { controller: 'auto' } },
    { name: 'auto+tree:24', engine: trees, request: { controller: 'auto', tree: 24 } },
  ].map((arm) => ({ ...arm, speeds: [], beside: 0, right: 0, steps: 0, emitted: 0 }));
  for (const [i, prompt] of prompts.entries()) {
    let plain;
    // There and back again, so that a drift of the machine is shared.
    for (const arm of [...arms, ...[...arms].reverse()]) {
      const { tokens, stats } = await arm.engine.generate(requestOf(prompt, arm.request));
      plain ??= tokens.join();
      if (tokens.join() !== plain)
        throw new StepFailure(
          `${arm.name} gives another text on ${prompt.id}`,
          'report this: it is a defect',
        );
      arm.speeds[i] = Math.sqrt((arm.speeds[i] ?? stats.tokensPerSecond) * stats.tokensPerSecond);
      arm.beside += stats.branchTokens;
      arm.right += stats.acceptedBranchTokens;
      arm.steps += stats.steps;
      arm.emitted += tokens.length;
    }
  }
  const best = arms
    .filter(({ name }) => /^fixed:\d+$/.test(name))
    .reduce((a, b) => (geometricMean(b.speeds) > geometricMean(a.speeds) ? b : a));
  return arms.map(({ name, speeds, beside, right, steps, emitted }) => {
    const ratio = ratioWithInterval(speeds.map((x, i) => x / best.speeds[i]));
    const row = {
      arm: name,
      tokensPerSecond: geometricMean(speeds),
      tokensPerStep: emitted / steps,
      guessesPerStep: beside / steps,
      rightGuesses: beside > 0 ? right / beside : 0,
      overBestChain: ratio,
      bestChain: best.name,
    };
    console.log(
      `${name.padEnd(16)} ${row.tokensPerSecond.toFixed(1)} t/s, ${row.tokensPerStep.toFixed(2)} tokens a step, ${row.guessesPerStep.toFixed(2)} guesses a step, ${(100 * row.rightGuesses).toFixed(1)} % right; ${ratio.ratio.toFixed(3)} of ${best.name} (${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)})`,
    );
    return row;
  });
}

await main(async () => {
  const prompts = promptsOf(Number(options['prompts-per-kind']));
  const chains = await createEngine({ calibrate: 'off' });
  const trees = await createEngine({ branches: 2 * DEEP, calibrate: 'off' });
  const load = loadavg()[0];
  const wide = await createEngine({ branches: 15, calibrate: 'off' });
  const ranks = await ranksOf(wide, prompts);
  await wide.close();
  for (const { upTo, places, first, second, third } of ranks)
    console.log(`p < ${upTo}: ${places} places, right: first ${first}, second ${second}, third ${third}`);
  const curve = await curveOf(chains);
  console.log(`v(n) / v(1): ${curve.map((x) => x.toFixed(2)).join(' ')}`);
  const arms = await compare(chains, trees, prompts);
  writeReport(options.out, {
    what: 'right guesses by rank and probability, cost of rows, and tokens per second of trees over chains',
    command: `node bench/trees.mjs --prompts-per-kind ${options['prompts-per-kind']} --tokens ${options.tokens} --chains ${options.chains} --trees ${options.trees} --drafter ${options.drafter}`,
    models: [chains.info.model, chains.info.draft],
    loadBefore: load,
    ranks,
    rowsOverOneRow: curve,
    arms,
  });
  await chains.close();
  await trees.close();
});
