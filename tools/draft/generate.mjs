// Makes a draft's training data: the target's own completions, from our engine with many requests in one batch.

import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { createEngine } from '../../dist/index.js';
import { endsInLoop, firstLoop } from './loops.mjs';
import { benchPrompts, Overlap } from './overlap.mjs';
import { composed, isHeldOut, seeds } from './prompts.mjs';

const { values: options } = parseArgs({
  options: {
    out: { type: 'string' },
    tokens: { type: 'string', default: '1500000' },
    minutes: { type: 'string', default: '15' },
    parallel: { type: 'string', default: '8' },
    threads: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    // Files of earlier runs, whose prompts are not asked again.
    known: { type: 'string', multiple: true, default: [] },
    only: { type: 'string', default: '' },
  },
});
if (!options.out) throw new Error('Give --out FILE.jsonl');

const SYSTEM = 'You are a helpful AI assistant named SmolLM, trained by Hugging Face';
const BEFORE = `<|im_start|>system\n${SYSTEM}<|im_end|>\n<|im_start|>user\n`;
const AFTER = '<|im_end|>\n<|im_start|>assistant\n';

const random = generatorOf(Number(options.seed));
const engine = await createEngine({
  draft: false,
  parallel: Number(options.parallel),
  contextSize: 640,
  maxDepth: 1,
  flashAttention: 'on',
  threads: Number(options.threads),
});
const overlap = new Overlap(benchPrompts());
for (const file of [...options.known, options.out]) {
  if (!existsSync(file)) continue;
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const text = engine.detokenize(JSON.parse(line).prompt);
    overlap.add(text.slice(text.lastIndexOf('\nuser\n') + 6).replace(/\nassistant\n[\s\S]*$/, ''));
  }
}
const out = createWriteStream(options.out, { flags: 'a' });
const started = performance.now();
const end = started + 60_000 * Number(options.minutes);
const count = { completions: 0, tokens: 0, useful: 0, refused: 0 };
const report = setInterval(
  () => console.log(Math.round((performance.now() - started) / 1000), 's', JSON.stringify(count)),
  15_000,
);
await Promise.all(Array.from({ length: Number(options.parallel) + 2 }, worker));
clearInterval(report);
out.end();
console.log('done', Math.round((performance.now() - started) / 1000), 's', JSON.stringify(count));
await engine.close();

/** One request after the other, until there is enough. */
async function worker() {
  while (performance.now() < end && count.tokens < Number(options.tokens)) {
    const prompt = await nextPrompt();
    if (!prompt) continue;
    const { kind, family, text } = prompt;
    let tokens = [...engine.tokenize(BEFORE + text + AFTER, { addSpecial: false })];
    if (tokens.length > 300) continue;
    // A fifth of the texts begin with a few drawn tokens, so that a prompt's greedy text is not the only context.
    let drawn = 0;
    if (random() < 0.2) {
      const start = await engine.generate({
        prompt: tokens,
        controller: 'off',
        temperature: 0.8,
        minP: 0.02,
        maxTokens: 1 + Math.floor(random() * 24),
        seed: Math.floor(random() * 2 ** 32),
      });
      if (start.finishReason === 'stop') continue;
      drawn = start.tokens.length;
      tokens = tokens.concat([...start.tokens]);
    }
    const result = await complete(tokens);
    const completion = [...result.tokens];
    const loop = firstLoop(completion);
    const line = {
      kind,
      family,
      heldOut: isHeldOut(family),
      drawn,
      temperature: 0,
      prompt: tokens,
      tokens: completion,
      loop: loop ? loop.start + loop.period : null,
    };
    out.write(`${JSON.stringify(line)}\n`);
    count.completions++;
    count.tokens += completion.length;
    count.useful += line.loop ?? completion.length;
  }
}

/** The greedy completion; ended early where it repeats itself. */
async function complete(prompt) {
  const generation = engine.generate({ prompt, controller: 'off', maxTokens: 256 });
  let text = '';
  let checked = 0;
  try {
    for await (const part of generation) {
      text += part;
      if (text.length - checked < 60) continue;
      checked = text.length;
      if (endsInLoop(text)) break;
    }
  } catch (error) {
    console.error(error.message);
  }
  return generation;
}

/** A prompt that is new: composed from lists, or begun by us and gone on with by the target itself. */
async function nextPrompt() {
  const isComposed = options.only === 'composed' || (options.only !== 'seeds' && random() < 0.88);
  const prompt = isComposed ? composed(random) : await begun();
  if (!prompt || !overlap.isNew(prompt.text)) {
    count.refused++;
    return undefined;
  }
  overlap.add(prompt.text);
  return prompt;
}

async function begun() {
  const { kind, family, text } = seeds(random);
  const result = await engine.generate({
    prompt: [...engine.tokenize(BEFORE + text, { addSpecial: false })],
    controller: 'off',
    temperature: 1,
    minP: 0.03,
    maxTokens: 120,
    seed: Math.floor(random() * 2 ** 32),
  });
  if (result.finishReason !== 'stop') return undefined;
  const whole = (text + result.text).trim();
  return whole.length < 12 ? undefined : { kind, family, text: whole };
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function generatorOf(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
