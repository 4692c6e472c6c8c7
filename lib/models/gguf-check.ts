// Whether llama.cpp can be given a file: it ends the process on much that a damaged file may hold.

import { basename, dirname, join } from 'node:path';
import { AdaptiveSpecError } from '../errors.js';
import {
  type GgufHeader,
  type HeaderTensor,
  type HeaderValue,
  invalidModel,
  readGgufHeader,
} from './gguf-header.js';

/** What a checked model file says of itself. */
export interface GgufInfo {
  path: string;
  /** Of all files, where the model is split. */
  bytes: number;
  architecture: string;
  name?: string;
  /** The type that holds most weights, such as 'Q4_1'. */
  quantization: string;
  parameters: number;
  /** 0 where the model has no tokenizer of its own. */
  vocabularySize: number;
  /** Tokens that it was trained for. */
  contextLength: number;
  embeddingLength: number;
  layers: number;
  /** Elements of keys and values that the cache holds per token, all layers together. */
  cacheElements: number;
  /** Bytes of all weights. */
  weightBytes: number;
  /** Bytes of the embedding table where it is the output matrix too, and so may be in memory twice; else 0. */
  tiedBytes: number;
  /** True where it has a small vocabulary of its own, with maps to the target's. */
  hasDraftMap: boolean;
  /** Whether it is a trained head, which drafts from its target's hidden states. */
  readsStates: boolean;
  /** Whether it brings an MTP layer, which drafts from its hidden states. */
  hasMtp: boolean;
  hasChatTemplate: boolean;
  /** Tells this model from others: 16 hex digits of the hash of all but its weights. */
  id: string;
}

/** Architectures that draft from another model's hidden states and can be run as drafts. */
const TRAINED_HEADS = ['eagle3', 'dflash'];
/** All of them, and what they are. */
const DRAFTS_FROM_STATES: Record<string, string> = {
  eagle3: 'an EAGLE-3 draft',
  dflash: 'a DFlash draft',
  'gemma4-assistant': 'an MTP draft',
};

/** Tensor types that nothing can be multiplied by: tables of ids have them. */
const TABLE_TYPES = ['I8', 'I16', 'I32', 'I64', 'F64'];
const TABLES = /^d2t$|_tid2eid\.weight$/;
/** What goes into sums and convolutions of 32-bit floats, beside everything of one dimension. */
const FLOATS_ONLY = /\.ssm_(a|d|conv1d\.weight)$|\.shortconv\.conv\.weight$/;

// llama.cpp's own limits, which it asserts.
const MAX_LAYERS = 512;
const MAX_EXPERTS = 1024;
/** Kinds of file that are GGUF and no text model. */
const OTHER_TYPES: Record<string, string> = {
  mmproj: 'a projector for images or sound',
  adapter: 'a LoRA adapter',
  imatrix: 'an importance matrix',
  vocab: 'a vocabulary without weights',
};

/**
 * Reads and checks everything before the weights, and that the weights are all there. Takes milliseconds.
 * Throws MODEL_NOT_FOUND, MODEL_INVALID, or UNSUPPORTED for a sound file that is no text model. As a draft it may be a
 * trained head, which reads the target's hidden states.
 */
export function checkGguf(path: string, role: 'model' | 'draft' = 'model'): GgufInfo {
  const header = readGgufHeader(path);
  const parts = [header, ...otherParts(header)];
  return new Check(header, parts, role).info();
}

/** The further files of a split model, which llama.cpp finds by their names. */
function otherParts(header: GgufHeader): GgufHeader[] {
  const count = scalar(header, 'split.count') ?? 0;
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 0 || count > 1000)
    throw invalidModel(header.path, 'split.count is no plausible number');
  if (count <= 1) return [];
  const name = /^(.*)-00001-of-(\d{5})\.gguf$/.exec(basename(header.path));
  if (!name || Number(name[2]) !== count) {
    throw invalidModel(
      header.path,
      `it is a part of a model in ${count} files`,
      'Give the first part, with its original name (…-00001-of-0000N.gguf) and the others beside it.',
    );
  }
  return Array.from({ length: count - 1 }, (_, i) => {
    const part = `${name[1]}-${String(i + 2).padStart(5, '0')}-of-${name[2]}.gguf`;
    return readGgufHeader(join(dirname(header.path), part));
  });
}

/** A metadata value that is no array; undefined where there is none. */
function scalar(header: GgufHeader, key: string): number | boolean | string | undefined {
  const value = header.metadata.get(key);
  return value === undefined || value.kind === 'array' ? undefined : value.value;
}

class Check {
  readonly #header: GgufHeader;
  readonly #parts: GgufHeader[];
  readonly #architecture: string;
  /** Whether it is to be run as a trained draft head. */
  readonly #isHead: boolean;

  constructor(header: GgufHeader, parts: GgufHeader[], role: 'model' | 'draft') {
    this.#header = header;
    this.#parts = parts;
    this.#architecture = this.#text('general.architecture') ?? '';
    this.#isHead = role === 'draft' && TRAINED_HEADS.includes(this.#architecture);
  }

  info(): GgufInfo {
    this.#checkKind();
    const layers = this.#size('block_count', 1, MAX_LAYERS);
    this.#checkReadsTokens(layers);
    const embeddingLength = this.#size('embedding_length', 1, 2 ** 20);
    const contextLength = this.#size('context_length', 1, 2 ** 31 - 1);
    this.#checkExperts(layers);
    this.#checkFloats();
    const { cacheElements } = this.#checkHeads(layers, embeddingLength);
    const vocabularySize = this.#checkTokenizer();
    // Without a tokenizer llama.cpp makes room for as many tokens as are claimed.
    this.#checkEmbedding(embeddingLength, vocabularySize || (this.#optional('vocab_size', 1, 2 ** 24) ?? 0));

    const tensors = this.#parts.flatMap((part) => [...part.tensors.values()]);
    this.#checkTypes(tensors);
    if (tensors.length === 0) throw this.#invalid('it has no weights');
    const byType = new Map<string, number>();
    let parameters = 0;
    for (const { type, shape, bytes } of tensors) {
      byType.set(type, (byType.get(type) ?? 0) + bytes);
      parameters += shape.reduce((product, length) => product * length, 1);
    }
    const name = this.#text('general.name');
    return {
      path: this.#header.path,
      bytes: this.#parts.reduce((sum, part) => sum + part.bytes, 0),
      architecture: this.#architecture,
      ...(name === undefined ? {} : { name }),
      quantization: [...byType].reduce((most, next) => (next[1] > most[1] ? next : most))[0],
      parameters,
      vocabularySize,
      contextLength,
      embeddingLength,
      layers,
      cacheElements,
      weightBytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
      tiedBytes: tensors.some(({ name }) => name === 'output.weight')
        ? 0
        : (tensors.find(({ name }) => name === 'token_embd.weight')?.bytes ?? 0),
      readsStates: this.#isHead,
      hasMtp: this.#hasMtp(layers),
      hasDraftMap: this.#header.metadata.has('adaptive_spec.draft_to_target'),
      hasChatTemplate: this.#header.metadata.has('tokenizer.chat_template'),
      id: this.#header.hash.slice(0, 16),
    };
  }

  #checkKind(): void {
    const type = this.#text('general.type');
    if (type !== undefined && type in OTHER_TYPES) {
      throw new AdaptiveSpecError(
        'UNSUPPORTED',
        `${this.#header.path} is ${OTHER_TYPES[type]}, no text model`,
        'Give the model itself.',
      );
    }
    if (!/^[a-z0-9][a-z0-9._-]*$/i.test(this.#architecture))
      throw this.#invalid('it does not say its architecture (general.architecture)');
    if (scalar(this.#header, `${this.#architecture}.attention.causal`) === false && !this.#isHead) {
      throw new AdaptiveSpecError(
        'UNSUPPORTED',
        `${this.#header.path} is an embedding model: its attention is not causal`,
        'Give a model that generates text.',
      );
    }
  }

  /** A part of another model generates nothing by itself. */
  #checkReadsTokens(layers: number): void {
    const isMtpAlone = this.#has(`blk.${layers - 1}.nextn.eh_proj.`) && !this.#has('blk.0.') && layers > 1;
    const what = DRAFTS_FROM_STATES[this.#architecture] ?? (isMtpAlone ? 'an MTP draft' : undefined);
    if (what === undefined || this.#isHead) return;
    throw TRAINED_HEADS.includes(this.#architecture)
      ? new AdaptiveSpecError(
          'UNSUPPORTED',
          `${this.#header.path} is ${what}: it reads another model's hidden states, and generates nothing by itself`,
          'Give it as the draft, and the model that it was trained for as the model.',
        )
      : new AdaptiveSpecError(
          'UNSUPPORTED',
          `${this.#header.path} is ${what}: it reads hidden states, which adaptive-spec hands to no MTP layer in a file of its own`,
          "Give a model that brings its MTP layer, and draft: 'mtp'; or another draft, or none: n-grams draft then.",
        );
  }

  /** Whether a tensor's name begins so, in any part of the model. */
  #has(start: string): boolean {
    return this.#parts.some(({ tensors }) => [...tensors.keys()].some((name) => name.startsWith(start)));
  }

  #hasMtp(layers: number): boolean {
    const count = this.#optional('nextn_predict_layers', 0, layers) ?? 0;
    const layer = `blk.${layers - count}`;
    const hasExperts = this.#architecture !== 'glm4moe' || this.#has(`${layer}.ffn_gate_inp.`);
    return count > 0 && hasExperts && this.#has(`${layer}.nextn.eh_proj.`);
  }

  #checkExperts(layers: number): void {
    const experts = this.#optional('expert_count', 0, MAX_EXPERTS) ?? 0;
    const used = Math.max(0, ...(this.#perLayer('expert_used_count', layers, 0, MAX_EXPERTS) ?? [0]));
    const groups = this.#optional('expert_group_count', 0, MAX_EXPERTS) ?? 0;
    const groupsUsed = this.#optional('expert_group_used_count', 0, MAX_EXPERTS) ?? 0;
    const sound =
      used <= experts &&
      (experts === 0 ? groups === 0 : used > 0 && groups < experts) &&
      (groups <= 1 || (experts % groups === 0 && groupsUsed > 0 && groupsUsed < groups));
    // hunyuan models say one expert where they have none.
    if (!sound && !(experts <= 1 && this.#architecture.startsWith('hunyuan')))
      throw this.#invalid('its numbers of experts contradict each other');
    this.#optional('nextn_predict_layers', 0, layers);
  }

  /** Values that go into a division or a root. */
  #checkFloats(): void {
    for (const [key, value] of this.#header.metadata) {
      if (!key.startsWith(`${this.#architecture}.`) || value.kind !== 'float') continue;
      const number = value.value as number;
      if (/epsilon$/.test(key) && !(number >= 0 && number < 1)) throw this.#invalid(`${key} is ${number}`);
      if (/freq_base/.test(key) && !(number > 0)) throw this.#invalid(`${key} is ${number}`);
    }
    const scaling = this.#text(`${this.#architecture}.rope.scaling.type`);
    if (scaling !== undefined && !['none', 'linear', 'yarn', 'longrope'].includes(scaling))
      throw this.#invalid(`its rope scaling type is ${JSON.stringify(scaling.slice(0, 40))}`);
  }

  /** Heads per layer, and what the KV cache holds for them. */
  #checkHeads(layers: number, embedding: number): { cacheElements: number } {
    const heads = this.#perLayer('attention.head_count', layers, 0, 65_536) ?? [0];
    const kvHeads = this.#perLayer('attention.head_count_kv', layers, 0, 65_536) ?? heads;
    const most = Math.max(...heads);
    const recurrent = [...this.#header.metadata.keys()].some((key) => /\.(ssm|wkv|shortconv)\./.test(key));
    if (most === 0 && !recurrent) throw this.#invalid('it has no attention heads');
    const size = most > 0 ? Math.floor(embedding / most) : 0;
    const keyLength = this.#optional('attention.key_length', 1, 65_536) ?? size;
    const valueLength = this.#optional('attention.value_length', 1, 65_536) ?? size;
    if (most > 0 && (keyLength < 1 || valueLength < 1)) throw this.#invalid('its heads have no size');
    const fewest = Math.min(...heads.filter((n) => n > 0));
    this.#checkRotation(this.#optional('attention.key_length', 1, 65_536) ?? Math.floor(embedding / fewest));
    if (/^lfm2/.test(this.#architecture) && keyLength !== valueLength)
      throw this.#invalid(`its keys have ${keyLength} elements per head and its values ${valueLength}`);
    this.#checkWindow(layers);
    let cacheElements = 0;
    for (let layer = 0; layer < layers; layer++) {
      const n = heads[layer % heads.length]!;
      const kv = kvHeads[layer % kvHeads.length]!;
      if (n > 0 && (kv < 1 || n % kv !== 0) && kvHeads.length === 1)
        throw this.#invalid(`${n} heads can't share ${kv} key and value heads`);
      cacheElements += kv * (keyLength + valueLength);
    }
    return { cacheElements };
  }

  /** Pairs of a head's elements are rotated: llama.cpp asserts that there are so many, and never ends with none. */
  #checkRotation(headSize: number): void {
    const rotated = this.#optional('rope.dimension_count', 0, 65_536);
    if (rotated === undefined || Number.isNaN(headSize) || headSize === 0) return;
    if (rotated < 2 || rotated % 2 !== 0 || rotated > headSize)
      throw this.#invalid(`rope.dimension_count is ${rotated} for heads of ${headSize}`);
  }

  /** Where there is a sliding window, a layer must use it. */
  #checkWindow(layers: number): void {
    if (!this.#optional('attention.sliding_window', 0, 2 ** 32 - 1)) return;
    const pattern = this.#header.metadata.get(`${this.#architecture}.attention.sliding_window_pattern`);
    if (pattern === undefined) return;
    const uses =
      pattern.kind === 'array' ? pattern.values.slice(0, layers).some(Boolean) : pattern.value !== 1;
    if (!uses) throw this.#invalid('no layer uses its sliding window (attention.sliding_window_pattern)');
  }

  /** llama.cpp has no code for other types in these places, and finds out in the middle of the first step. */
  #checkTypes(tensors: HeaderTensor[]): void {
    for (const { name, shape, type } of tensors) {
      const isVector = shape.slice(1).every((length) => length === 1);
      if (TABLES.test(name)) continue;
      if (TABLE_TYPES.includes(type) || (type !== 'F32' && (isVector || FLOATS_ONLY.test(name))))
        throw this.#invalid(`the tensor ${JSON.stringify(name)} is of the type ${type}`);
    }
  }

  #checkTokenizer(): number {
    const model = this.#text('tokenizer.ggml.model');
    if (model === undefined) throw this.#invalid('it names no tokenizer (tokenizer.ggml.model)');
    if (model === 'none' || model === 'no_vocab') return 0;
    const tokens = this.#array('tokenizer.ggml.tokens');
    if (!tokens || tokens.length === 0) throw this.#invalid('its tokenizer has no tokens');
    if (tokens.length > 2 ** 24) throw this.#invalid(`its tokenizer claims ${tokens.length} tokens`);
    const texts = new Set(tokens.values);
    texts.delete('');
    const empty = tokens.values.reduce<number>((count, text) => count + (text === '' ? 1 : 0), 0);
    if (texts.size + empty !== tokens.length || typeof tokens.values[0] !== 'string')
      throw this.#invalid('two of its tokens have the same text');
    for (const name of ['scores', 'token_type']) {
      const array = this.#array(`tokenizer.ggml.${name}`);
      if (array && array.length !== tokens.length)
        throw this.#invalid(`tokenizer.ggml.${name} has ${array.length} entries for ${tokens.length} tokens`);
    }
    if (model === 'llama') this.#checkBytes(texts);
    const merges = this.#array('tokenizer.ggml.merges');
    if (merges && !merges.values.every((merge) => typeof merge === 'string' && merge.indexOf(' ', 1) > 0))
      throw this.#invalid('one of its tokenizer’s merges has no two parts');
    for (const [key, value] of this.#header.metadata) {
      if (!/^tokenizer\.ggml\..*_token_id$/.test(key) || value.kind !== 'integer') continue;
      // -1 is what some converters write for none; llama.cpp passes ids out of range over.
      const id = value.value as number;
      const added = scalar(this.#header, key.replace(/ggml\.(.*)_id$/, 'ggml.add_$1')) === true;
      if (added && !(id >= 0 && id < tokens.length)) throw this.#invalid(`${key} is ${id}`);
    }
    return tokens.length;
  }

  /** Sentencepiece falls back to single bytes, which must all be there. */
  #checkBytes(texts: Set<unknown>): void {
    for (let byte = 0; byte < 256; byte++) {
      const token = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
      if (!texts.has(token) && !(byte < 128 && texts.has(String.fromCharCode(byte))))
        throw this.#invalid(`its tokenizer has no token ${token}`);
    }
  }

  #checkEmbedding(embedding: number, vocabulary: number): void {
    for (const name of ['token_embd.weight', 'output.weight']) {
      const tensor = this.#parts.map((part) => part.tensors.get(name)).find((found) => found);
      if (!tensor) {
        // A head uses its target's.
        if (name === 'token_embd.weight' && !this.#isHead) throw this.#invalid('it has no token embeddings');
        continue;
      }
      if (tensor.shape[0] !== embedding)
        throw this.#invalid(`${name} has rows of ${tensor.shape[0]} for an embedding length of ${embedding}`);
      // A head's output may be over a smaller vocabulary, with a table of the target's ids.
      const isSmaller = this.#isHead && name === 'output.weight' && this.#has('d2t');
      if (vocabulary > 0 && tensor.shape[1] !== vocabulary && !isSmaller)
        throw this.#invalid(`${name} has ${tensor.shape[1]} rows for ${vocabulary} tokens`);
    }
  }

  /** A required whole number of the architecture. */
  #size(name: string, min: number, max: number): number {
    const value = this.#optional(name, min, max);
    if (value === undefined) throw this.#invalid(`it lacks ${this.#architecture}.${name}`);
    return value;
  }

  #optional(name: string, min: number, max: number): number | undefined {
    const value = this.#header.metadata.get(`${this.#architecture}.${name}`);
    if (value === undefined || value.kind === 'array') return undefined;
    return this.#whole(name, value.value, min, max);
  }

  /** One number for all layers, or one for each. */
  #perLayer(name: string, layers: number, min: number, max: number): number[] | undefined {
    const value = this.#header.metadata.get(`${this.#architecture}.${name}`);
    if (value === undefined) return undefined;
    if (value.kind !== 'array') return [this.#whole(name, value.value, min, max)];
    if (value.length < layers)
      throw this.#invalid(`${name} has ${value.length} entries for ${layers} layers`);
    return value.values.slice(0, layers).map((entry) => this.#whole(name, entry, min, max));
  }

  #whole(name: string, value: unknown, min: number, max: number): number {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
      throw this.#invalid(`${this.#architecture}.${name} is ${String(value)}`);
    return value;
  }

  #text(key: string): string | undefined {
    const value = this.#header.metadata.get(key);
    if (value === undefined) return undefined;
    if (value.kind !== 'string') throw this.#invalid(`${key} is no text`);
    return value.value as string;
  }

  #array(key: string): Extract<HeaderValue, { kind: 'array' }> | undefined {
    const value = this.#header.metadata.get(key);
    if (value === undefined) return undefined;
    if (value.kind !== 'array') throw this.#invalid(`${key} is no array`);
    return value;
  }

  #invalid(why: string): AdaptiveSpecError {
    return invalidModel(this.#header.path, why);
  }
}
