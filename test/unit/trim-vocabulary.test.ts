// A trimmed draft has the rows that it should have, and its maps lead where they should.
import { describe, expect, it } from 'vitest';
import type { GgufFile, GgufTensor } from '../../lib/models/gguf-write.js';
import { nearestRows } from '../../lib/models/nearest-rows.js';
import { draftIds, trimVocabulary } from '../../lib/models/trim-vocabulary.js';
import { buildTinyModels, TINY_VOCABULARY_SIZE } from '../tiny-models.js';

const { draft, draftHot, draftPadded, draftHotShort } = buildTinyModels();
const size = TINY_VOCABULARY_SIZE;
const kept = Array.from({ length: size }, (_, id) => id).filter((id) => id % 3 === 0);

const tensor = (file: GgufFile, name: string): GgufTensor => file.tensors.find((each) => each.name === name)!;
const row = ({ shape, data }: GgufTensor, index: number) => {
  const width = data.byteLength / shape[1]!;
  return Buffer.from(data.subarray(index * width, (index + 1) * width));
};
const map = (file: GgufFile, name: string) => file.metadata.get(`adaptive_spec.${name}`)?.value as number[];
const trimmed = trimVocabulary(draft, draftIds(draft, size), kept);

describe('trimming', () => {
  it.each(['token_embd.weight', 'output.weight'])('keeps the rows of %s as they are', (name) => {
    expect(tensor(trimmed, name).shape).toEqual([64, kept.length]);
    kept.forEach((id, index) => {
      expect(row(tensor(trimmed, name), index).equals(row(tensor(draft, name), id))).toBe(true);
    });
  });

  it('keeps everything else, without the tokenizer', () => {
    for (const { name, data } of draft.tensors.filter(({ name }) => /^blk|norm/.test(name)))
      expect(tensor(trimmed, name).data).toBe(data);
    expect(trimmed.tensors.map(({ name }) => name)).toEqual(draft.tensors.map(({ name }) => name));
    expect([...trimmed.metadata.keys()].filter((key) => key.startsWith('tokenizer.'))).toEqual([
      'tokenizer.ggml.model',
    ]);
    expect(trimmed.metadata.get('tokenizer.ggml.model')?.value).toBe('none');
    expect(trimmed.metadata.get('llama.vocab_size')?.value).toBe(kept.length);
    expect(trimmed.metadata.get('llama.block_count')).toEqual(draft.metadata.get('llama.block_count'));
  });

  it('maps kept ids there and back, and others to the nearest kept one', () => {
    expect(map(trimmed, 'draft_to_target')).toEqual(kept);
    const reading = map(trimmed, 'target_to_draft');
    expect(reading).toHaveLength(size);
    kept.forEach((id, index) => {
      expect(reading[id]).toBe(index);
    });
    const floats = new Float32Array(Uint8Array.from(tensor(draft, 'token_embd.weight').data).buffer);
    const at = (id: number) => floats.subarray(id * 64, (id + 1) * 64);
    const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    const cosine = (a: number, b: number) =>
      dot(at(a), at(b)) / Math.sqrt(dot(at(a), at(a)) * dot(at(b), at(b)));
    const others = Array.from({ length: size }, (_, id) => id).filter((id) => id % 3 !== 0);
    // Candidates are found by sketches: nearly always the nearest, always near.
    const ranks = others.map((id) => {
      const chosen = cosine(id, kept[reading[id]!]!);
      return kept.filter((other) => cosine(id, other) > chosen).length;
    });
    expect(ranks.filter((rank) => rank === 0).length / ranks.length).toBeGreaterThan(0.6);
    expect(ranks.reduce((sum, rank) => sum + rank, 0) / ranks.length).toBeLessThan(3);
  });

  it('gives the same for tied matrices', () => {
    const tied = { ...draft, tensors: draft.tensors.filter(({ name }) => name !== 'output.weight') };
    const result = trimVocabulary(tied, draftIds(tied, size), kept);
    expect(result.tensors.map(({ name }) => name)).not.toContain('output.weight');
    expect(tensor(result, 'token_embd.weight')).toEqual(tensor(trimmed, 'token_embd.weight'));
    expect(result.metadata).toEqual(trimmed.metadata);
  });

  it('goes on from a draft that is trimmed already', () => {
    const own = map(draftHot, 'draft_to_target').filter((_, index) => index % 2 === 0);
    const twice = trimVocabulary(draftHot, draftIds(draftHot, size), own);
    const once = trimVocabulary(draft, draftIds(draft, size), own);
    expect(tensor(twice, 'output.weight')).toEqual(tensor(once, 'output.weight'));
    expect(map(twice, 'draft_to_target')).toEqual(own);
    const before = map(draftHot, 'target_to_draft');
    const after = map(twice, 'target_to_draft');
    before.forEach((id, target) => {
      // What read as a token that is still there reads as it still.
      if (id % 2 === 0) expect(after[target]).toBe(id / 2);
    });
  });

  it('leaves padding out, on either side', () => {
    const ids = draftIds(draftPadded, size);
    expect(ids.proposing).toHaveLength(size);
    const result = trimVocabulary(draftPadded, ids, kept);
    expect(tensor(result, 'output.weight')).toEqual(tensor(trimmed, 'output.weight'));
    const wider = trimVocabulary(draft, draftIds(draft, size + 64), kept);
    expect(map(wider, 'target_to_draft').slice(size)).toEqual(new Array(64).fill(0));
    expect(map(wider, 'target_to_draft').slice(0, size)).toEqual(map(trimmed, 'target_to_draft'));
  });

  it('refuses maps of another target', () => {
    expect(() => draftIds(draftHotShort, size)).toThrow(expect.objectContaining({ code: 'VOCAB_MISMATCH' }));
  });
});

describe('the nearest row', () => {
  it('is the same direction whatever its length, and the lowest of equals', () => {
    const table = [
      [0, 1, 0],
      [2, 0, 0],
      [1, 0, 0],
      [0, 0, -1],
    ].map((values) => Float32Array.from(values));
    const rows = [
      [9, 1, 0],
      [0, 0, -0.1],
      [0, 0, 0],
    ].map((values) => Float32Array.from(values));
    const found = nearestRows(
      { count: rows.length, row: (i) => rows[i]! },
      { count: table.length, row: (i) => table[i]! },
    );
    expect([...found]).toEqual([1, 3, 0]);
  });
});
