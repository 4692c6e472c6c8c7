// Reads a whole GGUF file into memory, arrays and tensor bytes included: for tools and tests, not for loading.
import { readFile } from 'node:fs/promises';
import { AdaptiveSpecError } from '../errors.js';
import {
  alignmentOf,
  alignUp,
  type GgufFile,
  type GgufTensor,
  type GgufValue,
  type Scalar,
  type ScalarType,
  SIZES,
  TENSOR_TYPES,
  type TensorType,
  tensorBytes,
  VALUE_TYPES,
} from './gguf-write.js';

const typeById = new Map(Object.entries(VALUE_TYPES).map(([name, id]) => [id as number, name]));
const tensorTypeById = new Map(Object.entries(TENSOR_TYPES).map(([name, { id }]) => [id as number, name]));

/**
 * The file at `path`; tensors' `data` are views of one buffer as large as the file.
 * Throws MODEL_INVALID where the file is no GGUF of version 2 or 3, ends early or holds an unknown type.
 */
export async function readGguf(path: string): Promise<GgufFile> {
  const bytes = await readFile(path);
  try {
    return parse(bytes);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AdaptiveSpecError('MODEL_INVALID', `${path}: ${why}`, 'Get the file anew.', { cause });
  }
}

function parse(bytes: Buffer): GgufFile {
  let at = 0;

  function take(size: number): Buffer {
    if (size > bytes.length - at) throw new Error(`the file ends at ${bytes.length}, inside a value`);
    at += size;
    return bytes.subarray(at - size, at);
  }
  const count = () => Number(take(8).readBigUInt64LE());
  const id = () => take(4).readUInt32LE();
  const text = () => take(count()).toString('utf8');
  const item = (type: ScalarType): Scalar => (type === 'string' ? text() : GETTERS[type](take(SIZES[type])));

  function value(): GgufValue {
    const type = named(typeById, id());
    if (type !== 'array') return { type: type as ScalarType, value: item(type as ScalarType) };
    const of = named(typeById, id()) as ScalarType | 'array';
    if (of === 'array') throw new Error('an array of arrays is not supported');
    const length = count();
    // Checked before the allocation: a wrong count must not cost the memory it claims.
    if (length > bytes.length - at) throw new Error('an array is longer than the file');
    return { type: 'array', of, value: Array.from({ length }, () => item(of)) };
  }

  if (take(4).toString('latin1') !== 'GGUF') throw new Error('not a GGUF file');
  const version = id();
  if (version !== 2 && version !== 3) throw new Error(`GGUF version ${version} is not supported`);
  const tensorCount = count();
  const metadataCount = count();
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < metadataCount; i++) metadata.set(text(), value());

  const infos: (Omit<GgufTensor, 'data'> & { offset: number })[] = [];
  for (let i = 0; i < tensorCount; i++) {
    const name = text();
    const dimensions = id();
    if (dimensions > 4) throw new Error(`a tensor of ${dimensions} dimensions`);
    const shape = Array.from({ length: dimensions }, count);
    infos.push({ name, shape, type: named(tensorTypeById, id()) as TensorType, offset: count() });
  }
  const start = alignUp(at, alignmentOf(metadata));
  const tensors = infos.map(({ offset, ...info }): GgufTensor => {
    at = start + offset;
    return { ...info, data: take(tensorBytes(info.type, info.shape)) };
  });
  return { metadata, tensors };
}

function named(names: Map<number, string>, id: number): string {
  const name = names.get(id);
  if (name === undefined) throw new Error(`unknown type ${id}`);
  return name;
}

const GETTERS: Record<Exclude<ScalarType, 'string'>, (bytes: Buffer) => Scalar> = {
  uint8: (b) => b.readUInt8(),
  int8: (b) => b.readInt8(),
  bool: (b) => b.readUInt8() !== 0,
  uint16: (b) => b.readUInt16LE(),
  int16: (b) => b.readInt16LE(),
  uint32: (b) => b.readUInt32LE(),
  int32: (b) => b.readInt32LE(),
  float32: (b) => b.readFloatLE(),
  uint64: (b) => b.readBigUInt64LE(),
  int64: (b) => b.readBigInt64LE(),
  float64: (b) => b.readDoubleLE(),
};
