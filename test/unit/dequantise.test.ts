// Blocks of every type are read as llama.cpp's own gguf-py reads them.
import { expect, it } from 'vitest';
import { rowOf } from '../../lib/models/dequantise.js';
import { type GgufTensor, TENSOR_TYPES, type TensorType } from '../../lib/models/gguf-write.js';

/** Bytes that follow a pattern, with halves of 1 and 0.5, then of -0.5 and 0.25, where a block has scales. */
function patterned(type: TensorType, scales: number[]): GgufTensor {
  const { block, bytes } = TENSOR_TYPES[type];
  const blocks = block === 1 ? 64 : 2;
  const data = Uint8Array.from({ length: blocks * bytes }, (_, i) => (i * 37 + 11) & 255);
  if (block === 1) for (let i = 1; i < data.length; i += 2) data[i] = i % 4 === 3 ? 0xbe : 0x3f;
  const high = [
    [0x3c, 0x38],
    [0xb8, 0x34],
  ];
  for (const [k, halves] of high.entries())
    for (const [j, at] of scales.entries()) data.set([0, halves[j]!], k * bytes + at);
  return { name: 'x', type, shape: [blocks * block, 1], data };
}

// The numbers at five places, and the sum of all, each times its index modulo 7 and one more: from gguf.quants.
const WANTED: [TensorType, scales: number[], values: number[], sum: number][] = [
  ['F16', [], [1.7607421875, -1.5830078125, -1.7392578125, -1.5400390625, -1.5634765625], 37.8076171875],
  ['BF16', [], [0.54296875, -0.2080078125, -0.478515625, -0.1650390625, -0.1884765625], 122.7587890625],
  ['Q4_0', [0], [-3, 2, -1, -3, 3.5], -45.5],
  ['Q4_1', [0, 2], [15.5, 4.5, 12.5, -0.75, -4.75], 505.25],
  ['Q5_0', [0], [9, -2, 0, 5, -2], 79],
  ['Q5_1', [0, 2], [19.5, 24.5, 5.5, -4.75, -14.25], 995.25],
  ['Q8_0', [0], [85, 122, -54, 41, 35], -988],
  ['Q4_K', [0, 2], [315.5, -25.5, -25.5, -235.75, -220], 53702],
  ['Q5_K', [0, 2], [811.5, -25.5, -25.5, -83.75, -134.5], 244874],
  ['Q6_K', [208], [-1431, 1696, 512, 518, 800], -33855.5],
];

it.each(WANTED)('%s', (type, scales, values, sum) => {
  const row = rowOf(patterned(type, scales), 0);
  const n = row.length;
  expect([0, 1, 17, n / 2 + 3, n - 1].map((i) => row[i])).toEqual(values);
  expect(row.reduce((all, value, i) => all + value * ((i % 7) + 1), 0)).toBeCloseTo(sum, 3);
});

it('reads the row that is asked for', () => {
  const data = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);
  expect(rowOf({ name: 'x', type: 'F32', shape: [2, 3], data }, 1)).toEqual(Float32Array.of(3, 4));
});

it('refuses a type that it cannot read', () => {
  expect(() => rowOf(patterned('IQ4_XS', []), 0)).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringContaining('IQ4_XS') }),
  );
});
