// A model of a given shape with random weights, for what it costs and nothing else: shapeModel() writes it once into
// the cache. Its types per tensor are those that llama.cpp's quantiser gives the format.
import { randomFillSync } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { arrayOf, f32, f32Bytes, str, tensorBytes, u32, writeGguf } from '../dist/models/gguf-write.js';
import { cacheRoot } from '../scripts/cache.mjs';

/** A Llama of about a billion weights. */
export const SHAPE_1B = {
  name: '1b',
  layers: 16,
  width: 2048,
  feedForward: 8192,
  heads: 32,
  keyHeads: 8,
  vocabulary: 32000,
};

/** Path of the model; `format` is Q4_0, Q4_K_M or Q8_0. */
export async function shapeModel(shape, format) {
  const folder = join(cacheRoot(), 'shapes');
  const path = join(folder, `${shape.name}.${format}.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const { layers, width, feedForward, heads, keyHeads, vocabulary } = shape;
  const keyWidth = (width / heads) * keyHeads;
  const usual = { Q4_0: 'Q4_0', Q4_K_M: 'Q4_K', Q8_0: 'Q8_0' }[format];
  const output = format === 'Q8_0' ? 'Q8_0' : 'Q6_K';
  // Q4_K_M gives some layers' values and down-projections more bits: the first and last eighth, and every third.
  const finer = (layer) =>
    format === 'Q4_K_M' &&
    (layer < layers >> 3 || layer >= (7 * layers) >> 3 || (layer - (layers >> 3)) % 3 === 2)
      ? 'Q6_K'
      : usual;
  const tensors = [];
  const matrix = (name, type, columns, rows) =>
    tensors.push({ name, type, shape: [columns, rows], data: randomBlocks(type, [columns, rows]) });
  const norm = (name) =>
    tensors.push({ name, type: 'F32', shape: [width], data: f32Bytes(new Float32Array(width).fill(1)) });
  matrix('token_embd.weight', usual, width, vocabulary);
  for (let i = 0; i < layers; i++) {
    norm(`blk.${i}.attn_norm.weight`);
    matrix(`blk.${i}.attn_q.weight`, usual, width, width);
    matrix(`blk.${i}.attn_k.weight`, usual, width, keyWidth);
    matrix(`blk.${i}.attn_v.weight`, finer(i), width, keyWidth);
    matrix(`blk.${i}.attn_output.weight`, usual, width, width);
    norm(`blk.${i}.ffn_norm.weight`);
    matrix(`blk.${i}.ffn_gate.weight`, usual, width, feedForward);
    matrix(`blk.${i}.ffn_up.weight`, usual, width, feedForward);
    matrix(`blk.${i}.ffn_down.weight`, finer(i), feedForward, width);
  }
  norm('output_norm.weight');
  matrix('output.weight', output, width, vocabulary);
  const metadata = new Map([
    ['general.architecture', str('llama')],
    ['general.name', str(`random weights, ${shape.name}`)],
    ['llama.block_count', u32(layers)],
    ['llama.context_length', u32(4096)],
    ['llama.embedding_length', u32(width)],
    ['llama.feed_forward_length', u32(feedForward)],
    ['llama.attention.head_count', u32(heads)],
    ['llama.attention.head_count_kv', u32(keyHeads)],
    ['llama.rope.dimension_count', u32(width / heads)],
    ['llama.attention.layer_norm_rms_epsilon', f32(1e-5)],
    ...tokenizer(vocabulary),
  ]);
  await writeGguf(path, { metadata, tensors });
  return path;
}

/** Names that no text has, and the bytes that every SentencePiece vocabulary needs. */
function tokenizer(size) {
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const tokens = ['<unk>', '<s>', '</s>', ...bytes];
  while (tokens.length < size) tokens.push(`t${tokens.length}`);
  return [
    ['tokenizer.ggml.model', str('llama')],
    ['tokenizer.ggml.tokens', arrayOf('string', tokens)],
    [
      'tokenizer.ggml.scores',
      arrayOf(
        'float32',
        tokens.map((_, i) => -i),
      ),
    ],
    [
      'tokenizer.ggml.token_type',
      arrayOf(
        'int32',
        tokens.map((_, i) => (i === 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1)),
      ),
    ],
    ['tokenizer.ggml.bos_token_id', u32(1)],
    ['tokenizer.ggml.eos_token_id', u32(2)],
    ['tokenizer.ggml.unknown_token_id', u32(0)],
  ];
}

/** Where the f16 scales of a block stand, and its bytes. */
const BLOCKS = {
  Q4_0: { bytes: 18, scales: [0] },
  Q8_0: { bytes: 34, scales: [0] },
  Q4_K: { bytes: 144, scales: [0, 2] },
  Q6_K: { bytes: 210, scales: [208] },
};

/** Random weights of about the size that trained ones have; no two rows the same, or logits would tie. */
function randomBlocks(type, shape) {
  const { bytes, scales } = BLOCKS[type];
  const data = randomFillSync(new Uint8Array(tensorBytes(type, shape)));
  const view = new DataView(data.buffer);
  // 2^-13 for scales of scales, 2^-8 else.
  const scale = type.endsWith('_K') ? 0x0800 : 0x1c00;
  for (let at = 0; at < data.length; at += bytes) for (const s of scales) view.setUint16(at + s, scale, true);
  return data;
}
