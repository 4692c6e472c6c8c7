// Measures drafts against each other on prompts: how often the target agrees, whether their probabilities tell, and what
// they cost.

import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../../dist/index.js';
import { firstLoop } from './loops.mjs';
import { auc, calibrationError, share } from './signals.mjs';

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    prompts: { type: 'string', default: join(import.meta.dirname, '../../bench/prompts/dev.jsonl') },
    tokens: { type: 'string', default: '192' },
    // Depth of a second run, for acceptance by position; 0 for none.
    depth: { type: 'string', default: '4' },
    limit: { type: 'string', default: '1000' },
    threads: { type: 'string', default: '1' },
  },
});
if (files.length === 0) throw new Error('node tools/draft/evaluate.mjs DRAFT.gguf [DRAFT.gguf…]');
const prompts = readFileSync(options.prompts, 'utf8')
  .trim()
  .split('\n')
  .map(JSON.parse)
  .slice(0, Number(options.limit));

for (const file of files) {
  const engine = await createEngine({ draft: file, threads: Number(options.threads), contextSize: 1024 });
  const rows = [];
  const time = { tokens: 0, decodeMs: 0, drafted: 0, draftMs: 0 };
  const positions = Array.from({ length: Number(options.depth) }, () => [0, 0]);
  for (const { prompt, context } of prompts) {
    const request = { messages: [{ role: 'user', content: prompt }], maxTokens: Number(options.tokens) };
    let at = 0;
    const drafts = [];
    const controller = (report) => {
      if (report.drafted > 0)
        drafts.push({ at, accepted: report.accepted, probability: report.probabilities[0] });
      at += report.tokens.length;
      return 1;
    };
    const { tokens } = await engine.generate({ ...request, controller });
    const loop = firstLoop(tokens);
    const end = loop ? loop.start + loop.period : Number.POSITIVE_INFINITY;
    for (const draft of drafts) rows.push({ ...draft, context, looping: draft.at >= end });
    if (positions.length > 0) {
      const { steps, stats, usage } = await engine.generate({
        ...request,
        depth: positions.length,
        steps: true,
        maxTokens: Math.min(Number(options.tokens), end),
      });
      time.tokens += usage.completionTokens;
      time.decodeMs += stats.decodeMs;
      time.drafted += stats.draftTokens;
      time.draftMs += stats.draftMs;
      for (const { drafted, accepted } of steps) {
        for (let place = 0; place < drafted; place++) {
          positions[place][1]++;
          if (accepted > place) positions[place][0]++;
        }
      }
    }
  }
  await engine.close();
  const before = rows.filter(({ looping }) => !looping);
  console.log(
    `\n${basename(file)}: ${prompts.length} prompts, ${rows.length} first drafts, ${before.length} before the first loop`,
  );
  console.log(`accepted ${percent(share(before))} before the first loop, ${percent(share(rows))} of all`);
  console.log(`all: ${signals(before)}`);
  for (const name of new Set(prompts.map(({ context }) => context)))
    console.log(`${name}: ${signals(before.filter(({ context }) => context === name))}`);
  if (positions.length > 0) {
    console.log(`by position: ${positions.map(([sum, n]) => percent(sum / n)).join(', ')}`);
    const speed = ((1000 * time.tokens) / time.decodeMs).toFixed(1);
    console.log(
      `${speed} t/s at depth ${options.depth}, ${(time.draftMs / time.drafted).toFixed(3)} ms per draft token`,
    );
  }
}

/** Acceptance of first drafts, and what their probabilities tell of it. */
function signals(rows) {
  const mean = rows.reduce((sum, { probability }) => sum + probability, 0) / rows.length;
  const told = `mean probability ${mean.toFixed(3)}, AUC ${auc(rows).toFixed(3)}`;
  return `accepted ${percent(share(rows))} of ${rows.length}, ${told}, calibration error ${calibrationError(rows).toFixed(3)}`;
}

function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}
