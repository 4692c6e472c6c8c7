// The model of many threads: its arithmetic, against cases worked out by hand.

import { describe, expect, it } from 'vitest';
import {
  barrierOf,
  bytesOf,
  costOfAttention,
  costOfProduct,
  costOfStep,
  machineOf,
  nodesOf,
  SHAPES,
  sharesQuantising,
} from '../../bench/threads-model.mjs';

// A column of a block takes 512 / (128 × 0.5) = 8 cycles, of which a sixteenth of 16 is unpacking: 7 and 16.
const machine = machineOf({
  threads: 2,
  nodes: 1,
  bandwidth: 23.04,
  coreBandwidth: 1000,
  clock: 1,
  macs: 128,
  efficiency: 0.5,
  unpackCycles: 16,
});
// Four groups of two blocks of 288 bytes.
const product = { source: 'x', columns: 64, rows: 64, type: 'Q4_0' };

describe('a product', () => {
  it('takes as long as reading or computing it, on the thread with most groups', () => {
    expect(bytesOf(product)).toBe(2304);
    const one = costOfProduct(machine, 'interleave', product, 1);
    expect(one.read).toBeCloseTo(0.1); // 2304 bytes at 23.04 GB/s, in microseconds
    expect(one.compute).toBeCloseTo(0.092); // 2 groups × 2 blocks × (16 + 7) cycles at 1 GHz
    expect(costOfProduct(machine, 'interleave', product, 17).compute).toBeCloseTo(0.604); // two tiles: 32 + 17 × 7
    const three = { ...machine, threads: 3 };
    expect(costOfProduct(three, 'interleave', product, 1).compute).toBeCloseTo(0.092); // 2 of 4 groups again
  });

  it('is read over the link where memory is interleaved', () => {
    const two = { ...machine, nodes: 2, link: 5.76 };
    expect(costOfProduct(two, 'local', product, 1).read).toBeCloseTo(0.05);
    expect(costOfProduct(two, 'interleave', product, 1).read).toBeCloseTo(0.1); // 4 × 5.76 = 23.04 GB/s
  });
});

describe('a step', () => {
  it('has a barrier after each node, in attention and where quantising is shared', () => {
    const shape = SHAPES['32b'];
    expect(nodesOf(shape)).toBe(64 * 20 + 5);
    expect(costOfStep(machine, shape, { rows: 1 }).barriers).toBe(64 * 22 + 5); // attention, down
    expect(costOfStep(machine, shape, { rows: 4 }).barriers).toBe(64 * 28 + 6); // attention, 7 products; output
    expect(barrierOf(machineOf({ threads: 1 }))).toBe(0);
    expect(barrierOf(machineOf({ barrierUs: 3 }))).toBe(3);
  });

  it('shares quantising above 5,888 numbers and 128 more per thread', () => {
    expect(sharesQuantising(machineOf({ threads: 2 }), 1024, 6)).toBe(false);
    expect(sharesQuantising(machineOf({ threads: 2 }), 1024, 7)).toBe(true);
    expect(sharesQuantising(machineOf({ threads: 96 }), 4096, 4)).toBe(false);
    expect(sharesQuantising(machineOf({ threads: 96 }), 4096, 5)).toBe(true);
    expect(sharesQuantising(machineOf({ threads: 1 }), 4096, 5)).toBe(false);
  });

  it('has attention on one thread per head of keys where partial sums are too many to share', () => {
    const shape = SHAPES['32b'];
    const few = { ...machineOf(), threads: 2 };
    expect(costOfAttention(few, 'local', shape, 12, 1000).shares).toBe(true); // 3.99 MB
    expect(costOfAttention(few, 'local', shape, 13, 1000).shares).toBe(false); // 4.33 MB
    // Eight heads of keys would leave most of 96 threads idle.
    expect(costOfAttention(machineOf(), 'local', shape, 13, 1000).shares).toBe(true);
  });
});
