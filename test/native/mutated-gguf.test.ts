// Damaged models: a thousand, each of which gives a working engine or an error in words, and never ends the process.
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readGguf } from '../../lib/models/gguf-read-raw.js';
import { arrayOf, u32, writeGguf } from '../../lib/models/gguf-write.js';
import { type TinyModelName, type TinyModels, tinyModels } from '../tiny-models.js';
import { distFile } from './dist.js';
import { type Layout, layoutOf, mutate } from './mutate-gguf.js';
import { random } from './tiny-engine.js';

const SEED = Number(process.env.MUTATED_GGUF_SEED ?? 20_261);
const COUNT = Number(process.env.MUTATED_GGUF_COUNT ?? 1000);
const CHILDREN = 2;
const LIMIT_MS = 20_000;
/** Of a child's memory; an undamaged model takes about a tenth. */
const LIMIT_MIB = 1024;

interface Base {
  base: TinyModelName;
  /** 'mtp': a model whose own layer drafts. */
  role: 'model' | 'draft' | 'mtp';
}
const BASES: Base[] = [
  { base: 'target', role: 'model' },
  { base: 'targetWithEog', role: 'model' },
  { base: 'swa', role: 'model' },
  { base: 'recurrent', role: 'model' },
  { base: 'hybrid', role: 'model' },
  { base: 'draftHot', role: 'draft' },
  { base: 'draft', role: 'draft' },
  { base: 'draftHot', role: 'draft' },
];
const HEADS: Base[] = [
  { base: 'eagle3', role: 'draft' },
  { base: 'eagle3Hot', role: 'draft' },
  { base: 'dflash', role: 'draft' },
  { base: 'targetMtp', role: 'mtp' },
];

interface Outcome {
  tokens?: number[];
  finishReason?: string;
  code?: string;
  message?: string;
  untyped?: string;
  peakMiB: number;
}

let dir: string;
let models: TinyModels;
const layouts = new Map<string, Layout>();

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'mutated-gguf-'));
  models = await tinyModels();
  for (const { base } of [...BASES, ...HEADS]) layouts.set(base, layoutOf(readFileSync(models[base])));
});
afterAll(() => rmSync(dir, { recursive: true }));

/** A child process that loads what it is told to, and what it wrote to stderr last. */
class Child {
  #process!: ChildProcess;
  #stderr = '';

  async start(): Promise<void> {
    this.#stderr = '';
    this.#process = fork(resolve('test/native/mutated-gguf-child.mjs'), {
      env: { ...process.env, ADAPTIVE_SPEC_INDEX: pathToFileURL(distFile('index.js')).href },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: [],
    });
    this.#process.stderr!.on('data', (chunk) => {
      this.#stderr = (this.#stderr + chunk).slice(-600);
    });
    await this.#next(LIMIT_MS);
  }

  /** Rejects with words where the child ends or takes too long. */
  ask(question: object): Promise<Outcome> {
    const answer = this.#next(LIMIT_MS);
    this.#process.send(question);
    return answer;
  }

  #next(ms: number): Promise<Outcome> {
    const child = this.#process;
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        clearTimeout(timer);
        child.off('message', onMessage);
        child.off('close', onClose);
        settle();
      };
      const onMessage = (message: unknown) => end(() => resolve(message as Outcome));
      const onClose = (code: number | null, signal: string | null) =>
        end(() => reject(new Error(`ended the process (${signal ?? code}): ${this.#stderr}`)));
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        end(() => reject(new Error(`took more than ${ms} ms`)));
      }, ms);
      child.on('message', onMessage);
      child.on('close', onClose);
    });
  }

  stop(): void {
    this.#process.kill('SIGKILL');
  }
}

/** What is wrong with what became of a model; undefined where nothing is. */
function complaint({ tokens, finishReason, code, message, untyped, peakMiB }: Outcome): string | undefined {
  if (untyped !== undefined) return `an error that is none of ours: ${untyped}`;
  if (peakMiB > LIMIT_MIB) return `took ${Math.round(peakMiB)} MiB`;
  if (code !== undefined) return message ? undefined : `${code} without a message`;
  // Fewer than were asked for where the damage made the context that short.
  const full = tokens?.length === 8 || finishReason === 'length';
  if (!full || !tokens?.length || !tokens.every((token) => token >= 0 && Number.isInteger(token)))
    return `generated ${JSON.stringify(tokens)} (${finishReason})`;
  return undefined;
}

it.each([
  ['models', COUNT, BASES],
  ['draft heads', Math.ceil(COUNT / 3), HEADS],
] as const)(
  `damaged %s each work or are refused in words: %i (seed ${SEED})`,
  async (_, count, bases) => {
    const failures: string[] = [];
    const codes: Record<string, number> = { works: 0 };
    let next = 0;

    async function work(path: string): Promise<void> {
      const child = new Child();
      await child.start();
      try {
        while (next < count) {
          const index = next++;
          const { base, role } = bases[index % bases.length]!;
          const { bytes, what } = mutate(layouts.get(base)!, random(SEED ^ Math.imul(index + 1, 0x9e3779b1)));
          writeFileSync(path, bytes);
          const question = {
            model: { model: path },
            draft: { model: models.target, draft: path },
            mtp: { model: path, draft: 'mtp' },
          }[role];
          const label = `#${index} ${base} as ${role}, ${what}`;
          try {
            const outcome = await child.ask(question);
            const wrong = complaint(outcome);
            if (wrong !== undefined) failures.push(`${label}: ${wrong}`);
            codes[outcome.code ?? 'works'] = (codes[outcome.code ?? 'works'] ?? 0) + 1;
            if (outcome.peakMiB <= LIMIT_MIB) continue;
            child.stop();
          } catch (error) {
            failures.push(`${label}: ${(error as Error).message}`);
          }
          await child.start();
        }
      } finally {
        child.stop();
      }
    }

    await Promise.all(Array.from({ length: CHILDREN }, (_, i) => work(join(dir, `${i}.gguf`))));
    console.log(`seed ${SEED}: ${JSON.stringify(codes)}`);
    expect(failures).toEqual([]);
    // Damage that is always refused, or never, would test nothing.
    expect(codes.works).toBeGreaterThan(count / 20);
    expect(codes.MODEL_INVALID).toBeGreaterThan(count / 20);
  },
  600_000,
);

it.each([
  ['texts', arrayOf('string', ['a', 'b'])],
  ['floats', arrayOf('float32', [0, 1])],
  ['64-bit numbers', arrayOf('int64', [0n, 1n])],
  ['one number', u32(0)],
  ['nothing', arrayOf('int32', [])],
])("a draft's map of %s is refused, and named", async (_, value) => {
  const sound = await readGguf(models.draftHot);
  const child = new Child();
  await child.start();
  for (const key of ['adaptive_spec.draft_to_target', 'adaptive_spec.target_to_draft']) {
    const path = join(dir, 'map.gguf');
    await writeGguf(path, { ...sound, metadata: new Map([...sound.metadata, [key, value]]) });
    const outcome = await child.ask({ model: models.target, draft: path });
    expect(outcome).toMatchObject({ code: 'VOCAB_MISMATCH', message: expect.stringContaining(key) });
  }
  child.stop();
});

it('an undamaged model passes the same way', async () => {
  const child = new Child();
  await child.start();
  const outcomes = [
    await child.ask({ model: models.target }),
    await child.ask({ model: models.target, draft: models.draftHot }),
  ];
  child.stop();
  expect(outcomes.map(complaint)).toEqual([undefined, undefined]);
  expect(outcomes[0]!.tokens).toEqual(outcomes[1]!.tokens);
});

it('a process that ends or hangs is noticed, with its model', async () => {
  const child = new Child();
  await child.start();
  const answer = child.ask({ model: models.target });
  child.stop();
  await expect(answer).rejects.toThrow(/ended the process \(SIGKILL\)/);
});
