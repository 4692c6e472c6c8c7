// Our kernels on whole models in many formats: a row's logits are the same bits in any batch, the numbers are right, and
// what they cost in memory is bounded.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine, type EngineOptions } from '../../lib/index.js';
import { defaultPair } from '../../lib/models/download.js';
import { checkGguf } from '../../lib/models/gguf-check.js';
import { buildTargets, built, command } from '../native/cmake.js';
import { distFile } from '../native/dist.js';

const PROMPTS = readFileSync(new URL('../../bench/prompts/dev.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => (JSON.parse(line) as { prompt: string }).prompt);

let target: string;
let folder: string;
let text: string;
beforeAll(async () => {
  ({ target } = await defaultPair());
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-kernels-'));
  text = join(folder, 'text.txt');
  writeFileSync(text, PROMPTS.join('\n'));
  buildTargets('whole_model', 'requantise');
}, 900_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface WholeModel {
  /** Rows whose logits were compared with those of the row alone, and those of them that had other bits. */
  rows: number;
  different: number;
  perplexity: number;
  tokens: number;
}

function wholeModel(model: string, kernels: string, ...how: ('quick' | 'control')[]): WholeModel {
  return JSON.parse(command(built('whole_model'), [model, text, kernels, ...how]));
}

/** Where the machine has none of our kernels, llama.cpp's run as 'auto', and nothing here holds. */
const ours = process.arch === 'x64';

describe.skipIf(!ours)('the default target', () => {
  // The sizes of batches, numbers of threads and rolled-back drafts of whole_model.cc.
  it('has the same logits in any batch, bit for bit, by the best kernels and by avx2', {
    timeout: 300_000,
  }, () => {
    const all = wholeModel(target, 'auto');
    expect(all.different).toBe(0);
    expect(all.rows).toBeGreaterThan(10_000);
    const avx2 = wholeModel(target, 'avx2', 'quick');
    expect(avx2.different).toBe(0);
    expectNear(avx2.perplexity, all.perplexity);
    expectNear(all.perplexity, wholeModel(target, 'ggml', 'quick').perplexity);
  });
});

/** Both round activations to eight bits, but in other places. */
function expectNear(actual: number, expected: number) {
  expect(Math.abs(actual / expected - 1), `perplexity ${actual} and ${expected}`).toBeLessThan(0.015);
}

// The target's rows are no multiple of 256, so llama.cpp takes Q5_0 and Q8_0 for most of what K types don't fit.
describe.skipIf(!ours)('the target in another format', () => {
  it.each(['Q4_0', 'Q8_0', 'Q4_K_M', 'Q6_K', 'IQ4_NL', 'BF16'])(
    "has the same logits in any batch, bit for bit, and llama.cpp's perplexity: %s",
    { timeout: 300_000 },
    (format) => {
      const model = join(folder, `${format}.gguf`);
      command(built('requantise'), [target, model, format]);
      const mine = wholeModel(model, 'auto', 'quick');
      const theirs = wholeModel(model, 'ggml', 'quick');
      rmSync(model);
      console.log(`${format}: perplexity ${mine.perplexity}, llama.cpp's ${theirs.perplexity}`);
      expect(mine.different).toBe(0);
      expect(mine.rows).toBeGreaterThan(900);
      expectNear(mine.perplexity, theirs.perplexity);
    },
  );
});

it('the comparison finds out what depends on the batch: flash attention of llama.cpp', {
  timeout: 300_000,
}, () => {
  expect(wholeModel(target, 'ggml', 'control').different).toBeGreaterThan(0);
});

describe.skipIf(!ours)('two engines of one process', () => {
  // One thread each: threads of two pools that wait for each other's cores would take minutes.
  const load = (kernels: 'auto' | 'avx2' | 'ggml') =>
    createEngine({ contextSize: 512, threads: 1, draftThreads: 1, kernels });
  const prompts = [0, 9, 20, 33].map((i) => PROMPTS[i]!);

  async function texts(engine: Engine, depth: number): Promise<number[][]> {
    const all: number[][] = [];
    for (const prompt of prompts) {
      const { tokens, stats } = await engine.generate({ prompt, maxTokens: 64, ignoreEos: true, depth });
      expect(stats.draftTokens > 0).toBe(depth > 0);
      all.push(tokens);
    }
    return all;
  }

  /** Plain texts of an engine that is alone in the process. */
  async function alone(kernels: 'auto' | 'avx2' | 'ggml'): Promise<number[][]> {
    await using engine = await load(kernels);
    return await texts(engine, 0);
  }

  it.each([
    ['auto', 'ggml'],
    ['auto', 'avx2'],
  ] as const)(
    'load and generate side by side, each the text that it gives alone: %s and %s',
    async (...kernels) => {
      const expected = [await alone(kernels[0]), await alone(kernels[1])];
      // Ours round activations in other places than llama.cpp's, so that an engine with the other's kernels is found out.
      if (kernels[1] === 'ggml') expect(expected[0]).not.toEqual(expected[1]);
      const engines = await Promise.all(kernels.map(load));
      try {
        expect(await Promise.all(engines.map((engine) => texts(engine, 4)))).toEqual(expected);
      } finally {
        await Promise.all(engines.map((engine) => engine.close()));
      }
    },
  );
});

interface Taken {
  kernels: string;
  /** Bytes. */
  resident: number;
  locked: number;
}

/** What a process takes for an engine on the default target alone. */
async function taken(options: EngineOptions): Promise<Taken> {
  const all = { model: target, draft: false, contextSize: 512, threads: 2, ...options };
  const env = { ...process.env, ADAPTIVE_SPEC_INDEX: distFile('index.js') };
  const child = join(import.meta.dirname, 'memory-child.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [child, JSON.stringify(all)], { env });
  return JSON.parse(stdout);
}

/** Why this process can't lock all it likes; nothing where it can. */
function whyNotLocked(): string | undefined {
  const limit = /^Max locked memory\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  const capabilities = /^CapEff:\s+(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const mayLockAll = (BigInt(`0x${capabilities}`) >> 14n) & 1n; // CAP_IPC_LOCK
  return limit === 'unlimited' || mayLockAll ? undefined : `ulimit -l is ${limit} bytes`;
}

describe.skipIf(!ours || process.platform !== 'linux')('memory', () => {
  it('holds repacked weights once: not the file beside them', async () => {
    const mine = await taken({ kernels: 'auto' });
    const theirs = await taken({ kernels: 'ggml', mmap: false });
    expect(theirs.kernels).toBe('ggml');
    const { weightBytes, vocabularySize, embeddingLength } = checkGguf(target);
    // The embedding is the output matrix too. Rows are looked up in the one, products made with a repacked copy.
    const embedding = (vocabularySize * embeddingLength * 34) / 32;
    const most = theirs.resident + embedding + 0.12 * weightBytes;
    console.log(
      [
        ['ours', mine.resident],
        ["llama.cpp's, not mapped", theirs.resident],
        ['weights', weightBytes],
        ['embedding', embedding],
      ]
        .map(([what, bytes]) => `${what} ${(Number(bytes) / 1e6).toFixed(1)} MB`)
        .join(', '),
    );
    expect(mine.resident).toBeLessThanOrEqual(most);
    // Else it wasn't the weights that were measured.
    expect(mine.resident).toBeGreaterThan(weightBytes);
    expect(theirs.resident).toBeGreaterThan(weightBytes);
  });

  const why = process.platform === 'linux' ? whyNotLocked() : undefined;
  it.skipIf(why)(`locks repacked weights with mlock${why ? ` (skipped: ${why})` : ''}`, async () => {
    const { weightBytes } = checkGguf(target);
    // All weights are in memory of llama.cpp's or of ours, where none is smaller than in the file.
    expect((await taken({ kernels: 'auto', mlock: true })).locked).toBeGreaterThanOrEqual(weightBytes);
    expect((await taken({ kernels: 'auto' })).locked).toBe(0);
  });
});
