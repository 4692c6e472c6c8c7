// llama.cpp's trained draft heads in an engine: EAGLE-3, DFlash and MTP, on tiny models with random weights.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { armOf } from '../../lib/bench/arms.js';
import {
  type AdaptiveSpecError,
  controllers,
  createEngine,
  type Engine,
  type EngineOptions,
  readTrace,
  recordedReport,
  type StepReport,
} from '../../lib/index.js';
import { arrayOf, type GgufFile, type GgufValue, str, u32, writeGguf } from '../../lib/models/gguf-write.js';
import { buildTinyModels, type TinyModelName, tinyModels } from '../tiny-models.js';
import { TieJudge } from './ties.js';
import { BEGINNINGS, random } from './tiny-engine.js';

interface Pair {
  name: 'eagle3' | 'mtp' | 'dflash';
  target: TinyModelName;
  draft: TinyModelName | 'mtp';
  /** Most tokens of a draft. */
  most: number;
}
const PAIRS: Pair[] = [
  { name: 'eagle3', target: 'targetNear', draft: 'eagle3', most: 16 },
  { name: 'eagle3', target: 'targetNear', draft: 'eagle3Hot', most: 16 },
  { name: 'eagle3', target: 'targetQwen3', draft: 'eagle3Qwen3', most: 16 },
  { name: 'mtp', target: 'targetMtp', draft: 'mtp', most: 16 },
  { name: 'dflash', target: 'targetNear', draft: 'dflash', most: 5 },
];

async function headEngine({ target, draft }: Pick<Pair, 'target' | 'draft'>, options: EngineOptions = {}) {
  const models = await tinyModels();
  return createEngine({
    model: models[target],
    draft: draft === 'mtp' ? 'mtp' : models[draft],
    contextSize: 512,
    maxDepth: 16,
    calibrate: 'off',
    // However busy the machine is, plans are there when their steps begin.
    planDeadlineMs: 60_000,
    ...options,
  });
}

/** Reports of the requests that `run` makes. */
async function reportsOf(engine: Engine, run: () => PromiseLike<unknown>): Promise<StepReport[]> {
  const reports: StepReport[] = [];
  const off = engine.on('step', (report) => reports.push(report));
  await run();
  off();
  return reports;
}

describe.each(PAIRS)('$draft for $target', (pair) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await headEngine(pair);
  });
  afterAll(() => engine.close());

  it('is the first drafter, and leaves the text as it is at every depth', async () => {
    expect(engine.info.drafters[0]).toBe(pair.name);
    for (const prompt of BEGINNINGS) {
      const plain = await engine.generate({ prompt, maxTokens: 80, controller: 'off' });
      for (const depth of [1, 2, 3, 5, 8, 16]) {
        const drafted = await engine.generate({ prompt, maxTokens: 80, depth });
        expect(drafted.tokens, `K = ${depth}`).toEqual(plain.tokens);
      }
    }
  });

  it('drafts what a plan asks for, no more and no less, and is right now and then', async () => {
    let accepted = 0;
    for (const depth of [1, 3, 8]) {
      const reports = await reportsOf(engine, () =>
        engine.generate({ prompt: BEGINNINGS[1]!, maxTokens: 80, depth }),
      );
      const inside = reports.filter(({ step, position }) => step > 0 && position < 80 - depth);
      expect(inside.length).toBeGreaterThan(10);
      for (const report of inside) {
        expect(report.drafter).toBe(pair.name);
        expect(report.drafted).toBe(Math.min(depth, pair.most));
        accepted += report.accepted;
      }
    }
    expect(accepted).toBeGreaterThan(5);
  });

  it('says no probabilities, and has read all but the newest token', async () => {
    const reports = await reportsOf(engine, () =>
      engine.generate({ prompt: BEGINNINGS[0]!, maxTokens: 40, controller: () => 4 }),
    );
    for (const { drafted, probabilities, draftTokens, origins, drafterLag } of reports) {
      expect([probabilities.length, draftTokens.length, origins.length]).toEqual([0, drafted, drafted]);
      expect(drafterLag).toBeLessThanOrEqual(1);
    }
  });

  it('goes on from the accepted text alone, whatever was drafted, rejected or left out before', async () => {
    const prompt = BEGINNINGS[2]!;
    const next = random(7);
    const plans = [
      () => 4,
      () => (next() < 0.4 ? 0 : 4),
      () => ({ depth: 4, drafter: next() < 0.5 ? 'ngram' : pair.name }),
      () => ({ depth: 4, verify: Math.floor(next() * 5) }),
    ];
    const seen = new Map<number, string>();
    let compared = 0;
    let same = 0;
    let text: string | undefined;
    for (const controller of plans) {
      const reports = await reportsOf(engine, async () => {
        const result = await engine.generate({ prompt, maxTokens: 150, controller });
        text ??= result.text;
        expect(result.text).toBe(text);
      });
      for (const { position, tokens, drafted, drafter, draftTokens } of reports) {
        if (drafter !== pair.name || drafted < 4) continue;
        const before = position - tokens.length;
        const draft = [...draftTokens].join();
        const known = seen.get(before);
        if (known === undefined) seen.set(before, draft);
        compared += Number(known !== undefined);
        same += Number(known === draft);
      }
    }
    // A row of several is summed in another order than one alone: now and then that decides between two tokens.
    expect(compared).toBeGreaterThan(60);
    expect(same / compared).toBeGreaterThan(0.9);
  });

  it('gives one text for a seed, whatever the depth, and drafts beside rejection sampling', async () => {
    const how = { prompt: BEGINNINGS[3]!, maxTokens: 60, temperature: 0.8, topP: 0.95, seed: 11 };
    const plain = await engine.generate({ ...how, controller: 'off' });
    for (const depth of [1, 4, 9])
      expect((await engine.generate({ ...how, depth })).tokens).toEqual(plain.tokens);
    const certain = { ...how, acceptance: 'rejection' as const };
    const rejecting = await engine.generate({ ...certain, depth: 4 });
    expect(rejecting.tokens).toEqual((await engine.generate({ ...certain, controller: 'off' })).tokens);
    expect(rejecting.stats.draftTokens).toBeGreaterThan(0);
  });

  it("is driven by every built-in controller, 'auto' in each of its forms", async () => {
    const how = { prompt: BEGINNINGS[4]!, maxTokens: 60 };
    const plain = await engine.generate({ ...how, controller: 'off' });
    const names = ['hedge', 'adaptive', 'confidence', 'vllm', 'adaedl'];
    for (const controller of ['auto', undefined, controllers.auto(), ...names]) {
      const result = await engine.generate(controller === undefined ? how : { ...how, controller });
      expect(result.tokens, result.stats.controller.name).toEqual(plain.tokens);
    }
    for (const controller of [controllers.auto(), armOf('auto').make()]) {
      const { steps } = await engine.generate({ ...how, controller, steps: true });
      // As goodput begins where nothing is known of costs.
      expect(steps!.map(({ depth }) => depth).slice(0, 4)).toEqual([4, 4, 4, 4]);
    }
    const ngram = await engine.generate({ ...how, controller: 'auto', drafter: 'ngram' });
    expect(ngram.text).toEqual(plain.text);
  });

  it('keeps to a grammar', async () => {
    const how = { prompt: BEGINNINGS[0]!, maxTokens: 40, grammar: 'root ::= [a-z ]+ "." ' };
    const plain = await engine.generate({ ...how, controller: 'off' });
    const drafted = await engine.generate({ ...how, depth: 4 });
    expect(drafted.tokens).toEqual(plain.tokens);
  });

  it('drafts up to the end of the context, and for a prompt of one token', async () => {
    const short = await headEngine(pair, { contextSize: 64 });
    for (const prompt of [BEGINNINGS[1]!, [50]]) {
      const plain = await short.generate({ prompt, maxTokens: 200, controller: 'off' });
      const drafted = await short.generate({ prompt, maxTokens: 200, depth: 8 });
      expect(drafted.tokens).toEqual(plain.tokens);
      expect(drafted.stats.draftTokens).toBeGreaterThan(0);
    }
    await short.close();
  });

  it('reads prompts longer than a batch', async () => {
    const pieces = await headEngine(pair, { batchSize: 32 });
    const prompt = Array.from({ length: 300 }, (_, i) => 40 + ((i * 7) % 90));
    const plain = await pieces.generate({ prompt, maxTokens: 60, controller: 'off' });
    const reports = await reportsOf(pieces, async () =>
      expect((await pieces.generate({ prompt, maxTokens: 60, depth: 4 })).tokens).toEqual(plain.tokens),
    );
    expect(reports.some(({ drafted }) => drafted > 0)).toBe(true);
    await pieces.close();
  });

  it('follows many requests at once, each at its own depth', async () => {
    const models = await tinyModels();
    const together = await headEngine(pair, { parallel: 3, planDeadlineMs: 60_000 });
    const judge = await TieJudge.of(models[pair.target], 1e-3);
    const plains = [];
    for (const prompt of BEGINNINGS)
      plains.push(await engine.generate({ prompt, maxTokens: 60, controller: 'off' }));
    const depths = [0, 2, 5, 3, 8];
    const results = await Promise.all(
      BEGINNINGS.map((prompt, i) => together.generate({ prompt, maxTokens: 60, depth: depths[i]! })),
    );
    for (const [i, result] of results.entries()) {
      const prompt = together.tokenize(BEGINNINGS[i]!);
      await judge.expectSame(result.tokens, plains[i]!.tokens, prompt, `request ${i}`);
      expect(result.stats.draftTokens > 0).toBe(depths[i]! > 0);
    }
    expect(results.reduce((sum, { stats }) => sum + stats.acceptedTokens, 0)).toBeGreaterThan(3);
    await judge.close();
    await together.close();
  });

  it('goes on after a request that was aborted', async () => {
    const how = { prompt: BEGINNINGS[2]!, maxTokens: 100, depth: 3 };
    const whole = await engine.generate(how);
    const stop = new AbortController();
    const off = engine.on('step', ({ step }) => step === 5 && stop.abort());
    await engine.generate({ ...how, signal: stop.signal, onAbort: 'return' });
    off();
    const again = await engine.generate(how);
    expect(again.tokens).toEqual(whole.tokens);
    expect(again.stats.acceptedTokens).toBe(whole.stats.acceptedTokens);
  });

  it('reads a session anew at each turn, and refuses to save or restore one', async () => {
    expect(engine.info.sessions).toBe('none');
    const session = engine.session();
    const first = await session.generate({ prompt: BEGINNINGS[0]!, maxTokens: 20, depth: 3 });
    const prompt = BEGINNINGS[0]! + first.text;
    const second = await session.generate({ prompt, maxTokens: 20, depth: 3 });
    const alone = await engine.generate({ prompt, maxTokens: 20, controller: 'off' });
    expect(second.tokens).toEqual(alone.tokens);
    const refusal = { code: 'UNSUPPORTED', hint: expect.stringContaining('draft head') };
    await expect(session.save(join(tmpdir(), 'never.session'))).rejects.toMatchObject(refusal);
    await expect(engine.session({ restore: 'never.session' })).rejects.toMatchObject(refusal);
    session.close();
  });

  it('drafts chains in an engine that is made for trees, with one warning', async () => {
    const warnings: string[] = [];
    const trees = await headEngine(pair, {
      branches: 4,
      onWarning: ({ message }) => warnings.push(message),
    });
    expect(trees.info.branches).toBe(0);
    expect(warnings).toEqual([expect.stringContaining('trained draft head')]);
    const how = { prompt: BEGINNINGS[1]!, maxTokens: 40 };
    const drafted = await trees.generate({ ...how, depth: 4, tree: 8 });
    expect(drafted.tokens).toEqual((await trees.generate({ ...how, controller: 'off' })).tokens);
    await trees.close();
  });
});

it('goes on after logits without numbers: what it has read of them is wiped', async () => {
  const engine = await headEngine({ target: 'targetNan', draft: 'eagle3' });
  const how = { prompt: BEGINNINGS[0]!, maxTokens: 60, depth: 3 };
  const before = await engine.generate(how);
  await expect(engine.generate({ prompt: 'a ~ b', depth: 3 })).rejects.toMatchObject({ code: 'BAD_LOGITS' });
  const after = await engine.generate(how);
  expect(after.tokens).toEqual(before.tokens);
  expect(after.stats.acceptedTokens).toBe(before.stats.acceptedTokens);
  await engine.close();
});

describe('what would end the process in llama.cpp', () => {
  const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-heads-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const files = buildTinyModels();

  /** A tiny model with other metadata (undefined: without), and without some of its tensors. */
  async function changed(
    name: TinyModelName,
    metadata: Record<string, GgufValue | undefined>,
    change: (tensors: GgufFile['tensors']) => GgufFile['tensors'] = (tensors) => tensors,
  ): Promise<string> {
    const all = new Map(files[name].metadata);
    for (const [key, value] of Object.entries(metadata)) {
      if (value === undefined) all.delete(key);
      else all.set(key, value);
    }
    const path = join(folder, `${name}.gguf`);
    await writeGguf(path, { metadata: all, tensors: change(files[name].tensors) });
    return path;
  }

  async function refusal(model: string, draft: string): Promise<AdaptiveSpecError> {
    const engine = await createEngine({ model, draft, contextSize: 256, calibrate: 'off' }).catch(
      (error: AdaptiveSpecError) => error,
    );
    if (!('code' in engine)) {
      await engine.close();
      throw new Error('it was loaded');
    }
    expect(engine.hint.length).toBeGreaterThan(10);
    return engine;
  }

  const without = (name: string) => (tensors: GgufFile['tensors']) =>
    tensors.filter((tensor) => !tensor.name.includes(name));
  const layers = (of: string, ids: number[]) => ({ [`${of}.target_layers`]: arrayOf('int32', ids) });
  const tokens = files.draftOtherTexts.metadata.get('tokenizer.ggml.tokens')!;
  const fewer = files.draftPadded.metadata.get('tokenizer.ggml.tokens')!;
  const types = files.draftPadded.metadata.get('tokenizer.ggml.token_type')!;
  const badMap = (tensors: GgufFile['tensors']) =>
    tensors.map((tensor) => {
      if (tensor.name !== 'd2t') return tensor;
      const ids = new BigInt64Array(tensor.data.slice().buffer);
      ids[3] = 1_000_000n;
      return { ...tensor, data: new Uint8Array(ids.buffer) };
    });
  const asFloats = (tensors: GgufFile['tensors']) =>
    tensors.map((tensor) =>
      tensor.name === 'd2t'
        ? { ...tensor, type: 'F32' as const, data: tensor.data.slice(0, tensor.data.length / 2) }
        : tensor,
    );

  it.each([
    ['a layer that the target lacks', 'eagle3', layers('eagle3', [0, 1, 2]), undefined, 'MODEL_INVALID'],
    ['a layer before the first', 'eagle3', layers('eagle3', [-1, 0, 1]), undefined, 'MODEL_INVALID'],
    ['two layers to read', 'eagle3', layers('eagle3', [0, 1]), undefined, 'MODEL_INVALID'],
    ['no layers to read', 'eagle3', { 'eagle3.target_layers': undefined }, undefined, 'MODEL_INVALID'],
    [
      'no size of the states',
      'eagle3',
      { 'eagle3.target_hidden_size': undefined },
      undefined,
      'MODEL_INVALID',
    ],
    [
      'another size of the states',
      'eagle3',
      { 'eagle3.target_hidden_size': u32(128) },
      undefined,
      'MODEL_INVALID',
    ],
    ['a missing matrix', 'eagle3', {}, without('fc.weight'), 'MODEL_INVALID'],
    ['keys of another size', 'eagle3', { 'eagle3.attention.key_length': u32(8) }, undefined, 'MODEL_INVALID'],
    ['other tokens', 'eagle3', { 'tokenizer.ggml.tokens': tokens }, undefined, 'VOCAB_MISMATCH'],
    ['a d2t without matrix', 'eagle3Hot', {}, without('output.weight'), 'MODEL_INVALID'],
    ['a d2t of unknown ids', 'eagle3Hot', {}, badMap, 'MODEL_INVALID'],
    ['a d2t of floats', 'eagle3Hot', {}, asFloats, 'MODEL_INVALID'],
    ['a layer that the target lacks', 'dflash', layers('dflash', [0, 2]), undefined, 'MODEL_INVALID'],
    ['no layers to read', 'dflash', { 'dflash.target_layers': undefined }, undefined, 'MODEL_INVALID'],
    ['no mask token', 'dflash', { 'tokenizer.ggml.mask_token_id': undefined }, undefined, 'MODEL_INVALID'],
    ['no block size', 'dflash', { 'dflash.block_size': undefined }, undefined, 'MODEL_INVALID'],
    ['blocks of one', 'dflash', { 'dflash.block_size': u32(1) }, undefined, 'MODEL_INVALID'],
    ['hyper-connections', 'dflash', { 'dflash.hyper_connection_count': u32(0) }, undefined, 'UNSUPPORTED'],
  ] as const)('is refused: %s (%s)', async (_, name, metadata, change, code) => {
    const models = await tinyModels();
    expect(await refusal(models.targetNear, await changed(name, metadata, change))).toMatchObject({ code });
  });

  it('is refused: a head with more tokens than its target', async () => {
    const models = await tinyModels();
    const draft = await changed('eagle3', {
      'tokenizer.ggml.tokens': fewer,
      'tokenizer.ggml.token_type': types,
    });
    expect(await refusal(models.targetNear, draft)).toMatchObject({ code: 'VOCAB_MISMATCH' });
  });

  it('is refused: a target whose layers cannot be read', async () => {
    const models = await tinyModels();
    for (const head of ['eagle3', 'dflash'] as const) {
      const error = await refusal(models.swa, models[head]);
      expect(error).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('gemma3') });
    }
  });

  it('is refused: MTP of a target that brings none, or not all of it, or of another architecture', async () => {
    const models = await tinyModels();
    const none = { code: 'UNSUPPORTED', message: expect.stringContaining('no MTP layer') };
    expect(await refusal(models.target, 'mtp')).toMatchObject(none);
    for (const lacking of ['nextn.eh_proj', 'nextn'])
      expect(await refusal(await changed('targetMtp', {}, without(lacking)), 'mtp')).toMatchObject(none);
    const two = await changed('targetMtp', { 'glm4moe.nextn_predict_layers': u32(2) });
    await refusal(two, 'mtp');
    const { metadata } = files.target;
    const llama = await changed('target', {
      ...Object.fromEntries(metadata),
      'llama.nextn_predict_layers': u32(1),
    });
    await refusal(llama, 'mtp');
  });

  it('is refused: a head as the model, or an MTP layer in a file of its own', async () => {
    const models = await tinyModels();
    const hint = expect.stringContaining('as the draft');
    for (const head of ['eagle3', 'dflash'] as const)
      expect(await refusal(models[head], models.draft)).toMatchObject({ code: 'UNSUPPORTED', hint });
    const assistant = await changed('eagle3', { 'general.architecture': str('gemma4-assistant') });
    await refusal(models.target, assistant);
  });

  it('runs a target that cannot be rolled back without its head', async () => {
    const models = await tinyModels();
    const engine = await createEngine({
      model: models.hybrid,
      draft: models.eagle3,
      contextSize: 256,
      onWarning: () => {},
    });
    expect(engine.info.drafters).toEqual([]);
    await engine.close();
  });
});

it('is recorded step by step, and read back', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-heads-trace-'));
  const trace = join(folder, 'steps.jsonl');
  const engine = await headEngine({ target: 'targetMtp', draft: 'mtp' });
  const reports = await reportsOf(engine, () =>
    engine.generate({ prompt: BEGINNINGS[1]!, depth: 4, maxTokens: 30, trace }),
  );
  await engine.close();
  const { generations } = await readTrace(trace);
  rmSync(folder, { recursive: true });
  const steps = generations[0]!.steps;
  expect(steps.some(({ drafted }) => drafted > 0)).toBe(true);
  for (const [i, step] of steps.entries()) {
    const { drafter, probabilities, draftTokens } = recordedReport(step);
    expect([...probabilities]).toEqual([]);
    expect([drafter, ...draftTokens]).toEqual([reports[i]!.drafter, ...reports[i]!.draftTokens]);
  }
});
