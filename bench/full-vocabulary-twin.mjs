// Makes the full-vocabulary twin of a small-vocabulary draft, for engines without id maps (llama.cpp's own tools).

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** @import { GgufFile, GgufTensor, GgufValue, TensorType } from '../lib/models/gguf-write.js' */

const USAGE = 'node bench/full-vocabulary-twin.mjs --draft SMALL.gguf --target TARGET.gguf --out FILE';

/** The order in which recipe/export.py of the draft writes the tokenizer; others follow. */
const TOKENIZER_KEYS = [
  'tokenizer.ggml.model',
  'tokenizer.ggml.pre',
  'tokenizer.ggml.tokens',
  'tokenizer.ggml.token_type',
  'tokenizer.ggml.merges',
  'tokenizer.ggml.bos_token_id',
  'tokenizer.ggml.eos_token_id',
  'tokenizer.ggml.unknown_token_id',
  'tokenizer.ggml.padding_token_id',
  'tokenizer.ggml.add_space_prefix',
  'tokenizer.ggml.add_bos_token',
  'tokenizer.chat_template',
];
const DRAFT_TO_TARGET = 'adaptive_spec.draft_to_target';
const TARGET_TO_DRAFT = 'adaptive_spec.target_to_draft';

/**
 * The twin: the same layers and the target's tokenizer. A token that the draft lacks reads as its nearest
 * neighbour, as in the draft itself, and has logit 0. The output matrix is Q4_0, which the bigger vocabulary
 * makes the dearest read per token.
 * @param {GgufFile} draft with both id maps
 * @param {GgufFile} target with as many tokens as the draft's map has entries
 * @returns {GgufFile}
 */
export function fullVocabularyTwin(draft, target) {
  const draftToTarget = integers(draft, DRAFT_TO_TARGET);
  const targetToDraft = integers(draft, TARGET_TO_DRAFT);
  const embedding = tensor(draft, 'token_embd.weight');
  const head = draft.tensors.find(({ name }) => name === 'output.weight') ?? embedding;
  const size = tensor(target, 'token_embd.weight').shape[1];
  if (targetToDraft.length !== size) {
    throw new Error(`the draft maps ${targetToDraft.length} tokens, the target has ${size}`);
  }
  if (draftToTarget.length !== embedding.shape[1]) {
    throw new Error(`the draft names ${draftToTarget.length} tokens and has ${embedding.shape[1]}`);
  }
  const layers = draft.tensors.filter(({ name }) => name !== 'output.weight');
  const tensors = layers.map((tensor) => (tensor === embedding ? gather(embedding, targetToDraft) : tensor));
  return {
    metadata: twinMetadata(draft, target, size),
    tensors: [fullHead(head, draftToTarget, size), ...tensors],
  };
}

/**
 * The draft's metadata without its maps, with the target's tokenizer.
 * @param {GgufFile} draft
 * @param {GgufFile} target
 * @param {number} size number of tokens
 */
function twinMetadata(draft, target, size) {
  const present = [...target.metadata.keys()].filter((key) => key.startsWith('tokenizer.'));
  const tokenizer = new Set([...TOKENIZER_KEYS.filter((key) => present.includes(key)), ...present]);
  /** @type {Map<string, GgufValue>} */
  const metadata = new Map();
  for (const [key, value] of draft.metadata) {
    if (key === 'tokenizer.ggml.model') {
      for (const each of tokenizer) metadata.set(each, /** @type {GgufValue} */ (target.metadata.get(each)));
    } else if (key.endsWith('.vocab_size')) {
      metadata.set(key, { type: 'uint32', value: size });
    } else if (!key.startsWith('tokenizer.') && key !== DRAFT_TO_TARGET && key !== TARGET_TO_DRAFT) {
      metadata.set(key, value);
    }
  }
  return metadata;
}

/**
 * Rows of `tensor`, as bytes, whatever its quantisation.
 * @param {GgufTensor} tensor
 * @param {number[]} ids row of the tensor for each row of the result
 * @returns {GgufTensor}
 */
function gather(tensor, ids) {
  const [columns = 0, rows = 0] = tensor.shape;
  const width = tensor.data.byteLength / rows;
  const data = new Uint8Array(width * ids.length);
  ids.forEach((id, at) => {
    if (id < 0 || id >= rows) throw new Error(`token ${at} reads as ${id}, the draft has ${rows} tokens`);
    data.set(tensor.data.subarray(id * width, (id + 1) * width), at * width);
  });
  return { ...tensor, shape: [columns, ids.length], data };
}

/**
 * The output matrix over all tokens in Q4_0: zero but for the draft's own.
 * @param {GgufTensor} head
 * @param {number[]} draftToTarget
 * @param {number} size number of tokens
 * @returns {GgufTensor}
 */
function fullHead(head, draftToTarget, size) {
  const [columns = 0] = head.shape;
  const rows = quantise(head);
  const width = rows.byteLength / draftToTarget.length;
  const zeros = quantiseRow(new Float32Array(columns));
  const data = new Uint8Array(width * size);
  for (let at = 0; at < size; at++) data.set(zeros, at * width);
  draftToTarget.forEach((id, at) => {
    if (id < 0 || id >= size)
      throw new Error(`token ${at} is target token ${id}, the target has ${size} tokens`);
    data.set(rows.subarray(at * width, (at + 1) * width), id * width);
  });
  return { name: 'output.weight', type: 'Q4_0', shape: [columns, size], data };
}

const BLOCK = 32;

/** @param {GgufTensor} tensor in Q4_0 (taken as it is), Q8_0 or F32 */
function quantise({ name, type, data }) {
  if (type === 'Q4_0') return data;
  const read = READERS[type];
  if (!read) throw new Error(`${name} is ${type}; only Q4_0, Q8_0 and F32 are supported`);
  return quantiseRow(read(new DataView(data.buffer, data.byteOffset, data.byteLength)));
}

/** @type {Partial<Record<TensorType, (data: DataView) => Float32Array>>} */
const READERS = {
  F32: (data) => Float32Array.from({ length: data.byteLength / 4 }, (_, i) => data.getFloat32(4 * i, true)),
  // A block is a half-precision scale and 32 signed bytes.
  Q8_0: (data) =>
    Float32Array.from({ length: (data.byteLength / 34) * BLOCK }, (_, i) => {
      const block = Math.floor(i / BLOCK) * 34;
      return fromHalf(data.getUint16(block, true)) * data.getInt8(block + 2 + (i % BLOCK));
    }),
};

/**
 * Q4_0, rounded as ggml does it, zeros included: a half-precision scale, then 32 four-bit values less 8; the
 * first 16 are the low halves of the bytes.
 * @param {Float32Array} values a multiple of 32
 */
function quantiseRow(values) {
  const data = new Uint8Array((values.length / BLOCK) * 18);
  const view = new DataView(data.buffer);
  for (let block = 0; block < values.length / BLOCK; block++) {
    const own = values.subarray(block * BLOCK, (block + 1) * BLOCK);
    const largest = own.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
    const scale = Math.fround(largest / -8);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const nibble = (/** @type {number} */ value) =>
      Math.min(15, Math.trunc(Math.fround(Math.fround(value * inverse) + 8.5)));
    view.setUint16(block * 18, toHalf(scale), true);
    for (let i = 0; i < 16; i++)
      data[block * 18 + 2 + i] = nibble(own[i] ?? 0) | (nibble(own[i + 16] ?? 0) << 4);
  }
  return data;
}

/** @param {number} bits of a finite half-precision number */
function fromHalf(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -size : size;
}

/** @param {number} value below 65,504 in size; ties go to the even neighbour */
function toHalf(value) {
  const sign = Object.is(value, -0) || value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  const exponent = Math.max(-14, ((new Uint32Array(Float32Array.of(size).buffer)[0] ?? 0) >>> 23) - 127);
  const unit = 2 ** (exponent - 10);
  const whole = Math.floor(size / unit);
  const rest = size / unit - whole;
  const units = whole + (rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? 1 : 0);
  // Adding rather than or-ing lets a fraction that was rounded up carry into the exponent.
  return sign + (exponent + 14) * 1024 + units;
}

/**
 * @param {GgufFile} file
 * @param {string} key
 */
function integers(file, key) {
  const entry = file.metadata.get(key);
  if (entry?.type !== 'array' || entry.of !== 'int32') throw new Error(`the draft has no int32 array ${key}`);
  return /** @type {number[]} */ (entry.value);
}

/**
 * @param {GgufFile} file
 * @param {string} name
 */
function tensor(file, name) {
  const found = file.tensors.find((tensor) => tensor.name === name);
  if (!found) throw new Error(`${name} is missing`);
  return found;
}

async function main() {
  const options = /** @type {const} */ ({ type: 'string' });
  const { values } = parseArgs({ options: { draft: options, target: options, out: options } });
  const { draft, target, out } = values;
  if (!draft || !target || !out) throw new Error(`usage: ${USAGE}`);
  // Imported here, so that tests can import this file before anything is compiled.
  const { readGguf } = await import('../dist/models/gguf-read-raw.js');
  const { writeGguf } = await import('../dist/models/gguf-write.js');
  await writeGguf(out, fullVocabularyTwin(await readGguf(draft), await readGguf(target)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
