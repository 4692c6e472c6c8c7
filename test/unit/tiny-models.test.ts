// The tiny models are what the other tests take them for.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readGguf } from '../../lib/models/gguf-read-raw.js';
import type { GgufFile } from '../../lib/models/gguf-write.js';
import {
  TINY_MODELS,
  TINY_VOCABULARY_SIZE,
  type TinyModelName,
  type TinyModels,
  tinyModels,
  writeTinyModels,
} from '../tiny-models.js';

let dir: string;
let paths: TinyModels;
const files = {} as Record<TinyModelName, GgufFile>;
const names = Object.keys(TINY_MODELS) as TinyModelName[];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tiny-models-'));
  paths = await tinyModels(join(dir, 'cache'));
  for (const name of names) files[name] = await readGguf(paths[name]);
});
afterAll(() => rm(dir, { recursive: true }));

const value = (name: TinyModelName, key: string) => files[name].metadata.get(key)?.value;
const texts = (name: TinyModelName) => value(name, 'tokenizer.ggml.tokens') as string[];
const ids = (name: TinyModelName, key: string) => value(name, `adaptive_spec.${key}`) as number[];
const rowsOf = (name: TinyModelName, tensor: string) =>
  files[name].tensors.find((each) => each.name === tensor)?.shape[1];

describe('the cache', () => {
  it('gives the same bytes whoever makes them', async () => {
    const others = await writeTinyModels(join(dir, 'again'));
    for (const name of names) {
      expect((await readFile(paths[name])).equals(await readFile(others[name])), name).toBe(true);
    }
  });

  it('survives test files that all make it at once', async () => {
    const root = join(dir, 'race');
    const made = await Promise.all(Array.from({ length: 4 }, () => tinyModels(root)));
    expect(new Set(made.map(({ target }) => target)).size).toBe(1);
    expect(await readdir(root)).toHaveLength(1);
    await readGguf(made[0]!.hybrid);
  });
});

describe('the vocabulary', () => {
  it('has every byte, and each merge makes a token of two tokens', () => {
    const known = new Set(texts('target'));
    expect(known.size).toBe(TINY_VOCABULARY_SIZE);
    expect(
      texts('target')
        .slice(3, 259)
        .every((text) => Array.from(text).length === 1),
    ).toBe(true);
    for (const merge of value('target', 'tokenizer.ggml.merges') as string[]) {
      const [left = '', right = ''] = merge.split(' ');
      expect(known.has(left) && known.has(right) && known.has(left + right), merge).toBe(true);
    }
  });

  it('has tokens that cross stop strings, and beginnings of characters', () => {
    expect(texts('target')).toEqual(expect.arrayContaining(['ĊĊ', 'END', 'ND.', 'âĢ', 'ðŁ']));
  });

  it('is the same in all models that have one, but where the name says otherwise', () => {
    const others: Partial<Record<TinyModelName, number>> = {
      targetPadded: 64,
      draftPadded: 64,
      draftTooBig: 200,
    };
    for (const name of names) {
      if (!texts(name) || name === 'draftOtherTexts') continue;
      expect(texts(name).slice(0, TINY_VOCABULARY_SIZE), name).toEqual(texts('target'));
      expect(texts(name).length, name).toBe(TINY_VOCABULARY_SIZE + (others[name] ?? 0));
      // A head uses its target's matrices, or has an output over a smaller vocabulary.
      if (name.startsWith('eagle3')) continue;
      expect(rowsOf(name, 'output.weight'), name).toBe(texts(name).length);
      expect(rowsOf(name, 'token_embd.weight'), name).toBe(texts(name).length);
    }
    const changed = texts('draftOtherTexts').filter((text, id) => text !== texts('target')[id]);
    expect(changed).toHaveLength(3);
    expect(value('draftOtherBos', 'tokenizer.ggml.bos_token_id')).not.toBe(
      value('target', 'tokenizer.ggml.bos_token_id'),
    );
  });
});

describe('drafts', () => {
  it('differ from the target in weights only, and as much as they should', () => {
    const weights = (name: TinyModelName) => {
      const data = files[name].tensors.find((tensor) => tensor.name === 'blk.0.ffn_up.weight')!.data;
      return new Float32Array(Uint8Array.from(data).buffer);
    };
    const target = weights('target');
    const distance = (name: TinyModelName) =>
      Math.sqrt(
        weights(name).reduce((sum, weight, at) => sum + (weight - target[at]!) ** 2, 0) /
          target.reduce((sum, weight) => sum + weight ** 2, 0),
      );
    expect(distance('draftPerfect')).toBe(0);
    expect(distance('draft')).toBeGreaterThan(0.03);
    expect(distance('draft')).toBeLessThan(0.1);
    expect(distance('draftBad')).toBeGreaterThan(1);
    expect(files.draft.metadata).toEqual(files.target.metadata);
  });

  it('with a vocabulary of their own have maps that fit each other', () => {
    const toTarget = ids('draftHot', 'draft_to_target');
    const toDraft = ids('draftHot', 'target_to_draft');
    expect(toTarget).toEqual([...toTarget].sort((a, b) => a - b));
    expect(toDraft).toHaveLength(TINY_VOCABULARY_SIZE);
    expect(toTarget.map((id) => toDraft[id])).toEqual(toTarget.map((_, at) => at));
    expect(Math.max(...toDraft)).toBeLessThan(toTarget.length);
    expect(toTarget.length).toBeLessThan(TINY_VOCABULARY_SIZE);
    expect(rowsOf('draftHot', 'output.weight')).toBe(toTarget.length);
    expect(value('draftHot', 'tokenizer.ggml.model')).toBe('none');
    expect(texts('draftHot')).toBeUndefined();
  });

  it('that must be refused are wrong in one way each', () => {
    const good = {
      toTarget: ids('draftHot', 'draft_to_target'),
      toDraft: ids('draftHot', 'target_to_draft'),
    };
    const of = (name: TinyModelName) => ({
      toTarget: ids(name, 'draft_to_target'),
      toDraft: ids(name, 'target_to_draft'),
    });
    expect(of('draftHotBadMap').toDraft).toEqual(good.toDraft);
    expect(Math.max(...of('draftHotBadMap').toTarget)).toBe(TINY_VOCABULARY_SIZE);
    expect(of('draftHotBadReverse').toTarget).toEqual(good.toTarget);
    expect(Math.max(...of('draftHotBadReverse').toDraft)).toBe(good.toTarget.length);
    expect(of('draftHotUnsorted').toTarget).toEqual([...good.toTarget].reverse());
    expect(of('draftHotShort')).toEqual({ toTarget: good.toTarget, toDraft: good.toDraft.slice(0, -10) });
    expect(value('noTokenizer', 'tokenizer.ggml.model')).toBe('none');
    expect(ids('noTokenizer', 'draft_to_target')).toBeUndefined();
  });
});
