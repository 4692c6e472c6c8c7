// GGUF files: what is written can be read back, and what is wrong is refused in words.
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readGguf } from '../../lib/models/gguf-read-raw.js';
import {
  arrayOf,
  bool,
  f32,
  f32Bytes,
  type GgufFile,
  type GgufTensor,
  type GgufValue,
  str,
  tensorBytes,
  u32,
  writeGguf,
} from '../../lib/models/gguf-write.js';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gguf-write-'));
  path = join(dir, 'a.gguf');
});
afterEach(() => rm(dir, { recursive: true }));

const vector = (name: string, ...values: number[]): GgufTensor => ({
  name,
  type: 'F32',
  shape: [values.length],
  data: f32Bytes(Float32Array.from(values)),
});
const file = (metadata: Record<string, GgufValue>, ...tensors: GgufTensor[]): GgufFile => ({
  metadata: new Map(Object.entries(metadata)),
  tensors,
});

describe('writing and reading back', () => {
  it('takes a vocabulary that is longer than the arguments of a call', async () => {
    const tokens = Array.from({ length: 200_000 }, (_, id) => `t${id}`);
    await writeGguf(path, file({ 'tokenizer.ggml.tokens': arrayOf('string', tokens) }));
    const { metadata } = await readGguf(path);
    expect(metadata.get('tokenizer.ggml.tokens')).toEqual(arrayOf('string', tokens));
  });

  it('keeps every type of value at its limits, and the order', async () => {
    const metadata: Record<string, GgufValue> = {
      z: { type: 'uint8', value: 255 },
      int8: { type: 'int8', value: -128 },
      uint16: { type: 'uint16', value: 65535 },
      int16: { type: 'int16', value: -32768 },
      uint32: u32(2 ** 32 - 1),
      int32: { type: 'int32', value: -(2 ** 31) },
      uint64: { type: 'uint64', value: 2n ** 64n - 1n },
      int64: { type: 'int64', value: -(2n ** 63n) },
      float32: f32(0.5),
      float64: { type: 'float64', value: Math.PI },
      yes: bool(true),
      no: bool(false),
      text: str('Ġ“é”\n'),
      empty: str(''),
      none: arrayOf('int32', []),
      texts: arrayOf('string', ['a', '', '→']),
      flags: arrayOf('bool', [true, false]),
      a: arrayOf('uint64', [0n, 1n]),
    };
    await writeGguf(path, file(metadata));
    const read = await readGguf(path);
    expect(Object.fromEntries(read.metadata)).toEqual(metadata);
    expect([...read.metadata.keys()]).toEqual(Object.keys(metadata));
  });

  it.each([32, 8, 128])('starts every tensor on a border of %d bytes', async (alignment) => {
    const tensors = [vector('one', 1), vector('three', 1, 2, 3), vector('ten', ...Array(10).fill(7))];
    await writeGguf(path, file({ 'general.alignment': u32(alignment) }, ...tensors));
    const read = await readGguf(path);
    for (const [at, tensor] of read.tensors.entries()) {
      expect(tensor.data.byteOffset % alignment).toBe((read.tensors[0]?.data.byteOffset ?? 0) % alignment);
      expect({ ...tensor, data: Buffer.from(tensor.data) }).toEqual({
        ...tensors[at],
        data: Buffer.from(tensors[at]?.data ?? []),
      });
    }
    expect((await readFile(path)).byteLength % alignment).toBe(0);
  });

  it('counts whole blocks of quantised types', () => {
    expect(tensorBytes('Q4_0', [64, 3])).toBe(2 * 3 * 18);
    expect(tensorBytes('Q6_K', [256])).toBe(210);
    expect(() => tensorBytes('Q4_0', [33, 32])).toThrow(/33.*Q4_0/);
  });
});

describe('refused when writing', () => {
  const short = { ...vector('w', 1, 2), shape: [3] };
  it.each([
    ['data that do not fit the shape', file({}, short), /w has 8 bytes, F32 \[3\] takes 12/],
    ['a name used twice', file({}, vector('w', 1), vector('w', 2)), /same name/],
    ['an empty dimension', file({}, { ...vector('w'), shape: [4, 0] }), /shape/],
    ['an alignment of zero', file({ 'general.alignment': u32(0) }), /alignment/],
  ])('%s', async (_, bad, message) => {
    await writeFile(path, 'old');
    await expect(writeGguf(path, bad)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(dir)).toEqual(['a.gguf']);
  });

  it('a path that is a folder, without leaving a part behind', async () => {
    await mkdir(path);
    await expect(writeGguf(path, file({}))).rejects.toThrow();
    expect(await readdir(dir)).toEqual(['a.gguf']);
  });

  it('a folder that is not there, without leaving a part behind', async () => {
    await expect(writeGguf(join(dir, 'no', 'a.gguf'), file({}))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await readdir(dir)).toEqual([]);
  });
});

describe('refused when reading', () => {
  it('a file cut off anywhere', async () => {
    await writeGguf(
      path,
      file({ text: str('abc'), ids: arrayOf('int32', [1, 2]) }, vector('w', ...Array(8).fill(1))),
    );
    const size = (await readFile(path)).byteLength;
    for (let length = size - 1; length >= 0; length -= 3) {
      await truncate(path, length);
      await expect(readGguf(path), `cut at ${length}`).rejects.toMatchObject({ code: 'MODEL_INVALID' });
    }
  });

  it('an array that claims to be longer than the file', async () => {
    await writeGguf(path, file({ ids: arrayOf('int32', [1, 2]) }));
    const bytes = await readFile(path);
    // Magic, version, two counts, key, type of value, type of item; then the length.
    bytes.writeBigUInt64LE(2n ** 40n, 4 + 4 + 16 + (8 + 3) + 4 + 4);
    await writeFile(path, bytes);
    await expect(readGguf(path)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('longer'),
    });
  });

  it('another kind of file', async () => {
    await writeFile(path, 'not a model at all, but long enough to hold a header');
    await expect(readGguf(path)).rejects.toMatchObject({
      message: expect.stringContaining('not a GGUF file'),
    });
  });
});
