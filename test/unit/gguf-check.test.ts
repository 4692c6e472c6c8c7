// Model files: everything that llama.cpp would end the process on, or misread, is refused before it sees it, in words.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AdaptiveSpecError } from '../../lib/errors.js';
import { checkGguf } from '../../lib/models/gguf-check.js';
import {
  arrayOf,
  bool,
  f32,
  f32Bytes,
  type GgufTensor,
  type GgufValue,
  str,
  u32,
  writeGguf,
} from '../../lib/models/gguf-write.js';

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gguf-check-'));
  path = join(dir, 'model.gguf');
});
afterEach(() => rmSync(dir, { recursive: true }));

const TOKENS = ['<eos>', 'a', 'b', 'ab'];
const SOUND: Record<string, GgufValue> = {
  'general.architecture': str('llama'),
  'general.name': str('Sound'),
  'llama.block_count': u32(1),
  'llama.context_length': u32(64),
  'llama.embedding_length': u32(32),
  'llama.attention.head_count': u32(4),
  'llama.attention.head_count_kv': u32(2),
  'llama.attention.layer_norm_rms_epsilon': f32(1e-5),
  'tokenizer.ggml.model': str('gpt2'),
  'tokenizer.ggml.tokens': arrayOf('string', TOKENS),
  'tokenizer.ggml.token_type': arrayOf('int32', [3, 1, 1, 1]),
  'tokenizer.ggml.merges': arrayOf('string', ['a b']),
  'tokenizer.ggml.eos_token_id': u32(0),
  'tokenizer.ggml.add_bos_token': bool(false),
};

const tensor = (name: string, ...shape: number[]): GgufTensor => ({
  name,
  type: 'F32',
  shape,
  data: f32Bytes(new Float32Array(shape.reduce((product, length) => product * length, 1))),
});
const EMBEDDING = tensor('token_embd.weight', 32, TOKENS.length);
const NORM = tensor('output_norm.weight', 32);

/** Writes the sound model with other metadata; undefined takes a key away. */
async function write(
  changes: Record<string, GgufValue | undefined> = {},
  tensors = [EMBEDDING, NORM],
  to = path,
) {
  const metadata = new Map(
    Object.entries({ ...SOUND, ...changes }).filter((entry) => entry[1] !== undefined),
  );
  await writeGguf(to, { metadata: metadata as Map<string, GgufValue>, tensors });
}

/** Writes the sound model, then changes its bytes. */
async function corrupt(change: (bytes: Buffer) => Buffer | undefined) {
  await write();
  const bytes = readFileSync(path);
  writeFileSync(path, change(bytes) ?? bytes);
}

/** Where what follows a key or a tensor's name begins. */
const after = (bytes: Buffer, name: string) => bytes.indexOf(name) + name.length;

function refusal(of = path): AdaptiveSpecError {
  try {
    checkGguf(of);
  } catch (error) {
    expect(error).toBeInstanceOf(AdaptiveSpecError);
    expect((error as AdaptiveSpecError).hint).not.toBe('');
    return error as AdaptiveSpecError;
  }
  return expect.fail('was not refused');
}

function expectInvalid(message: RegExp) {
  const error = refusal();
  expect(error.code).toBe('MODEL_INVALID');
  expect(error.message).toContain(path);
  expect(error.message).toMatch(message);
}

describe('a draft that reads hidden states', () => {
  const unsupported = (what: string) => {
    const error = refusal();
    expect(error.code).toBe('UNSUPPORTED');
    expect(error.message).toContain(what);
    expect(error.message).toContain('hidden states');
  };
  const ofArchitecture = (name: string) =>
    Object.fromEntries(
      Object.entries(SOUND).flatMap(([key, value]) =>
        key.startsWith('llama.')
          ? [
              [key, undefined],
              [key.replace('llama', name), value],
            ]
          : [],
      ),
    );

  it.each([
    ['eagle3', 'EAGLE-3'],
    ['dflash', 'DFlash'],
    ['gemma4-assistant', 'MTP'],
  ])('is refused: %s', async (architecture, what) => {
    await write({ ...ofArchitecture(architecture), 'general.architecture': str(architecture) });
    unsupported(what);
  });

  it.each(['eagle3', 'dflash'])(
    'passes as a draft, without embeddings of its own: %s',
    async (architecture) => {
      const metadata = { ...ofArchitecture(architecture), 'general.architecture': str(architecture) };
      await write(metadata, [NORM]);
      expect(checkGguf(path, 'draft')).toMatchObject({ architecture, readsStates: true });
      expect(() => checkGguf(path)).toThrow('hidden states');
    },
  );

  it('is refused where it is the MTP layer alone, but not beside the model that it belongs to', async () => {
    const layers = { 'llama.block_count': u32(3) };
    const mtp = tensor('blk.2.nextn.eh_proj.weight', 64, 32);
    await write(layers, [EMBEDDING, NORM, mtp]);
    unsupported('MTP');
    await write(layers, [EMBEDDING, NORM, tensor('blk.0.attn_norm.weight', 32), mtp]);
    expect(checkGguf(path).layers).toBe(3);
  });
});

describe('a sound file', () => {
  it('passes, and says what it is', async () => {
    await write();
    expect(checkGguf(path)).toMatchObject({
      path,
      architecture: 'llama',
      name: 'Sound',
      quantization: 'F32',
      parameters: 32 * 5,
      vocabularySize: 4,
      contextLength: 64,
      embeddingLength: 32,
      layers: 1,
      cacheElements: 2 * (8 + 8),
      weightBytes: 4 * 32 * 5,
      hasDraftMap: false,
      hasChatTemplate: false,
    });
  });

  it('is told from another by all but its weights', async () => {
    await write();
    const { id } = checkGguf(path);
    await write({ 'general.name': str('Other') });
    expect(checkGguf(path).id).not.toBe(id);
    await write();
    expect(checkGguf(path).id).toBe(id);
  });

  it('may be a draft without tokenizer, with maps', async () => {
    const maps = {
      'adaptive_spec.draft_to_target': arrayOf('int32', [0, 1, 2, 3]),
      'adaptive_spec.target_to_draft': arrayOf('int32', [0, 1, 2, 3]),
      'llama.vocab_size': u32(4),
      'tokenizer.ggml.model': str('none'),
      'tokenizer.ggml.tokens': undefined,
    };
    await write(maps);
    expect(checkGguf(path)).toMatchObject({ hasDraftMap: true, vocabularySize: 0 });
  });
});

describe('what is no model file', () => {
  it('is not found where there is none', () => {
    const error = refusal(join(dir, 'no.gguf'));
    expect(error).toMatchObject({ code: 'MODEL_NOT_FOUND', message: expect.stringContaining('no.gguf') });
    expect(refusal(join(dir, 'no', 'a.gguf')).code).toBe('MODEL_NOT_FOUND');
  });

  it('is invalid where it is a folder, a device or empty', () => {
    mkdirSync(path);
    expectInvalid(/it is no file/);
    expect(refusal('/dev/null')).toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('no file'),
    });
    rmSync(path, { recursive: true });
    writeFileSync(path, '');
    expectInvalid(/only 0 bytes/);
  });

  it.each([
    ['a web page', '<!DOCTYPE html><html><head>', /web page/],
    ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1', /LFS/],
    ['a zip archive', 'PK\x03\x04                          ', /zip/],
    ['an old ggml file', 'tjgg                            ', /older ggml/],
    ['a big-endian one', 'FUGG                            ', /big-endian/],
    ['something else', 'this is some text, no model at all', /\.gguf file/],
  ])('is called what it is: %s', (_, text, hint) => {
    writeFileSync(path, text);
    expectInvalid(/not in the GGUF format/);
    expect(refusal().hint).toMatch(hint);
  });

  it.each([
    ['a projector', { 'general.type': str('mmproj') }, /projector/],
    ['an adapter', { 'general.type': str('adapter') }, /LoRA/],
    ['an embedding model', { 'llama.attention.causal': bool(false) }, /embedding/],
  ])('is unsupported where it is sound, but no text model: %s', async (_, changes, message) => {
    await write(changes);
    expect(refusal()).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringMatching(message) });
  });
});

describe('a file that was cut off', () => {
  it('is refused wherever it ends, and its download is named as the remedy within the weights', async () => {
    await write();
    const whole = readFileSync(path);
    const weights = whole.indexOf('output_norm.weight');
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      const error = refusal();
      expect(error, `cut at ${length}`).toMatchObject({
        code: 'MODEL_INVALID',
        message: expect.stringMatching(/ends at|only \d+ bytes|are left/),
      });
      if (length > weights + 50) expect(error.hint).toMatch(/download/);
    }
  });

  it('is refused inside its last tensor, which is named', async () => {
    await corrupt((bytes) => bytes.subarray(0, -1));
    expectInvalid(/inside the tensor "output_norm\.weight"/);
  });
});

describe('damaged bytes', () => {
  const CASES: [what: string, change: (bytes: Buffer) => void, message: RegExp][] = [
    ['an unknown version', (b) => b.writeUInt32LE(9, 4), /version 9/],
    ['2^63 tensors', (b) => b.writeBigUInt64LE(2n ** 63n, 8), /claims \d+ tensors/],
    ['2^63 values', (b) => b.writeBigUInt64LE(2n ** 63n, 16), /claims \d+ metadata values/],
    ['one value too many', (b) => b.writeBigUInt64LE(BigInt(Object.keys(SOUND).length + 1), 16), /./],
    ['one tensor too many', (b) => b.writeBigUInt64LE(3n, 8), /./],
    ['a key past the end', (b) => b.writeBigUInt64LE(2n ** 40n, 24), /bytes of a key/],
    [
      'a text past the end',
      (b) => b.writeBigUInt64LE(2n ** 63n, after(b, 'general.name') + 4),
      /bytes of general\.name/,
    ],
    [
      'an array past the end',
      (b) => b.writeBigUInt64LE(2n ** 61n, after(b, 'tokenizer.ggml.tokens') + 8),
      /entries of "tokenizer\.ggml\.tokens"/,
    ],
    [
      'an array of arrays',
      (b) => b.writeUInt32LE(9, after(b, 'tokenizer.ggml.tokens') + 4),
      /"tokenizer\.ggml\.tokens" is an array of the unknown type 9/,
    ],
    [
      'an array of texts read as numbers',
      (b) => b.writeUInt32LE(10, after(b, 'tokenizer.ggml.tokens') + 4),
      /./,
    ],
    [
      'a value of an unknown type',
      (b) => b.writeUInt32LE(77, after(b, 'general.name')),
      /"general\.name" has the unknown type 77/,
    ],
    ['a truth value of 2', (b) => b.writeUInt8(2, after(b, 'add_bos_token') + 4), /add_bos_token/],
    ['a float that is none', (b) => b.writeFloatLE(Number.NaN, after(b, 'rms_epsilon') + 4), /rms_epsilon/],
    ['no dimension', (b) => b.writeUInt32LE(0, after(b, 'token_embd.weight')), /token_embd.* 0 dim/],
    ['five dimensions', (b) => b.writeUInt32LE(5, after(b, 'token_embd.weight')), /token_embd.* 5 dim/],
    [
      'a dimension of zero',
      (b) => b.writeBigUInt64LE(0n, after(b, 'token_embd.weight') + 4),
      /token_embd\.weight" claims the shape \[0,4\]/,
    ],
    [
      'a dimension of 2^63',
      (b) => b.writeBigUInt64LE(2n ** 63n, after(b, 'token_embd.weight') + 4),
      /token_embd\.weight" claims the shape/,
    ],
    [
      // 2^33 times 2^31 is 0 in 64 bits.
      'dimensions whose product overflows',
      (b) => {
        b.writeBigUInt64LE(2n ** 33n, after(b, 'token_embd.weight') + 4);
        b.writeBigUInt64LE(2n ** 31n, after(b, 'token_embd.weight') + 12);
      },
      /token_embd\.weight" claims the shape/,
    ],
    [
      'a tensor of an unknown type',
      (b) => b.writeUInt32LE(99, after(b, 'token_embd.weight') + 20),
      /token_embd\.weight" is of an unknown type/,
    ],
    [
      'rows that are no whole blocks',
      (b) => b.writeUInt32LE(12, after(b, 'token_embd.weight') + 20),
      /token_embd\.weight" has rows of 32, no whole Q4_K/,
    ],
    [
      'a tensor past the end',
      (b) => b.writeBigUInt64LE(2n ** 62n, after(b, 'output_norm.weight') + 16),
      /output_norm\.weight" begins at/,
    ],
    [
      'a tensor over another',
      (b) => b.writeBigUInt64LE(0n, after(b, 'output_norm.weight') + 16),
      /output_norm\.weight" begins at 0/,
    ],
    [
      'a tensor without a name',
      (b) => b.writeBigUInt64LE(0n, b.indexOf('token_embd.weight') - 8),
      /tensor "" has no usable name/,
    ],
  ];

  it.each(CASES)('%s', async (_, change, message) => {
    await corrupt((bytes) => void change(bytes));
    expectInvalid(message);
  });

  it('a key that comes twice', async () => {
    await write({ 'general.nama': str('Other') });
    const bytes = readFileSync(path);
    bytes.write('general.name', bytes.indexOf('general.nama'));
    writeFileSync(path, bytes);
    expectInvalid(/"general\.name" comes twice/);
  });

  it('a tensor that comes twice', async () => {
    await write({}, [EMBEDDING, tensor('output_nurm.weight', 32), NORM]);
    const bytes = readFileSync(path);
    bytes.write('output_norm.weight', bytes.indexOf('output_nurm.weight'));
    writeFileSync(path, bytes);
    expectInvalid(/"output_norm\.weight" comes twice/);
  });

  it.each([0, 1, 4, 33, 2 ** 17, 2 ** 31, 2 ** 32 - 1])('an alignment of %d', async (alignment) => {
    await write({ 'general.alignment': u32(32) });
    const bytes = readFileSync(path);
    bytes.writeUInt32LE(alignment, after(bytes, 'general.alignment') + 4);
    writeFileSync(path, bytes);
    expectInvalid(new RegExp(`alignment is ${alignment}`));
  });

  it('an alignment that is a text', async () => {
    await write({ 'general.alignmant': str('32') });
    const bytes = readFileSync(path);
    bytes.write('general.alignment', bytes.indexOf('general.alignmant'));
    writeFileSync(path, bytes);
    expectInvalid(/alignment/);
  });
});

describe('metadata that contradict', () => {
  const ids = (...values: number[]) => arrayOf('int32', values);
  const CASES: [what: string, changes: Record<string, GgufValue | undefined>, message: RegExp][] = [
    ['no architecture', { 'general.architecture': undefined }, /general\.architecture/],
    ['an architecture that is no word', { 'general.architecture': str('../%s') }, /general\.architecture/],
    [
      'an architecture that is a number',
      { 'general.architecture': u32(1) },
      /general\.architecture is no text/,
    ],
    ['no layers', { 'llama.block_count': u32(0) }, /block_count is 0/],
    ['too many layers', { 'llama.block_count': u32(513) }, /block_count is 513/],
    ['a number of layers that is a float', { 'llama.block_count': f32(1.5) }, /block_count is 1\.5/],
    ['a number of layers that is a text', { 'llama.block_count': str('1') }, /block_count is 1/],
    ['no number of layers', { 'llama.block_count': undefined }, /lacks llama\.block_count/],
    ['a context of nothing', { 'llama.context_length': u32(0) }, /context_length is 0/],
    ['a context of 2^32 - 1', { 'llama.context_length': u32(2 ** 32 - 1) }, /context_length/],
    ['an embedding of nothing', { 'llama.embedding_length': u32(0) }, /embedding_length is 0/],
    ['an embedding of another length', { 'llama.embedding_length': u32(64) }, /rows of 32 .* length of 64/],
    ['no heads', { 'llama.attention.head_count': u32(0) }, /no attention heads/],
    ['more heads than elements', { 'llama.attention.head_count': u32(64) }, /heads have no size/],
    ['heads that cannot be shared', { 'llama.attention.head_count_kv': u32(3) }, /4 heads can't share 3/],
    ['too few entries per layer', { 'llama.attention.head_count': ids() }, /head_count has 0 entries for 1/],
    ['heads below none', { 'llama.attention.head_count': ids(-4) }, /head_count is -4/],
    ['more experts than can be', { 'llama.expert_count': u32(5000) }, /expert_count is 5000/],
    ['experts that are not used', { 'llama.expert_count': u32(8) }, /experts/],
    [
      'more experts used than there are',
      { 'llama.expert_count': u32(2), 'llama.expert_used_count': u32(3) },
      /experts/,
    ],
    ['an epsilon below zero', { 'llama.attention.layer_norm_rms_epsilon': f32(-1) }, /rms_epsilon is -1/],
    ['a rope base of zero', { 'llama.rope.freq_base': f32(0) }, /freq_base is 0/],
    ['a rope scaling of its own', { 'llama.rope.scaling.type': str('spiral') }, /scaling type is "spiral"/],
    [
      'a rotation of nothing',
      { 'llama.rope.dimension_count': u32(0) },
      /dimension_count is 0 for heads of 8/,
    ],
    ['a rotation of half a pair', { 'llama.rope.dimension_count': u32(5) }, /dimension_count is 5/],
    ['a rotation of more than a head', { 'llama.rope.dimension_count': u32(10) }, /dimension_count is 10/],
    [
      'a sliding window that no layer uses',
      {
        'llama.attention.sliding_window': u32(32),
        'llama.attention.sliding_window_pattern': arrayOf('uint32', [0]),
      },
      /no layer uses its sliding window/,
    ],
    ['a sentencepiece tokenizer without bytes', { 'tokenizer.ggml.model': str('llama') }, /no token <0x00>/],
    ['no tokenizer', { 'tokenizer.ggml.model': undefined }, /names no tokenizer/],
    ['a tokenizer without tokens', { 'tokenizer.ggml.tokens': undefined }, /no tokens/],
    ['a tokenizer of no tokens', { 'tokenizer.ggml.tokens': arrayOf('string', []) }, /no tokens/],
    ['tokens that are one text', { 'tokenizer.ggml.tokens': str('abc') }, /tokens is no array/],
    ['tokens that are numbers', { 'tokenizer.ggml.tokens': ids(1, 2, 3, 4) }, /tokens/],
    [
      'two tokens of one text',
      { 'tokenizer.ggml.tokens': arrayOf('string', ['a', 'b', 'a', 'c']) },
      /same text/,
    ],
    ['fewer kinds than tokens', { 'tokenizer.ggml.token_type': ids(3) }, /token_type has 1 entries for 4/],
    ['fewer scores than tokens', { 'tokenizer.ggml.scores': arrayOf('float32', [0]) }, /scores has 1/],
    ['a merge of one part', { 'tokenizer.ggml.merges': arrayOf('string', ['ab']) }, /merges/],
    ['merges that are numbers', { 'tokenizer.ggml.merges': ids(1) }, /merges/],
    [
      'a token before every text that does not exist',
      { 'tokenizer.ggml.bos_token_id': u32(4), 'tokenizer.ggml.add_bos_token': bool(true) },
      /bos_token_id is 4/,
    ],
    [
      'more tokens claimed than there are, without a tokenizer',
      { 'tokenizer.ggml.model': str('none'), 'llama.vocab_size': u32(2 ** 23) },
      /token_embd\.weight has 4 rows for 8388608 tokens/,
    ],
    [
      'fewer rows than tokens',
      {
        'tokenizer.ggml.tokens': arrayOf('string', [...TOKENS, 'c']),
        'tokenizer.ggml.token_type': undefined,
      },
      /token_embd\.weight has 4 rows for 5 tokens/,
    ],
  ];

  it.each(CASES)('%s', async (_, changes, message) => {
    await write(changes);
    expectInvalid(message);
  });

  it('no weights, or none for the tokens', async () => {
    await write({}, [NORM]);
    expectInvalid(/no token embeddings/);
  });
});

describe('a tensor of a type that its place does not allow', () => {
  it.each([
    ['ids for weights', { ...EMBEDDING, type: 'I32' }, /"token_embd\.weight" is of the type I32/],
    ['halves for a norm', { ...NORM, type: 'F16', data: NORM.data.subarray(0, 64) }, /"output_norm\.weight"/],
    [
      'halves for a convolution',
      {
        ...tensor('blk.0.ssm_conv1d.weight', 4, 32),
        type: 'F16',
        data: new Uint8Array(256),
      },
      /"blk\.0\.ssm_conv1d\.weight" is of the type F16/,
    ],
  ])('is refused: %s', async (_, changed, message) => {
    const { type, ...rest } = changed;
    const written = type === 'I32' ? { ...rest, type: 'F32' as const } : ({ ...rest, type } as GgufTensor);
    await write({}, [...[EMBEDDING, NORM].filter(({ name }) => name !== rest.name), written]);
    if (type === 'I32') {
      // The writer knows no such type, which takes as many bytes as F32.
      const bytes = readFileSync(path);
      bytes.writeUInt32LE(26, after(bytes, rest.name) + 20);
      writeFileSync(path, bytes);
    }
    expectInvalid(message);
  });
});

describe('a model in several files', () => {
  const part = (index: number) => join(dir, `model-0000${index}-of-00002.gguf`);
  const split = (index: number) => ({
    'split.count': { type: 'uint16', value: 2 } as GgufValue,
    'split.no': { type: 'uint16', value: index } as GgufValue,
  });

  it('is counted as one', async () => {
    await write(split(0), [EMBEDDING], part(1));
    await write(split(1), [NORM], part(2));
    expect(checkGguf(part(1))).toMatchObject({ parameters: 32 * 5, weightBytes: 4 * 32 * 5 });
  });

  it('lacks a part, which is named', async () => {
    await write(split(0), [EMBEDDING], part(1));
    expect(refusal(part(1))).toMatchObject({
      code: 'MODEL_NOT_FOUND',
      message: expect.stringContaining(part(2)),
    });
  });

  it('has a damaged part, which is named', async () => {
    await write(split(0), [EMBEDDING], part(1));
    await write(split(1), [NORM], part(2));
    writeFileSync(part(2), readFileSync(part(2)).subarray(0, -1));
    expect(refusal(part(1))).toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining(part(2)),
    });
  });

  it('is asked for by its first part, under its own name', async () => {
    await write(split(0));
    expectInvalid(/part of a model in 2 files/);
    expect(refusal().hint).toContain('00001-of-0000N');
  });
});
