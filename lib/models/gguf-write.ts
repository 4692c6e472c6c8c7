// Writes GGUF files (version 3, little-endian); the types here are also what gguf-read-raw.ts gives back.
import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { AdaptiveSpecError } from '../errors.js';

/** GGUF's value types by name, with the number that stands for each in the file. */
export const VALUE_TYPES = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const;

export type ScalarType = Exclude<keyof typeof VALUE_TYPES, 'array'>;
export type Scalar = number | bigint | boolean | string;

/** One metadata value. 64-bit integers are bigints, booleans booleans, strings strings, the rest numbers. */
export type GgufValue =
  | { type: ScalarType; value: Scalar }
  | { type: 'array'; of: ScalarType; value: readonly Scalar[] };

/** Tensor types by name: number in the file, elements per block, bytes per block. */
export const TENSOR_TYPES = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q4_1: { id: 3, block: 32, bytes: 20 },
  Q5_0: { id: 6, block: 32, bytes: 22 },
  Q5_1: { id: 7, block: 32, bytes: 24 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q2_K: { id: 10, block: 256, bytes: 84 },
  Q3_K: { id: 11, block: 256, bytes: 110 },
  Q4_K: { id: 12, block: 256, bytes: 144 },
  Q5_K: { id: 13, block: 256, bytes: 176 },
  Q6_K: { id: 14, block: 256, bytes: 210 },
  IQ4_NL: { id: 20, block: 32, bytes: 18 },
  IQ4_XS: { id: 23, block: 256, bytes: 136 },
  I64: { id: 27, block: 1, bytes: 8 },
  BF16: { id: 30, block: 1, bytes: 2 },
} as const;

export type TensorType = keyof typeof TENSOR_TYPES;

/** A tensor as it lies in the file. */
export interface GgufTensor {
  name: string;
  type: TensorType;
  /** GGUF's order: row length first, then the number of rows, and so on. */
  shape: readonly number[];
  /** Rows one after another, `tensorBytes(type, shape)` bytes. */
  data: Uint8Array;
}

/** A whole file: metadata and tensors keep their order. */
export interface GgufFile {
  metadata: ReadonlyMap<string, GgufValue>;
  tensors: readonly GgufTensor[];
}

/** GGUF's own default; `general.alignment` says otherwise. */
export const DEFAULT_ALIGNMENT = 32;

export const u32 = (value: number): GgufValue => ({ type: 'uint32', value });
export const f32 = (value: number): GgufValue => ({ type: 'float32', value });
export const bool = (value: boolean): GgufValue => ({ type: 'bool', value });
export const str = (value: string): GgufValue => ({ type: 'string', value });
export const arrayOf = (of: ScalarType, value: readonly Scalar[]): GgufValue => ({
  type: 'array',
  of,
  value,
});

/** Bytes of a tensor. Throws INVALID_ARGUMENT where a row is not a whole number of blocks. */
export function tensorBytes(type: TensorType, shape: readonly number[]): number {
  const { block, bytes } = TENSOR_TYPES[type];
  const elements = shape.reduce((product, length) => product * length, 1);
  if (shape.length === 0 || !shape.every((length) => Number.isSafeInteger(length) && length > 0)) {
    throw invalid(`a tensor cannot have the shape [${shape}]`);
  }
  if ((shape[0] ?? 0) % block !== 0)
    throw invalid(`rows of ${shape[0]} are no whole ${type} blocks of ${block}`);
  return (elements / block) * bytes;
}

/** A row of 32-bit floats as the bytes of an F32 tensor. */
export function f32Bytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** The next multiple of `alignment`. */
export function alignUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/**
 * Writes `file` to `path`, first under another name, so that no reader ever sees half a file.
 * Throws INVALID_ARGUMENT where a tensor's data doesn't fit its type and shape or a name is used twice.
 */
export async function writeGguf(path: string, file: GgufFile): Promise<void> {
  const alignment = alignmentOf(file.metadata);
  const header = encodeHeader(file, alignment);
  const part = `${path}.${randomUUID()}.part`;
  try {
    const handle = await open(part, 'w');
    try {
      await handle.writeFile(padded(header, alignment));
      for (const tensor of file.tensors) await handle.writeFile(padded(tensor.data, alignment));
    } finally {
      await handle.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

/** `general.alignment`, or the default. Throws INVALID_ARGUMENT unless it is a positive integer. */
export function alignmentOf(metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get('general.alignment')?.value ?? DEFAULT_ALIGNMENT;
  if (typeof alignment !== 'number' || !Number.isInteger(alignment) || alignment <= 0) {
    throw invalid(`general.alignment cannot be ${alignment}`);
  }
  return alignment;
}

function encodeHeader({ metadata, tensors }: GgufFile, alignment: number): Uint8Array {
  const names = new Set(tensors.map((tensor) => tensor.name));
  if (names.size !== tensors.length) throw invalid('two tensors have the same name');
  const parts: Buffer[] = [Buffer.from('GGUF'), scalar('uint32', 3)];
  parts.push(scalar('uint64', BigInt(tensors.length)), scalar('uint64', BigInt(metadata.size)));
  for (const [key, entry] of metadata) {
    parts.push(scalar('string', key));
    // One by one: a vocabulary can be longer than the arguments of a call.
    for (const part of encodeValue(entry)) parts.push(part);
  }
  let offset = 0;
  for (const { name, type, shape, data } of tensors) {
    const expected = tensorBytes(type, shape);
    if (data.byteLength !== expected) {
      throw invalid(`${name} has ${data.byteLength} bytes, ${type} [${shape}] takes ${expected}`);
    }
    parts.push(scalar('string', name), scalar('uint32', shape.length));
    for (const length of shape) parts.push(scalar('uint64', BigInt(length)));
    parts.push(scalar('uint32', TENSOR_TYPES[type].id), scalar('uint64', BigInt(offset)));
    offset = alignUp(offset + expected, alignment);
  }
  return Buffer.concat(parts);
}

function encodeValue(entry: GgufValue): Buffer[] {
  const type = scalar('uint32', VALUE_TYPES[entry.type]);
  if (entry.type !== 'array') return [type, scalar(entry.type, entry.value)];
  const { of, value } = entry;
  const items = value.map((item) => scalar(of, item));
  return [type, scalar('uint32', VALUE_TYPES[of]), scalar('uint64', BigInt(value.length)), ...items];
}

function scalar(type: ScalarType, value: Scalar): Buffer {
  if (type === 'string') {
    const text = Buffer.from(String(value), 'utf8');
    return Buffer.concat([scalar('uint64', BigInt(text.length)), text]);
  }
  const bytes = Buffer.alloc(SIZES[type]);
  SETTERS[type](bytes, value);
  return bytes;
}

/** Bytes of each fixed-size value type. */
export const SIZES: Record<Exclude<ScalarType, 'string'>, number> = {
  uint8: 1,
  int8: 1,
  bool: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  uint64: 8,
  int64: 8,
  float64: 8,
};

const SETTERS: Record<Exclude<ScalarType, 'string'>, (bytes: Buffer, value: Scalar) => void> = {
  uint8: (b, v) => b.writeUInt8(Number(v)),
  int8: (b, v) => b.writeInt8(Number(v)),
  bool: (b, v) => b.writeUInt8(v ? 1 : 0),
  uint16: (b, v) => b.writeUInt16LE(Number(v)),
  int16: (b, v) => b.writeInt16LE(Number(v)),
  uint32: (b, v) => b.writeUInt32LE(Number(v)),
  int32: (b, v) => b.writeInt32LE(Number(v)),
  float32: (b, v) => b.writeFloatLE(Number(v)),
  uint64: (b, v) => b.writeBigUInt64LE(BigInt(v)),
  int64: (b, v) => b.writeBigInt64LE(BigInt(v)),
  float64: (b, v) => b.writeDoubleLE(Number(v)),
};

function padded(data: Uint8Array, alignment: number): Uint8Array {
  const rest = alignUp(data.byteLength, alignment) - data.byteLength;
  return rest === 0 ? data : Buffer.concat([data, Buffer.alloc(rest)]);
}

function invalid(message: string): AdaptiveSpecError {
  return new AdaptiveSpecError('INVALID_ARGUMENT', message, 'Check what is given to writeGguf.');
}
