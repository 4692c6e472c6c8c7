// Reads what stands before a GGUF file's weights, believing nothing: every count is held against the file's length.

import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { AdaptiveSpecError } from '../errors.js';

/** One metadata value. Arrays of strings keep the strings, others their first numbers. */
export type HeaderValue =
  | { kind: 'integer' | 'float' | 'bool' | 'string'; value: number | boolean | string }
  | { kind: 'array'; of: number; length: number; values: (number | boolean | string)[] };

export interface HeaderTensor {
  name: string;
  shape: number[];
  type: string;
  bytes: number;
}

export interface GgufHeader {
  path: string;
  /** Length of the file. */
  bytes: number;
  version: number;
  metadata: Map<string, HeaderValue>;
  tensors: Map<string, HeaderTensor>;
  /** SHA-256 of all that stands before the weights, in hex. */
  hash: string;
}

/** ggml's tensor types: number in the file to [name, elements per block, bytes per block]. */
const TYPES: Record<number, readonly [name: string, block: number, bytes: number]> = {
  0: ['F32', 1, 4],
  1: ['F16', 1, 2],
  2: ['Q4_0', 32, 18],
  3: ['Q4_1', 32, 20],
  6: ['Q5_0', 32, 22],
  7: ['Q5_1', 32, 24],
  8: ['Q8_0', 32, 34],
  10: ['Q2_K', 256, 84],
  11: ['Q3_K', 256, 110],
  12: ['Q4_K', 256, 144],
  13: ['Q5_K', 256, 176],
  14: ['Q6_K', 256, 210],
  16: ['IQ2_XXS', 256, 66],
  17: ['IQ2_XS', 256, 74],
  18: ['IQ3_XXS', 256, 98],
  19: ['IQ1_S', 256, 50],
  20: ['IQ4_NL', 32, 18],
  21: ['IQ3_S', 256, 110],
  22: ['IQ2_S', 256, 82],
  23: ['IQ4_XS', 256, 136],
  24: ['I8', 1, 1],
  25: ['I16', 1, 2],
  26: ['I32', 1, 4],
  27: ['I64', 1, 8],
  28: ['F64', 1, 8],
  29: ['IQ1_M', 256, 56],
  30: ['BF16', 1, 2],
  34: ['TQ1_0', 256, 54],
  35: ['TQ2_0', 256, 66],
  39: ['MXFP4', 32, 17],
  40: ['NVFP4', 64, 36],
  41: ['Q1_0', 128, 18],
  42: ['Q2_0', 64, 18],
};

const INTEGER_SIZES: Record<number, number> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 10: 8, 11: 8 };
const FLOAT_SIZES: Record<number, number> = { 6: 4, 12: 8 };
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;
const MAX_KEPT = 4096;
const MAX_STRING = 2 ** 26;
const CHUNK = 2 ** 20;

/** `kept` is how many numbers of an array are kept. Throws MODEL_NOT_FOUND or MODEL_INVALID. */
export function readGgufHeader(path: string, kept = MAX_KEPT): GgufHeader {
  const file = open(path);
  try {
    return new Reader(file, path, kept).read();
  } finally {
    closeSync(file);
  }
}

/** The error for a file that llama.cpp must not see. */
export function invalidModel(path: string, why: string, hint?: string): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'MODEL_INVALID',
    `${path} is no usable model: ${why}`,
    hint ?? 'The file is damaged or incomplete: get it anew, and compare its hash with the publisher’s.',
  );
}

function open(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const missing = code === 'ENOENT' || code === 'ENOTDIR';
    throw new AdaptiveSpecError(
      'MODEL_NOT_FOUND',
      missing ? `There is no file ${path}` : `${path} can't be opened (${code})`,
      missing
        ? 'Give the path of a .gguf file; `adaptive-spec models list` names models that can be downloaded.'
        : 'Give a file that this user may read.',
      { cause },
    );
  }
}

class Reader {
  readonly #file: number;
  readonly #path: string;
  readonly #length: number;
  readonly #kept: number;
  readonly #hash = createHash('sha256');
  #chunk = Buffer.alloc(0);
  #used = 0;
  #position = 0;

  constructor(file: number, path: string, kept: number) {
    this.#file = file;
    this.#path = path;
    this.#kept = kept;
    const status = fstatSync(file);
    if (!status.isFile()) throw this.#invalid('it is no file', 'Give the path of a .gguf file.');
    this.#length = status.size;
  }

  read(): GgufHeader {
    if (this.#length < 24) throw this.#invalid(`it has only ${this.#length} bytes`);
    const magic = this.#take(4).toString('latin1');
    if (magic !== 'GGUF') throw this.#invalid('it is not in the GGUF format', hintFor(magic));
    const version = this.#u32();
    if (version !== 2 && version !== 3) throw this.#invalid(`GGUF version ${version} is unknown`);
    // A tensor's entry has at least 25 bytes, a value's at least 13.
    const tensorCount = this.#count(25, 'tensors');
    const metadataCount = this.#count(13, 'metadata values');
    const metadata = new Map<string, HeaderValue>();
    for (let i = 0; i < metadataCount; i++) {
      const key = this.#string('a key');
      if (key === '' || metadata.has(key))
        throw this.#invalid(`the key ${quote(key)} comes twice or is empty`);
      metadata.set(key, this.#value(key));
    }
    const entries = Array.from({ length: tensorCount }, () => this.#tensor());
    const tensors = this.#checkData(entries, this.#alignment(metadata));
    return {
      path: this.#path,
      bytes: this.#length,
      version,
      metadata,
      tensors,
      hash: this.#hash.digest('hex'),
    };
  }

  #value(key: string): HeaderValue {
    const type = this.#u32();
    if (type !== ARRAY) return this.#scalar(type, key);
    const of = this.#u32();
    if (of === ARRAY || !(of in INTEGER_SIZES || of in FLOAT_SIZES || of === BOOL || of === STRING))
      throw this.#invalid(`${quote(key)} is an array of the unknown type ${of}`);
    const width = INTEGER_SIZES[of] ?? FLOAT_SIZES[of] ?? (of === BOOL ? 1 : 8);
    const length = this.#count(width, `entries of ${quote(key)}`);
    const values: (number | boolean | string)[] = [];
    if (of === STRING) {
      for (let i = 0; i < length; i++) values.push(this.#string(key));
    } else {
      for (let i = 0; i < length; i++) {
        const value = this.#number(of, key);
        if (i < this.#kept) values.push(value);
      }
    }
    return { kind: 'array', of, length, values };
  }

  #scalar(type: number, key: string): HeaderValue {
    if (type === STRING) return { kind: 'string', value: this.#string(key) };
    if (type === BOOL) return { kind: 'bool', value: this.#number(type, key) };
    if (type in INTEGER_SIZES) return { kind: 'integer', value: this.#number(type, key) };
    if (type in FLOAT_SIZES) return { kind: 'float', value: this.#number(type, key) };
    throw this.#invalid(`${quote(key)} has the unknown type ${type}`);
  }

  #number(type: number, key: string): number | boolean {
    if (type === BOOL) {
      const byte = this.#take(1)[0]!;
      if (byte > 1) throw this.#invalid(`${quote(key)} is neither true nor false`);
      return byte === 1;
    }
    const bytes = this.#take(INTEGER_SIZES[type] ?? FLOAT_SIZES[type]!);
    switch (type) {
      case 0:
        return bytes.readUInt8();
      case 1:
        return bytes.readInt8();
      case 2:
        return bytes.readUInt16LE();
      case 3:
        return bytes.readInt16LE();
      case 4:
        return bytes.readUInt32LE();
      case 5:
        return bytes.readInt32LE();
      case 10:
        return Number(bytes.readBigUInt64LE());
      case 11:
        return Number(bytes.readBigInt64LE());
      default: {
        const value = type === 6 ? bytes.readFloatLE() : bytes.readDoubleLE();
        if (!Number.isFinite(value)) throw this.#invalid(`${quote(key)} is no finite number`);
        return value;
      }
    }
  }

  #tensor(): HeaderTensor & { offset: number } {
    const name = this.#string('a tensor name');
    const where = `the tensor ${quote(name)}`;
    if (name === '' || Buffer.byteLength(name) > 63) throw this.#invalid(`${where} has no usable name`);
    const dimensions = this.#u32();
    if (dimensions < 1 || dimensions > 4) throw this.#invalid(`${where} has ${dimensions} dimensions`);
    const shape = Array.from({ length: dimensions }, () => this.#u64());
    const type = TYPES[this.#u32()];
    const offset = this.#u64();
    if (!type) throw this.#invalid(`${where} is of an unknown type`);
    const [typeName, block, blockBytes] = type;
    // Each dimension is at most the file's length in elements, so the product of four stays a finite number.
    const elements = shape.reduce((product, length) => product * length, 1);
    if (!shape.every((length) => length >= 1) || elements > this.#length * 8)
      throw this.#invalid(`${where} claims the shape [${shape}]`);
    if (shape[0]! % block !== 0)
      throw this.#invalid(`${where} has rows of ${shape[0]}, no whole ${typeName} blocks`);
    return { name, shape, type: typeName, bytes: (elements / block) * blockBytes, offset };
  }

  /** The weights must stand one after the other, aligned, and end within the file. */
  #checkData(entries: (HeaderTensor & { offset: number })[], alignment: number): Map<string, HeaderTensor> {
    const start = alignUp(this.#position, alignment);
    const tensors = new Map<string, HeaderTensor>();
    let expected = 0;
    for (const { offset, ...tensor } of entries) {
      if (tensors.has(tensor.name)) throw this.#invalid(`the tensor ${quote(tensor.name)} comes twice`);
      if (offset !== expected)
        throw this.#invalid(`the tensor ${quote(tensor.name)} begins at ${offset} instead of ${expected}`);
      if (start + offset + tensor.bytes > this.#length) {
        throw this.#invalid(
          `it ends at ${this.#length} bytes, inside the tensor ${quote(tensor.name)}`,
          'The file is incomplete: finish or repeat its download.',
        );
      }
      expected = alignUp(offset + tensor.bytes, alignment);
      tensors.set(tensor.name, tensor);
    }
    return tensors;
  }

  #alignment(metadata: Map<string, HeaderValue>): number {
    const value = metadata.get('general.alignment');
    if (value === undefined) return 32;
    const alignment = value.kind === 'integer' ? (value.value as number) : 0;
    if (alignment < 8 || alignment > 65_536 || !Number.isInteger(Math.log2(alignment)))
      throw this.#invalid(`its alignment is ${alignment}`);
    return alignment;
  }

  #string(what: string): string {
    const length = this.#count(1, `bytes of ${what}`);
    if (length > MAX_STRING) throw this.#invalid(`${what} claims ${length} bytes`);
    return this.#take(length).toString('utf8');
  }

  /** A count of things that take `size` bytes or more each. */
  #count(size: number, what: string): number {
    const count = this.#u64();
    const left = this.#length - this.#position;
    if (!(count * size <= left))
      throw this.#invalid(`it claims ${count} ${what}, and ${left} bytes are left`);
    return count;
  }

  #u32(): number {
    return this.#take(4).readUInt32LE();
  }

  /** Exact below 2^53; above, far more than any file holds. */
  #u64(): number {
    const bytes = this.#take(8);
    return bytes.readUInt32LE(4) * 2 ** 32 + bytes.readUInt32LE(0);
  }

  #take(size: number): Buffer {
    if (size > this.#length - this.#position) {
      throw this.#invalid(
        `it ends at ${this.#length} bytes, before its weights`,
        'The file is incomplete: finish or repeat its download.',
      );
    }
    if (this.#used + size > this.#chunk.length) this.#fill(size);
    const bytes = this.#chunk.subarray(this.#used, this.#used + size);
    this.#hash.update(bytes);
    this.#used += size;
    this.#position += size;
    return bytes;
  }

  #fill(size: number): void {
    const kept = this.#chunk.subarray(this.#used);
    const chunk = Buffer.alloc(Math.max(size, CHUNK));
    kept.copy(chunk);
    let filled = kept.length;
    while (filled < chunk.length) {
      const read = readSync(this.#file, chunk, filled, chunk.length - filled, this.#position + filled);
      if (read === 0) break;
      filled += read;
    }
    if (filled < size) throw this.#invalid('it became shorter while it was read');
    this.#chunk = chunk.subarray(0, filled);
    this.#used = 0;
  }

  #invalid(why: string, hint?: string): AdaptiveSpecError {
    return invalidModel(this.#path, why, hint);
  }
}

function alignUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}

/** What the file is instead, where its beginning tells. */
function hintFor(magic: string): string {
  if (/^FUGG$/.test(magic)) return 'It is a big-endian GGUF: get the little-endian one.';
  if (/^(<!DO|<htm|<HTM|<!do)/.test(magic))
    return 'It is a web page: download the file itself ("resolve", not "blob").';
  if (/^(vers|# Gi)/.test(magic)) return 'It is a Git LFS pointer: fetch the file itself with git lfs pull.';
  if (/^PK/.test(magic)) return 'It is a zip archive or a PyTorch file: get the model as .gguf.';
  if (/^(lmgg|tjgg|fmgg)/.test(magic)) return 'It is in an older ggml format: get the model as .gguf.';
  return 'Give a .gguf file; safetensors are converted by llama.cpp’s convert_hf_to_gguf.py.';
}
