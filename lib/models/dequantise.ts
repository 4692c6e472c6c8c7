// Rows of a tensor as numbers, by ggml's block layouts: for tools that compare rows, not for inference.
import { AdaptiveSpecError } from '../errors.js';
import { type GgufTensor, TENSOR_TYPES, type TensorType } from './gguf-write.js';

type ReadBlock = (block: DataView, out: Float32Array) => void;

/**
 * One row of a tensor as 32-bit floats, `shape[0]` of them.
 * Throws UNSUPPORTED for a type whose layout isn't known here.
 */
export function rowOf({ name, type, shape, data }: GgufTensor, row: number): Float32Array {
  const read = READERS[type];
  if (!read) {
    throw new AdaptiveSpecError(
      'UNSUPPORTED',
      `The tensor ${name} is of the type ${type}, whose numbers can't be read here`,
      `Quantise it otherwise: ${Object.keys(READERS).join(', ')} are known.`,
    );
  }
  const { block, bytes } = TENSOR_TYPES[type];
  const columns = shape[0]!;
  const width = (columns / block) * bytes;
  const out = new Float32Array(columns);
  for (let at = 0; at < columns / block; at++) {
    const offset = data.byteOffset + row * width + at * bytes;
    read(new DataView(data.buffer, offset, bytes), out.subarray(at * block, (at + 1) * block));
  }
  return out;
}

/** 32 numbers of four bits: the low halves of 16 bytes, then their high ones. */
function nibbles(block: DataView, at: number, i: number): number {
  const byte = block.getUint8(at + (i % 16));
  return i < 16 ? byte & 15 : byte >> 4;
}

/** The same with a fifth bit each, which stand together before them. */
const fiveBits = (block: DataView, at: number, i: number): number =>
  nibbles(block, at + 4, i) | (((block.getUint32(at, true) >>> i) & 1) << 4);

const half = (block: DataView, at: number): number => fromHalf(block.getUint16(at, true));

/** Scale and minimum of one of the eight parts of a Q4_K or Q5_K block: six bits each, packed into twelve bytes. */
function scaleAndMinimum(block: DataView, part: number): [number, number] {
  const byte = (i: number) => block.getUint8(4 + i);
  if (part < 4) return [byte(part) & 63, byte(part + 4) & 63];
  return [
    (byte(part + 4) & 15) | ((byte(part - 4) >> 6) << 4),
    (byte(part + 4) >> 4) | ((byte(part) >> 6) << 4),
  ];
}

/** Q4_K and Q5_K: eight parts of 32, two of them in the low and high halves of 32 bytes; `fifth` is where more bits are. */
function readK(block: DataView, out: Float32Array, values: number, fifth?: number): void {
  const scale = half(block, 0);
  const minimum = half(block, 2);
  for (let part = 0; part < 8; part++) {
    const [s, m] = scaleAndMinimum(block, part);
    for (let i = 0; i < 32; i++) {
      const byte = block.getUint8(values + (part >> 1) * 32 + i);
      const high = fifth === undefined ? 0 : ((block.getUint8(fifth + i) >> part) & 1) << 4;
      out[part * 32 + i] = scale * s * ((part % 2 ? byte >> 4 : byte & 15) | high) - minimum * m;
    }
  }
}

const READERS: Partial<Record<TensorType, ReadBlock>> = {
  F32: (block, out) => {
    out[0] = block.getFloat32(0, true);
  },
  F16: (block, out) => {
    out[0] = half(block, 0);
  },
  BF16: (block, out) => {
    const bits = new Uint32Array([block.getUint16(0, true) << 16]);
    out[0] = new Float32Array(bits.buffer)[0]!;
  },
  Q4_0: (block, out) => {
    const scale = half(block, 0);
    for (let i = 0; i < 32; i++) out[i] = scale * (nibbles(block, 2, i) - 8);
  },
  Q4_1: (block, out) => {
    const scale = half(block, 0);
    const minimum = half(block, 2);
    for (let i = 0; i < 32; i++) out[i] = scale * nibbles(block, 4, i) + minimum;
  },
  Q5_0: (block, out) => {
    const scale = half(block, 0);
    for (let i = 0; i < 32; i++) out[i] = scale * (fiveBits(block, 2, i) - 16);
  },
  Q5_1: (block, out) => {
    const scale = half(block, 0);
    const minimum = half(block, 2);
    for (let i = 0; i < 32; i++) out[i] = scale * fiveBits(block, 4, i) + minimum;
  },
  Q8_0: (block, out) => {
    const scale = half(block, 0);
    for (let i = 0; i < 32; i++) out[i] = scale * block.getInt8(2 + i);
  },
  Q4_K: (block, out) => readK(block, out, 16),
  Q5_K: (block, out) => readK(block, out, 48, 16),
  // Low four bits in 128 bytes, high two in 64, scales of 16 numbers each in 16, the block's own scale last.
  Q6_K: (block, out) => {
    const scale = half(block, 208);
    for (let i = 0; i < 256; i++) {
      const [side, quarter, place] = [i >> 7, (i >> 5) & 3, i & 31];
      const low = block.getUint8(side * 64 + (quarter & 1) * 32 + place);
      const high = (block.getUint8(128 + side * 32 + place) >> (2 * quarter)) & 3;
      const value = (quarter < 2 ? low & 15 : low >> 4) | (high << 4);
      out[i] = scale * block.getInt8(192 + (i >> 4)) * (value - 32);
    }
  },
};

function fromHalf(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -size : size;
}
