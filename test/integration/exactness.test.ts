// On the default pair, greedy text is the target's own, token for token, whatever the controller and its depths.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  AdaptiveSpecController,
  type Controller,
  createEngine,
  type Engine,
  fixedDepth,
} from '../../lib/index.js';
import { random } from '../native/tiny-engine.js';

interface Prompt {
  id: string;
  prompt: string;
}

const TOKENS = 256;
const PROMPTS: Prompt[] = [
  ...readFileSync(new URL('../../bench/prompts/dev.jsonl', import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Prompt),
  // What the benchmark lacks: other scripts, whose characters take several tokens, and a long prompt.
  { id: 'script-1', prompt: 'Переведи на английский: «Пароход вышел из порта на рассвете» 🚢' },
  {
    id: 'long-1',
    prompt: `Summarise:\n${'The mill stands by the river, and the river is low. '.repeat(60)}`,
  },
];

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(async () => {
  await engine.close();
});

/** Each prompt's greedy text by plain decoding, made when first asked for. */
const plainTexts = new Map<string, number[]>();
async function plain(prompt: Prompt): Promise<number[]> {
  const known = plainTexts.get(prompt.id);
  if (known) return known;
  const { tokens } = await generate(prompt, 'off', TOKENS);
  plainTexts.set(prompt.id, tokens);
  return tokens;
}

function generate({ prompt }: Prompt, controller: Controller | 'off', maxTokens: number) {
  return engine.generate({
    messages: [{ role: 'user', content: prompt }],
    maxTokens,
    ignoreEos: true,
    controller,
  });
}

function randomDepth(seed: number): Controller {
  const next = random(seed);
  return () => Math.floor(next() * 25);
}

/** Depths as above, of drafters at random, with stop rules that keep and that don't. */
function randomDrafter(seed: number): Controller {
  const next = random(seed);
  const names = ['model', 'ngram', 'hybrid'];
  return () => ({
    depth: Math.floor(next() * 25),
    drafter: names[Math.floor(next() * 3)]!,
    stop: { minProbability: next() / 2, keep: next() < 0.5 },
  });
}

describe(`${PROMPTS.length} prompts, ${TOKENS} tokens each`, () => {
  let compared = 0;
  afterAll(() => console.log(`default pair: ${compared} tokens compared, all equal, no ties to explain`));

  it.each(PROMPTS.map((prompt, i) => [prompt.id, prompt, i] as const))(
    'are those of plain decoding under a random depth of 0 to 24: %s',
    async (_id, prompt, i) => {
      const { tokens, stats } = await generate(prompt, randomDepth(i + 1), TOKENS);
      expect(tokens).toEqual(await plain(prompt));
      expect(tokens).toHaveLength(TOKENS);
      expect(stats.draftTokens).toBeGreaterThan(0);
      compared += tokens.length;
    },
  );

  it.each(PROMPTS.map((prompt, i) => [prompt.id, prompt, i] as const))(
    'are those of plain decoding under random drafters: %s',
    async (_id, prompt, i) => {
      const { tokens, stats } = await generate(prompt, randomDrafter(i + 1), TOKENS);
      expect(tokens).toEqual(await plain(prompt));
      expect(stats.draftTokens).toBeGreaterThan(0);
      compared += tokens.length;
    },
  );
});

describe('one prompt of each kind', () => {
  const controllers: Record<string, () => Controller> = {
    adaptive: () => new AdaptiveSpecController(),
    'fixed 1': () => fixedDepth(1),
    'fixed 7': () => fixedDepth(7),
    'early stop': () => () => ({ depth: 16, stop: { minProbability: 0.6 } }),
    'random drafters': () => randomDrafter(5),
    'in and out': () => (report) => (report.step % 4 === 0 ? 5 : 0),
  };
  it.each(Object.keys(controllers))('has the tokens of plain decoding under %s', async (name) => {
    for (const prompt of PROMPTS.filter((_, i) => i % 8 === 3)) {
      const { tokens } = await generate(prompt, controllers[name]!(), 64);
      expect(tokens, prompt.id).toEqual((await plain(prompt)).slice(0, 64));
    }
  });

  it('has the same text for one seed, whatever the depth', async () => {
    for (const temperature of [0.3, 0.8, 1.5]) {
      const request = {
        prompt: 'The lighthouse keeper said',
        maxTokens: 64,
        temperature,
        topP: 0.95,
        seed: 11,
      };
      const expected = await engine.generate({ ...request, controller: 'off' });
      const actual = await engine.generate({ ...request, controller: randomDepth(3) });
      expect(actual.tokens, `temperature ${temperature}`).toEqual(expected.tokens);
    }
  });
});

describe('what users ask of the default pair', () => {
  it('answers a question through the chat template, and stops by itself', async () => {
    const result = await engine.generate({
      messages: [{ role: 'user', content: 'What is the capital of France? Answer in one sentence.' }],
      maxTokens: 64,
    });
    expect(result.text).toMatch(/Paris/);
    expect(result.finishReason).toBe('stop');
  });

  it('streams the text that it returns', async () => {
    const generation = engine.generate({ prompt: 'Once upon a time', maxTokens: 40 });
    let streamed = '';
    for await (const text of generation) streamed += text;
    expect(streamed).toBe((await generation).text);
  });
});
