// The full-vocabulary twin says what the small draft says, in the target's ids.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { fullVocabularyTwin } from '../../bench/full-vocabulary-twin.mjs';
import { arrayOf, f32Bytes, type GgufFile, type GgufTensor, str, u32 } from '../../lib/models/gguf-write.js';
import { buildTinyModels, TINY_VOCABULARY_SIZE } from '../tiny-models.js';

const { target, draftHot: draft, draft: untrimmed } = buildTinyModels();
const twin = fullVocabularyTwin(draft, target);

const tensor = (file: GgufFile, name: string): GgufTensor => file.tensors.find((each) => each.name === name)!;
const floats = ({ data }: GgufTensor) => new Float32Array(Uint8Array.from(data).buffer);
const ids = (name: string) => draft.metadata.get(`adaptive_spec.${name}`)?.value as number[];
const width = 64;

/** Q4_0 back to numbers; the scales that occur here are normal half-precision numbers. */
function dequantise(data: Uint8Array): number[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Array.from({ length: (data.byteLength / 18) * 32 }, (_, i) => {
    const block = Math.floor(i / 32) * 18;
    const half = view.getUint16(block, true);
    const scale =
      (half & 0x7fff ? 2 ** (((half >> 10) & 31) - 15) * (1 + (half & 1023) / 1024) : 0) *
      (half & 0x8000 ? -1 : 1);
    const byte = data[block + 2 + (i % 16)]!;
    return scale * (((i % 32 < 16 ? byte : byte >> 4) & 15) - 8);
  });
}

describe('the twin of a small draft', () => {
  it('reads every target token as the draft does', () => {
    const rows = floats(tensor(twin, 'token_embd.weight'));
    const own = floats(tensor(draft, 'token_embd.weight'));
    ids('target_to_draft').forEach((id, at) => {
      expect(rows.subarray(at * width, (at + 1) * width)).toEqual(own.subarray(id * width, (id + 1) * width));
    });
  });

  it('never proposes what the draft lacks, and gives its own tokens their row', () => {
    const head = tensor(twin, 'output.weight');
    expect(head).toMatchObject({ type: 'Q4_0', shape: [width, TINY_VOCABULARY_SIZE] });
    const rows = dequantise(head.data);
    const full = floats(tensor(untrimmed, 'output.weight'));
    const own = new Set(ids('draft_to_target'));
    for (let id = 0; id < TINY_VOCABULARY_SIZE; id++) {
      const row = rows.slice(id * width, (id + 1) * width);
      if (!own.has(id)) {
        expect(row.every((value) => value === 0)).toBe(true);
      } else {
        const wanted = full.subarray(id * width, (id + 1) * width);
        const largest = Math.max(...wanted.map(Math.abs));
        // A step is an eighth of the largest; the far end is a whole one off, as 8 steps are cut to 7.
        row.forEach((value, column) => {
          expect(Math.abs(value - wanted[column]!)).toBeLessThanOrEqual(largest / 8 + 1e-3);
        });
      }
    }
  });

  it("has the draft's layers and settings, the target's tokenizer and no maps", () => {
    const layers = draft.tensors.filter(
      ({ name }) => name.startsWith('blk.') || name === 'output_norm.weight',
    );
    for (const layer of layers) expect(tensor(twin, layer.name)).toEqual(layer);
    expect(twin.tensors).toHaveLength(draft.tensors.length);
    for (const [key, value] of target.metadata) {
      if (key.startsWith('tokenizer.')) expect(twin.metadata.get(key)).toEqual(value);
    }
    expect(twin.metadata.get('llama.vocab_size')).toEqual(u32(TINY_VOCABULARY_SIZE));
    expect([...twin.metadata.keys()].filter((key) => key.startsWith('adaptive_spec.'))).toEqual([]);
  });
});

describe('a tied draft in Q8_0, as the default draft is', () => {
  /** One token, whose row is `values` at a scale of 1/3. */
  function tied(values: number[]): GgufFile {
    const data = new Uint8Array(34);
    data.set([0x55, 0x35]);
    data.set(Int8Array.from(values), 2);
    const metadata = new Map([
      ['llama.vocab_size', u32(1)],
      ['tokenizer.ggml.model', str('none')],
      ['adaptive_spec.draft_to_target', arrayOf('int32', [1])],
      ['adaptive_spec.target_to_draft', arrayOf('int32', [0, 0])],
    ]);
    return { metadata, tensors: [{ name: 'token_embd.weight', type: 'Q8_0', shape: [32, 1], data }] };
  }
  const two: GgufFile = {
    metadata: new Map(),
    tensors: [
      { name: 'token_embd.weight', type: 'F32', shape: [32, 2], data: f32Bytes(new Float32Array(64)) },
    ],
  };

  it("is rounded to ggml's bytes: low halves first, and ggml's own zero rows", () => {
    const values = [-8, 7, 0, 1, ...Array(12).fill(0), 4, -4, ...Array(14).fill(2)];
    const result = fullVocabularyTwin(tied(values), two);
    expect(tensor(result, 'token_embd.weight').data).toHaveLength(2 * 34);
    const bytes = [...tensor(result, 'output.weight').data];
    expect(bytes.slice(0, 18)).toEqual([0x00, 0x80, ...Array(16).fill(0x88)]);
    expect(bytes.slice(18)).toEqual([0x55, 0x35, 0xc0, 0x4f, 0xa8, 0xa9, ...Array(12).fill(0xa8)]);
  });

  it('is rounded to the nearest step and the nearest half-precision scale', () => {
    const result = fullVocabularyTwin(tied([-80, 7, -7, 12, 4, 76, ...Array(26).fill(0)]), two);
    // A step is 10 thirds: 0x42aa is 3.332. 7 is 0.7 steps, -7 is -0.7, 12 is 1.2, 4 is 0.4, 76 is 7.6.
    expect([...tensor(result, 'output.weight').data.slice(18, 26)]).toEqual([
      0xaa, 0x42, 0x80, 0x89, 0x87, 0x89, 0x88, 0x8f,
    ]);
  });

  it('takes the sign of the largest value, so that it is met exactly', () => {
    const result = fullVocabularyTwin(tied([8, -8, ...Array(30).fill(0)]), two);
    // 8 becomes -8 steps of a negative scale; -8 would be 8 steps and is cut to 7.
    expect([...tensor(result, 'output.weight').data.slice(18, 22)]).toEqual([0x55, 0xb5, 0x80, 0x8f]);
  });
});

describe('refused', () => {
  const models = buildTinyModels();
  it.each([
    ['a draft without maps', models.draft, /no int32 array adaptive_spec/],
    ['a map for another target', models.draftHotShort, /maps \d+ tokens, the target has \d+/],
    ['a map out of the target', models.draftHotBadMap, /the target has \d+ tokens/],
    ['a map out of the draft', models.draftHotBadReverse, /the draft has \d+ tokens/],
  ])('%s', (_, bad, message) => {
    expect(() => fullVocabularyTwin(bad, target)).toThrow(message);
  });

  it('a command without its files, with the usage', () => {
    const script = fileURLToPath(new URL('../../bench/full-vocabulary-twin.mjs', import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [script, '--draft', 'a.gguf'], {
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(stderr).toContain('--target');
  });
});
