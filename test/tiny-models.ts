// Tiny models for tests, made on the spot from a seed: a target, drafts of known quality, and what must be refused.
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  arrayOf,
  bool,
  f32,
  f32Bytes,
  type GgufFile,
  type GgufTensor,
  type GgufValue,
  str,
  u32,
  writeGguf,
} from '../lib/models/gguf-write.js';

/** What each tiny model is for. The file is the name with `.gguf`. */
export const TINY_MODELS = {
  target: 'llama, two layers; greedy text is varied and never ends by itself',
  targetWithEog: 'the same, but ends its text now and then',
  targetNan: 'the target, but once it has read a ~ its logits are NaN; it never says one',
  targetPadded: 'the target with 64 more ids at the end, which it sometimes says',
  draft: 'a noisy copy of the target',
  draftPerfect: 'an exact copy of the target',
  draftNan: 'the draft, but once it has read a ~ its logits are NaN',
  draftBad: 'other weights: hardly ever right',
  draftWithEog: 'a noisy copy of targetWithEog',
  draftPadded: 'the draft with 64 more ids at the end, which it sometimes proposes',
  draftTooBig: 'the draft with 200 more ids: refused',
  draftOtherTexts: 'the draft with three tokens spelled otherwise: refused',
  draftOtherBos: 'the draft with another BOS, which it adds to every text: refused',
  draftHot: 'the draft with a small vocabulary of its own and maps to the target ids',
  draftHotBadMap: 'draft_to_target names an id that the target does not have: refused',
  draftHotBadReverse: 'target_to_draft names an id that the draft does not have: refused',
  draftHotUnsorted: 'draft_to_target does not ascend, which nothing needs',
  draftHotShort: 'target_to_draft lacks the last ten target ids: refused',
  noTokenizer: 'the target without tokenizer and without maps: refused as a draft',
  swa: 'gemma3, one sliding-window layer (32 tokens) and one full layer',
  swaDraft: 'a noisy copy of swa',
  eagle3: 'EAGLE-3 head for the target, which is right now and then',
  eagle3Hot: 'the same, with a small vocabulary of its own (d2t) and an output matrix',
  dflash: 'DFlash head for the target, in blocks of 6; of these the first token is right now and then',
  targetNear: 'the target, whose next token hangs on the last one above all, so that heads are often right',
  targetMtp: 'glm4moe of that kind, two layers and an MTP layer',
  targetQwen3: 'qwen3, two layers',
  eagle3Qwen3: 'EAGLE-3 head for targetQwen3',
  recurrent: 'mamba: cannot be rolled back',
  hybrid: 'lfm2, an attention layer and a convolution layer: cannot be rolled back',
} as const;

export type TinyModelName = keyof typeof TINY_MODELS;
/** Path of each model. */
export type TinyModels = Record<TinyModelName, string>;

/**
 * The tiny models, from the cache `dir` (default: in the system's temporary folder) or made now.
 * Safe to call from many processes at once.
 */
export async function tinyModels(dir = join(tmpdir(), 'adaptive-spec-tiny-models')): Promise<TinyModels> {
  const folder = join(dir, sourceHash());
  if (!existsSync(folder)) {
    const made = `${folder}.${randomUUID()}`;
    await writeTinyModels(made);
    // Whoever renames first wins; the others' files are the same.
    await rename(made, folder).catch(async (error) => {
      await rm(made, { recursive: true });
      if (!existsSync(folder)) throw error;
    });
  }
  return pathsIn(folder);
}

/** Writes all tiny models into `dir`, as `target.gguf` and so on. */
export async function writeTinyModels(dir: string): Promise<TinyModels> {
  await mkdir(dir, { recursive: true });
  const paths = pathsIn(dir);
  const files = buildTinyModels();
  await Promise.all(
    Object.entries(paths).map(([name, path]) => writeGguf(path, files[name as TinyModelName])),
  );
  return paths;
}

function pathsIn(dir: string): TinyModels {
  const names = Object.keys(TINY_MODELS) as TinyModelName[];
  return Object.fromEntries(names.map((name) => [name, join(dir, `${name}.gguf`)])) as TinyModels;
}

/** A key that changes whenever the generator does. */
function sourceHash(): string {
  const sources = [new URL(import.meta.url), new URL('../lib/models/gguf-write.ts', import.meta.url)];
  const hash = createHash('sha256');
  for (const source of sources) hash.update(readFileSync(source));
  return hash.digest('hex').slice(0, 16);
}

// ---- vocabulary -------------------------------------------------------------------------------------------------

const CONTROL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
const ENDOFTEXT = 0;
const IM_START = 1;
const IM_END = 2;

/** Texts that get a token of their own, merged from left to right; several cross the border of a stop string. */
const PIECES = [
  ...' the| of| and| to| in| is| a| that|ing|er|on| return| if| for| =| {|();|);'.split('|'),
  ...'\n\n|  |def| x| y|0.|10|END| END|ND.|.\n|": "|```| const|é| wor|ld|hel|lo| →'.split('|'),
];
/** Beginnings of characters, not characters: the first bytes of a dash and of an emoji. */
const FRAGMENTS = [
  [0xe2, 0x80],
  [0xf0, 0x9f],
];

/** GPT-2's alphabet: every byte as a printable character. */
function byteAlphabet(): string[] {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

const ALPHABET = byteAlphabet();
const spell = (bytes: Iterable<number>) => Array.from(bytes, (byte) => ALPHABET[byte]!).join('');
const spellText = (text: string) => spell(Buffer.from(text, 'utf8'));

interface Vocabulary {
  /** As GGUF has them: control tokens, 256 bytes, then merged tokens. */
  tokens: string[];
  merges: string[];
  ids: ReadonlyMap<string, number>;
}

function buildVocabulary(): Vocabulary {
  const tokens = [...CONTROL, ...ALPHABET];
  const merges: string[] = [];
  for (const piece of [...PIECES.map(spellText), ...FRAGMENTS.map(spell)]) {
    const letters = Array.from(piece);
    for (let n = 2; n <= letters.length; n++) {
      const merged = letters.slice(0, n).join('');
      if (tokens.includes(merged)) continue;
      merges.push(`${letters.slice(0, n - 1).join('')} ${letters[n - 1]}`);
      tokens.push(merged);
    }
  }
  return { tokens, merges, ids: new Map(tokens.map((text, id) => [text, id])) };
}

const VOCABULARY = buildVocabulary();
/** Number of token ids of the target. */
export const TINY_VOCABULARY_SIZE = VOCABULARY.tokens.length;

/** GGUF's numbers for kinds of tokens. */
const TOKEN_NORMAL = 1;
const TOKEN_CONTROL = 3;
const TOKEN_UNUSED = 5;

const CHAT_TEMPLATE =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

function tokenizer(tokens: readonly string[] = VOCABULARY.tokens, bos = IM_START, addBos = false) {
  const kind = (id: number) =>
    id < CONTROL.length ? TOKEN_CONTROL : id < TINY_VOCABULARY_SIZE ? TOKEN_NORMAL : TOKEN_UNUSED;
  return {
    'tokenizer.ggml.model': str('gpt2'),
    'tokenizer.ggml.pre': str('smollm'),
    'tokenizer.ggml.tokens': arrayOf('string', tokens),
    'tokenizer.ggml.token_type': arrayOf('int32', Array.from(tokens.keys(), kind)),
    'tokenizer.ggml.merges': arrayOf('string', VOCABULARY.merges),
    'tokenizer.ggml.bos_token_id': u32(bos),
    'tokenizer.ggml.eos_token_id': u32(IM_END),
    'tokenizer.ggml.add_bos_token': bool(addBos),
    'tokenizer.chat_template': str(CHAT_TEMPLATE),
  };
}

// ---- weights ----------------------------------------------------------------------------------------------------

const N_EMBD = 64;
const N_HEAD = 4;
const N_HEAD_KV = 2;
const N_FF = 128;
const HEAD = N_EMBD / N_HEAD;
const CONTEXT = 2048;

type Metadata = Record<string, GgufValue>;
/** A tensor of 32-bit floats; `shape` in GGUF's order. */
interface Weights {
  shape: readonly number[];
  values: Float32Array;
}
interface Model {
  metadata: Metadata;
  weights: Record<string, Weights>;
}

/** Standard normal numbers from a seed (mulberry32, Box-Muller): the same on every machine. */
function normal(seed: string): () => number {
  let state = createHash('sha256').update(seed).digest().readUInt32LE();
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** A matrix of normal numbers; `gain` is the size of its output for an input of size 1. */
function matrix(seed: string, columns: number, rows: number, gain: number): Weights {
  const next = normal(seed);
  const scale = gain / Math.sqrt(columns);
  return {
    shape: [columns, rows],
    values: Float32Array.from({ length: columns * rows }, () => next() * scale),
  };
}

function constant(length: number, value: number): Weights {
  return { shape: [length], values: new Float32Array(length).fill(value) };
}

const row = ({ shape, values }: Weights, index: number) =>
  values.subarray(index * shape[0]!, (index + 1) * shape[0]!);

function rows(weights: Weights, ids: readonly number[]): Weights {
  const columns = weights.shape[0]!;
  const values = new Float32Array(columns * ids.length);
  ids.forEach((id, at) => {
    values.set(row(weights, id), at * columns);
  });
  return { shape: [columns, ids.length], values };
}

/** Every matrix with noise of `level` times its own size; norms stay. */
function noisy(model: Model, seed: string, level: number): Model {
  const weights = Object.entries(model.weights).map(([name, { shape, values }]): [string, Weights] => {
    if (shape.length === 1) return [name, { shape, values }];
    const next = normal(`${seed} ${name}`);
    const size = level * Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
    return [name, { shape, values: values.map((value) => value + size * next()) }];
  });
  return { metadata: model.metadata, weights: Object.fromEntries(weights) };
}

/** Spread of the logits: the best two are then rarely nearer than 0.01. */
const LOGIT_SIZE = 5;
/** Texts that nearly always follow each other: characters and stop strings in more than one token. */
const FOLLOWS: [first: string, second: string][] = [
  [spell(FRAGMENTS[0]!), spell([0x94])],
  [spell(FRAGMENTS[1]!), spell([0x98])],
  [spell([0x98]), spell([0x80])],
  [spellText('E'), spellText('ND.')],
];

/** Embedding and output matrices over the target's vocabulary. Without `eog` no control token is ever said. */
function vocabularyWeights(seed: string, eog: boolean): Record<string, Weights> {
  const embedding = matrix(`${seed} embedding`, N_EMBD, TINY_VOCABULARY_SIZE, Math.sqrt(N_EMBD));
  const output = matrix(`${seed} output`, N_EMBD, TINY_VOCABULARY_SIZE, LOGIT_SIZE);
  VOCABULARY.tokens.forEach((text, id) => {
    const likely = id < CONTROL.length ? (eog ? 1.1 : 0) : isReadable(text) ? 1 : 0.5;
    const values = row(output, id);
    values.forEach((value, column) => {
      values[column] = value * likely;
    });
  });
  for (const [first, second] of FOLLOWS) {
    const from = row(embedding, VOCABULARY.ids.get(first)!);
    const to = row(output, VOCABULARY.ids.get(second)!);
    from.forEach((value, column) => {
      to[column] = to[column]! + (value * 6 * LOGIT_SIZE) / N_EMBD;
    });
  }
  return { 'token_embd.weight': embedding, 'output.weight': output };
}

/** Printable ASCII, or more than one byte: bytes that are no text alone are made rare. */
function isReadable(text: string): boolean {
  return text.length > 1 || /[\x21-\x7eĠĊ]/.test(text);
}

const feedForward = (seed: string, layer: number, gain: number) => ({
  [`blk.${layer}.ffn_norm.weight`]: constant(N_EMBD, 1),
  [`blk.${layer}.ffn_gate.weight`]: matrix(`${seed} gate ${layer}`, N_EMBD, N_FF, 2),
  [`blk.${layer}.ffn_up.weight`]: matrix(`${seed} up ${layer}`, N_EMBD, N_FF, 1),
  [`blk.${layer}.ffn_down.weight`]: matrix(`${seed} down ${layer}`, N_FF, N_EMBD, gain),
});

/** Sharp queries and keys, so that what comes next hangs on single earlier tokens and doesn't average out. */
const attention = (seed: string, layer: number, gain: number) => ({
  [`blk.${layer}.attn_norm.weight`]: constant(N_EMBD, 1),
  [`blk.${layer}.attn_q.weight`]: matrix(`${seed} q ${layer}`, N_EMBD, N_EMBD, 1.5),
  [`blk.${layer}.attn_k.weight`]: matrix(`${seed} k ${layer}`, N_EMBD, HEAD * N_HEAD_KV, 1.5),
  [`blk.${layer}.attn_v.weight`]: matrix(`${seed} v ${layer}`, N_EMBD, HEAD * N_HEAD_KV, 1),
  [`blk.${layer}.attn_output.weight`]: matrix(`${seed} o ${layer}`, N_EMBD, N_EMBD, gain),
});

function common(arch: string, vocabularySize = TINY_VOCABULARY_SIZE): Metadata {
  return {
    'general.architecture': str(arch),
    'general.name': str(`tiny-${arch}`),
    [`${arch}.block_count`]: u32(2),
    [`${arch}.context_length`]: u32(CONTEXT),
    [`${arch}.embedding_length`]: u32(N_EMBD),
    [`${arch}.feed_forward_length`]: u32(N_FF),
    [`${arch}.attention.head_count`]: u32(N_HEAD),
    [`${arch}.attention.head_count_kv`]: u32(N_HEAD_KV),
    [`${arch}.attention.layer_norm_rms_epsilon`]: f32(1e-5),
    [`${arch}.rope.freq_base`]: f32(10000),
    [`${arch}.vocab_size`]: u32(vocabularySize),
  };
}

/** `context` is how much the next token hangs on those before the last. */
function llama(seed: string, eog = false, context = 1): Model {
  return {
    metadata: { ...common('llama'), 'llama.rope.dimension_count': u32(HEAD), ...tokenizer() },
    weights: {
      ...vocabularyWeights(seed, eog),
      'output_norm.weight': constant(N_EMBD, 1),
      ...attention(seed, 0, 1.5 * context),
      ...feedForward(seed, 0, context),
      ...attention(seed, 1, 1.5 * context),
      ...feedForward(seed, 1, context),
    },
  };
}

function gemma3(seed: string): Model {
  const norms = (layer: number) => ({
    [`blk.${layer}.attn_q_norm.weight`]: constant(HEAD, 1.5),
    [`blk.${layer}.attn_k_norm.weight`]: constant(HEAD, 1.5),
    [`blk.${layer}.post_attention_norm.weight`]: constant(N_EMBD, 1),
    [`blk.${layer}.post_ffw_norm.weight`]: constant(N_EMBD, 0.7),
  });
  const vocabulary = vocabularyWeights(seed, false);
  const embedding = vocabulary['token_embd.weight']!;
  // gemma3 multiplies what it looks up by the root of the width.
  vocabulary['token_embd.weight'] = {
    shape: embedding.shape,
    values: embedding.values.map((value) => value / Math.sqrt(N_EMBD)),
  };
  return {
    metadata: {
      ...common('gemma3'),
      'gemma3.attention.key_length': u32(HEAD),
      'gemma3.attention.value_length': u32(HEAD),
      'gemma3.attention.sliding_window': u32(32),
      'gemma3.attention.sliding_window_pattern': u32(2),
      ...tokenizer(),
    },
    weights: {
      ...vocabulary,
      'output_norm.weight': constant(N_EMBD, 1),
      ...attention(seed, 0, 1),
      ...feedForward(seed, 0, 1),
      ...norms(0),
      ...attention(seed, 1, 1),
      ...feedForward(seed, 1, 1),
      ...norms(1),
    },
  };
}

function mamba(seed: string): Model {
  const inner = 2 * N_EMBD;
  const state = 16;
  const rank = 4;
  const layer = (il: number): Record<string, Weights> => ({
    [`blk.${il}.attn_norm.weight`]: constant(N_EMBD, 1),
    [`blk.${il}.ssm_in.weight`]: matrix(`${seed} in ${il}`, N_EMBD, 2 * inner, 1.5),
    [`blk.${il}.ssm_conv1d.weight`]: matrix(`${seed} conv ${il}`, 4, inner, 1.5),
    [`blk.${il}.ssm_conv1d.bias`]: constant(inner, 0),
    [`blk.${il}.ssm_x.weight`]: matrix(`${seed} x ${il}`, inner, rank + 2 * state, 2),
    [`blk.${il}.ssm_dt.weight`]: matrix(`${seed} dt ${il}`, rank, inner, 1),
    [`blk.${il}.ssm_dt.bias`]: constant(inner, -2),
    // The state must decay, so A is negative.
    [`blk.${il}.ssm_a`]: { shape: [state, inner], values: new Float32Array(state * inner).fill(-1) },
    [`blk.${il}.ssm_d`]: constant(inner, 1),
    [`blk.${il}.ssm_out.weight`]: matrix(`${seed} out ${il}`, inner, N_EMBD, 1.5),
  });
  return {
    metadata: {
      ...common('mamba'),
      'mamba.feed_forward_length': u32(0),
      'mamba.attention.head_count': u32(0),
      'mamba.attention.head_count_kv': u32(0),
      'mamba.ssm.conv_kernel': u32(4),
      'mamba.ssm.inner_size': u32(inner),
      'mamba.ssm.state_size': u32(state),
      'mamba.ssm.time_step_rank': u32(rank),
      ...tokenizer(),
    },
    weights: {
      ...vocabularyWeights(seed, false),
      'output_norm.weight': constant(N_EMBD, 1),
      ...layer(0),
      ...layer(1),
    },
  };
}

function lfm2(seed: string): Model {
  const taps = 3;
  return {
    metadata: {
      ...common('lfm2'),
      'lfm2.attention.head_count_kv': arrayOf('uint32', [N_HEAD_KV, 0]),
      'lfm2.shortconv.l_cache': u32(taps),
      ...tokenizer(),
    },
    weights: {
      ...vocabularyWeights(seed, false),
      'token_embd_norm.weight': constant(N_EMBD, 1),
      ...attention(seed, 0, 1.5),
      'blk.0.attn_q_norm.weight': constant(HEAD, 1.5),
      'blk.0.attn_k_norm.weight': constant(HEAD, 1.5),
      ...feedForward(seed, 0, 1),
      'blk.1.attn_norm.weight': constant(N_EMBD, 1),
      'blk.1.shortconv.conv.weight': matrix(`${seed} conv`, taps, N_EMBD, 1),
      'blk.1.shortconv.in_proj.weight': matrix(`${seed} in`, N_EMBD, 3 * N_EMBD, 1),
      'blk.1.shortconv.out_proj.weight': matrix(`${seed} out`, N_EMBD, N_EMBD, 1.5),
      ...feedForward(seed, 1, 1),
    },
  };
}

// ---- trained heads: their weights are set so that they guess from the newest token alone ----------------------------

/** Of targets that heads are to be right of. */
const NEAR = 0.4;

/** A matrix that copies its first columns, `gain` times, with noise of `level` in all others. */
function copying(seed: string, columns: number, rows: number, level = 0, gain = 1): Weights {
  const weights = matrix(seed, columns, rows, level);
  for (let at = 0; at < rows; at++) row(weights, at)[at] = gain;
  return weights;
}

/** It attends to its own row, whose queries and keys are alike: adds that row's token, and takes off the states. */
function eagle3(seed: string, draftVocabulary?: readonly number[]): Model {
  const queries = matrix(`${seed} q`, 2 * N_EMBD, N_EMBD, 4);
  const loud = 3;
  const values = copying(`${seed} v`, 2 * N_EMBD, N_EMBD);
  for (let at = 0; at < N_EMBD; at++) row(values, at)[N_EMBD + at] = -1;
  return {
    metadata: {
      ...common('eagle3'),
      'eagle3.block_count': u32(1),
      'eagle3.attention.head_count_kv': u32(N_HEAD),
      'eagle3.rope.dimension_count': u32(HEAD),
      'eagle3.target_hidden_size': u32(N_EMBD),
      'eagle3.target_layers': arrayOf('int32', [0, 1, 1]),
      ...tokenizer(),
    },
    weights: {
      'fc.weight': matrix(`${seed} fc`, 3 * N_EMBD, N_EMBD, 0.8 * loud),
      'output_norm.weight': constant(N_EMBD, 1),
      'blk.0.attn_norm.weight': constant(N_EMBD, 1),
      'blk.0.attn_norm_2.weight': constant(N_EMBD, 1),
      'blk.0.attn_q.weight': queries,
      'blk.0.attn_k.weight': queries,
      'blk.0.attn_v.weight': values,
      'blk.0.attn_output.weight': copying(`${seed} o`, N_EMBD, N_EMBD, 0, loud),
      ...feedForward(seed, 0, 0.1),
      ...(draftVocabulary
        ? { 'output.weight': rows(vocabularyWeights('target', false)['output.weight']!, draftVocabulary) }
        : {}),
    },
  };
}

/** Only the block's own tokens say where they stand, in a channel of their own; each attends to the one before it. */
function dflash(seed: string): Model {
  const mark = N_EMBD - 1;
  const embedding = vocabularyWeights('target', false)['token_embd.weight']!;
  const marked = { shape: embedding.shape, values: embedding.values.slice() };
  for (let id = 0; id < TINY_VOCABULARY_SIZE; id++) row(marked, id)[mark] = 4;
  row(marked, ENDOFTEXT).fill(0, 0, mark);
  // A pair of elements of each head that is rotated by one radian a place: the query is a place behind.
  const reading = (turn: number): Weights => {
    const weights = matrix(`${seed} mark`, N_EMBD, N_EMBD, 0);
    for (let head = 0; head < N_HEAD; head++) {
      row(weights, head * HEAD)[mark] = Math.cos(turn);
      row(weights, head * HEAD + HEAD / 2)[mark] = Math.sin(turn);
    }
    return weights;
  };
  const values = copying(`${seed} v`, N_EMBD, N_EMBD);
  row(values, mark).fill(0);
  const fusing = matrix(`${seed} fc`, 2 * N_EMBD, N_EMBD, 0.2);
  row(fusing, mark).fill(0);
  return {
    metadata: {
      ...common('dflash'),
      'dflash.block_count': u32(1),
      'dflash.attention.head_count_kv': u32(N_HEAD),
      'dflash.rope.dimension_count': u32(HEAD),
      'dflash.block_size': u32(6),
      'dflash.target_layers': arrayOf('int32', [0, 1]),
      ...tokenizer(),
      'tokenizer.ggml.mask_token_id': u32(ENDOFTEXT),
    },
    weights: {
      'token_embd.weight': marked,
      'output.weight': vocabularyWeights('target', false)['output.weight']!,
      'fc.weight': fusing,
      'enc.output_norm.weight': constant(N_EMBD, 1),
      'output_norm.weight': constant(N_EMBD, 1),
      'blk.0.attn_norm.weight': constant(N_EMBD, 1),
      'blk.0.attn_q.weight': reading(-1),
      'blk.0.attn_k.weight': reading(0),
      'blk.0.attn_v.weight': values,
      'blk.0.attn_output.weight': copying(`${seed} o`, N_EMBD, N_EMBD),
      'blk.0.attn_q_norm.weight': constant(HEAD, 3),
      'blk.0.attn_k_norm.weight': constant(HEAD, 3),
      ...feedForward(seed, 0, 0.1),
    },
  };
}

function glm4moe(seed: string): Model {
  const experts = 2;
  const trunk = (layer: number) => {
    const { [`blk.${layer}.ffn_norm.weight`]: norm, ...rest } = feedForward(seed, layer, NEAR);
    return {
      ...attention(seed, layer, 1.5 * NEAR),
      ...rest,
      [`blk.${layer}.post_attention_norm.weight`]: norm!,
    };
  };
  const stacked = (name: string, columns: number, rows: number, gain: number): Weights => {
    const { values } = matrix(`${seed} ${name}`, columns, rows * experts, gain);
    return { shape: [columns, rows, experts], values };
  };
  return {
    metadata: {
      ...common('glm4moe'),
      'glm4moe.block_count': u32(3),
      'glm4moe.nextn_predict_layers': u32(1),
      'glm4moe.rope.dimension_count': u32(HEAD),
      'glm4moe.leading_dense_block_count': u32(2),
      'glm4moe.expert_count': u32(experts),
      'glm4moe.expert_used_count': u32(1),
      'glm4moe.expert_shared_count': u32(1),
      'glm4moe.expert_feed_forward_length': u32(N_FF),
      'glm4moe.expert_weights_scale': f32(1),
      'glm4moe.expert_weights_norm': bool(true),
      ...tokenizer(),
    },
    weights: {
      ...vocabularyWeights(seed, false),
      'output_norm.weight': constant(N_EMBD, 1),
      ...trunk(0),
      ...trunk(1),
      ...attention(seed, 2, 0.1),
      'blk.2.post_attention_norm.weight': constant(N_EMBD, 1),
      'blk.2.ffn_gate_inp.weight': matrix(`${seed} router`, N_EMBD, experts, 1),
      'blk.2.exp_probs_b.bias': constant(experts, 0),
      'blk.2.ffn_gate_exps.weight': stacked('gate', N_EMBD, N_FF, 1),
      'blk.2.ffn_up_exps.weight': stacked('up', N_EMBD, N_FF, 1),
      'blk.2.ffn_down_exps.weight': stacked('down', N_FF, N_EMBD, 0.1),
      'blk.2.ffn_gate_shexp.weight': matrix(`${seed} shared gate`, N_EMBD, N_FF, 1),
      'blk.2.ffn_up_shexp.weight': matrix(`${seed} shared up`, N_EMBD, N_FF, 1),
      'blk.2.ffn_down_shexp.weight': matrix(`${seed} shared down`, N_FF, N_EMBD, 0.1),
      'blk.2.nextn.eh_proj.weight': copying(`${seed} eh`, 2 * N_EMBD, N_EMBD, 0.2),
      'blk.2.nextn.enorm.weight': constant(N_EMBD, 1),
      'blk.2.nextn.hnorm.weight': constant(N_EMBD, 1),
    },
  };
}

function qwen3(seed: string): Model {
  const { metadata, weights } = llama(seed);
  const norms = (layer: number) => ({
    [`blk.${layer}.attn_q_norm.weight`]: constant(HEAD, 1.5),
    [`blk.${layer}.attn_k_norm.weight`]: constant(HEAD, 1.5),
  });
  const renamed = Object.entries(metadata).map(([key, value]) => [key.replace(/^llama\./, 'qwen3.'), value]);
  return {
    metadata: {
      ...Object.fromEntries(renamed),
      'general.architecture': str('qwen3'),
      'qwen3.attention.key_length': u32(HEAD),
      'qwen3.attention.value_length': u32(HEAD),
    },
    weights: { ...weights, ...norms(0), ...norms(1) },
  };
}

// ---- variants ---------------------------------------------------------------------------------------------------

const withMetadata = (model: Model, metadata: Metadata): Model => ({
  metadata: { ...model.metadata, ...metadata },
  weights: model.weights,
});

/** `count` more ids at the end, `[PAD0]` and so on, with rows of their own. */
function padded(model: Model, count: number): Model {
  const texts = Array.from({ length: count }, (_, index) => `[PAD${index}]`);
  const more = (name: string, gain: number): Weights => {
    const pad = matrix(`padding ${name}`, N_EMBD, count, gain);
    const { values } = model.weights[name]!;
    const both = new Float32Array(values.length + pad.values.length);
    both.set(values);
    both.set(pad.values, values.length);
    return { shape: [N_EMBD, TINY_VOCABULARY_SIZE + count], values: both };
  };
  const weights = {
    ...model.weights,
    'token_embd.weight': more('token_embd.weight', Math.sqrt(N_EMBD)),
    'output.weight': more('output.weight', 0.7 * LOGIT_SIZE),
  };
  const metadata = {
    ...tokenizer([...VOCABULARY.tokens, ...texts]),
    'llama.vocab_size': u32(TINY_VOCABULARY_SIZE + count),
  };
  return withMetadata({ metadata: model.metadata, weights }, metadata);
}

/** The model with no numbers where it looks up `~`, which it never says itself. */
function nanAfterTilde({ metadata, weights }: Model): Model {
  const tilde = VOCABULARY.ids.get('~')!;
  const changedRow = (name: string, value: number): Weights => {
    const { shape, values } = weights[name]!;
    const copy = { shape, values: values.slice() };
    row(copy, tilde).fill(value);
    return copy;
  };
  return {
    metadata,
    weights: {
      ...weights,
      'token_embd.weight': changedRow('token_embd.weight', Number.NaN),
      'output.weight': changedRow('output.weight', 0),
    },
  };
}

/** The draft over a vocabulary of its own: readable tokens only; each other one reads as its nearest neighbour. */
function hot(model: Model, draftToTarget: number[]): Model {
  const embedding = model.weights['token_embd.weight']!;
  const nearest = (id: number): number => {
    const from = row(embedding, id);
    const distance = (other: number) =>
      row(embedding, other).reduce((sum, value, column) => sum + (value - from[column]!) ** 2, 0);
    const distances = draftToTarget.map(distance);
    return distances.indexOf(Math.min(...distances));
  };
  const targetToDraft = VOCABULARY.tokens.map((_, id) => nearest(id));
  const trimmed: Model = {
    metadata: withoutTokenizer(model.metadata),
    weights: {
      ...model.weights,
      'token_embd.weight': rows(embedding, draftToTarget),
      'output.weight': rows(model.weights['output.weight']!, draftToTarget),
    },
  };
  return withMetadata(trimmed, {
    'llama.vocab_size': u32(draftToTarget.length),
    'tokenizer.ggml.model': str('none'),
    'adaptive_spec.draft_to_target': arrayOf('int32', draftToTarget),
    'adaptive_spec.target_to_draft': arrayOf('int32', targetToDraft),
  });
}

function withoutTokenizer(metadata: Metadata): Metadata {
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => !key.startsWith('tokenizer.')));
}

/** One array of ids in `model`'s metadata, changed. */
function changed(model: Model, key: string, change: (ids: number[]) => number[]): Model {
  const ids = model.metadata[key]!.value as number[];
  return withMetadata(model, { [key]: arrayOf('int32', change([...ids])) });
}

/** Noise of the drafts: chosen so that 60 to 80 % of the draft's tokens are accepted. */
const NOISE = 0.045;

/** Every tiny model as a file's contents. */
export function buildTinyModels(): Record<TinyModelName, GgufFile> {
  const target = llama('target');
  const targetWithEog = llama('target', true);
  const draft = noisy(target, 'draft', NOISE);
  const swa = gemma3('swa');
  const readable = VOCABULARY.tokens.flatMap((text, id) =>
    id >= CONTROL.length && isReadable(text) ? [id] : [],
  );
  const draftHot = hot(draft, readable);
  const others = VOCABULARY.tokens.map((text, id) => (id % 90 === 89 ? `${text}~other` : text));
  const models: Record<TinyModelName, Model> = {
    target,
    targetWithEog,
    targetNan: nanAfterTilde(target),
    targetPadded: padded(target, 64),
    draft,
    draftPerfect: target,
    draftNan: nanAfterTilde(draft),
    draftBad: llama('bad'),
    draftWithEog: noisy(targetWithEog, 'draft', NOISE),
    draftPadded: padded(draft, 64),
    draftTooBig: padded(draft, 200),
    draftOtherTexts: withMetadata(draft, tokenizer(others)),
    draftOtherBos: withMetadata(draft, tokenizer(VOCABULARY.tokens, ENDOFTEXT, true)),
    draftHot,
    draftHotBadMap: changed(draftHot, 'adaptive_spec.draft_to_target', (ids) => [
      ...ids.slice(0, -1),
      TINY_VOCABULARY_SIZE,
    ]),
    draftHotBadReverse: changed(draftHot, 'adaptive_spec.target_to_draft', (ids) => [
      ...ids.slice(0, -1),
      readable.length,
    ]),
    draftHotUnsorted: changed(draftHot, 'adaptive_spec.draft_to_target', (ids) => ids.reverse()),
    draftHotShort: changed(draftHot, 'adaptive_spec.target_to_draft', (ids) => ids.slice(0, -10)),
    noTokenizer: withMetadata(
      { metadata: withoutTokenizer(target.metadata), weights: target.weights },
      { 'tokenizer.ggml.model': str('none') },
    ),
    swa,
    swaDraft: noisy(swa, 'swa draft', NOISE),
    eagle3: eagle3('eagle3'),
    eagle3Hot: eagle3('eagle3', readable),
    dflash: dflash('dflash'),
    targetNear: llama('target', false, NEAR),
    targetMtp: glm4moe('mtp'),
    targetQwen3: qwen3('target'),
    eagle3Qwen3: eagle3('eagle3'),
    recurrent: mamba('recurrent'),
    hybrid: lfm2('hybrid'),
  };
  const entries = Object.entries(models).map(([name, model]) => [name, toFile(model)]);
  const files = Object.fromEntries(entries) as Record<TinyModelName, GgufFile>;
  const hotIds = new BigInt64Array(readable.map(BigInt));
  const d2t: GgufTensor = {
    name: 'd2t',
    type: 'I64',
    shape: [readable.length],
    data: new Uint8Array(hotIds.buffer),
  };
  files.eagle3Hot = { ...files.eagle3Hot, tensors: [...files.eagle3Hot.tensors, d2t] };
  return files;
}

function toFile({ metadata, weights }: Model): GgufFile {
  const tensors = Object.entries(weights).map(
    ([name, { shape, values }]): GgufTensor => ({ name, type: 'F32', shape, data: f32Bytes(values) }),
  );
  return { metadata: new Map(Object.entries(metadata)), tensors };
}
