// What verifying n rows would cost on a machine that nobody here has: a model for many threads, from figures that were
// measured on two cores and from assumptions. `node bench/threads-model.mjs --help` lists both, each by its kind.
import { parseArgs } from 'node:util';
import { isMain, main, StepFailure } from '../scripts/steps.mjs';

// The kernels' own constants: native/kernels/kernel_set.h, matmul.cc and attention.cc.
const GROUP_ROWS = 16;
const BLOCK_WEIGHTS = 32;
const TILE_COLUMNS = 16;
/** From so many numbers on, threads quantise a product's activations together and meet at a barrier (kSharedFrom). */
const SHARED_FROM = 5888;
const SHARED_FROM_PER_THREAD = 128;
const CHUNK_CELLS = 64;
/** Where partial sums aren't shared, a head of keys has one thread for so many rows (kRowBlock). */
const ROW_BLOCK = 32;

/** Packed bytes of 16 rows × 32 weights; a K-quant's head is spread over its 8 blocks. */
const BLOCK_BYTES = {
  Q4_0: 288,
  Q4_1: 320,
  Q5_0: 352,
  Q5_1: 384,
  Q8_0: 544,
  Q4_K: 64 / 8 + 288,
  Q5_K: 64 / 8 + 352,
  Q6_K: 32 / 8 + 416,
};

/** What the model knows of a machine, and one limit of ours: flag, default, and where the default is from. */
const MACHINE = {
  threads: [96, 'assumed', 'threads, one per core'],
  nodes: [2, 'assumed', 'NUMA nodes, each with its share of the threads and memory of its own'],
  bandwidth: [240, 'assumed', 'GB/s read from a node’s memory: six channels of DDR5-6000 are 288 on paper'],
  coreBandwidth: [40, 'measured', 'GB/s that one core reads: two cores on one node read 80 to 88'],
  link: [100, 'assumed', 'GB/s that a node takes in from other nodes'],
  clock: [3.5, 'assumed', 'GHz with all cores in AVX-512; two busy cores ran at 4.2'],
  macs: [
    126,
    'measured',
    'multiply-adds per cycle and core at VPDPBUSD’s peak: 1060 G/s on two cores at 4.2 GHz',
  ],
  efficiency: [
    0.65,
    'measured',
    'share of the peak that a full tile reaches, blocks of 32 weights: 0.62 to 0.68',
  ],
  twoScales: [
    0.52,
    'assumed',
    'the same for Q6_K, by counting vector operations: 15 for the other formats’ 12',
  ],
  unpackCycles: [15, 'assumed', 'cycles to unpack a block of 16 × 32 weights, once a tile'],
  quantiseCycles: [25, 'measured', 'cycles to quantise 32 activations: 20 to 30'],
  // ggml's barrier in a loop: 0.07 to 0.08 µs on two quiet cores, 0.2 to 0.6 where something else ran beside.
  barrierOfTwo: [0.08, 'measured', 'µs per barrier of two threads'],
  barrierPerThread: [0.05, 'assumed', 'µs more per further thread: all of them write one cache line in turn'],
  attentionMacs: [
    16,
    'assumed',
    'multiply-adds per cycle and core in attention: half of what 512-bit FMA can do',
  ],
  sharedFreely: [4, 'ours', 'MiB of attention’s partial sums that threads always share (kSharedFreely)'],
  mostShared: [64, 'ours', 'MiB of them where there is too little work else (kMostShared)'],
  turnCycles: [0.25, 'assumed', 'cycles to turn one number of the keys'],
  softmaxCycles: [150, 'assumed', 'cycles for a query’s 64 exponentials and their sum'],
  foldCycles: [100, 'assumed', 'cycles to add one partial sum to another'],
  normCycles: [4, 'assumed', 'cycles per number of an RMS norm, which ggml sums one by one in double'],
  gluCycles: [1, 'assumed', 'cycles per number of SwiGLU'],
  addCycles: [0.5, 'assumed', 'cycles per number of an addition'],
};

/** Widths and counts; `biases` adds a node to each of query, key and value, as Qwen2 has it. */
export const SHAPES = {
  '32b': {
    layers: 64,
    width: 5120,
    feedForward: 27648,
    heads: 40,
    keyHeads: 8,
    headSize: 128,
    vocabulary: 152064,
    biases: true,
  },
  '0.5b': {
    layers: 24,
    width: 896,
    feedForward: 4864,
    heads: 14,
    keyHeads: 2,
    headSize: 64,
    vocabulary: 151936,
    biases: true,
  },
  // The random weights that this machine's kernels are measured with.
  '1b': {
    layers: 16,
    width: 2048,
    feedForward: 8192,
    heads: 32,
    keyHeads: 8,
    headSize: 64,
    vocabulary: 32000,
    biases: false,
  },
};

/** The defaults, with what differs. */
export function machineOf(differences = {}) {
  return {
    ...Object.fromEntries(Object.entries(MACHINE).map(([name, [value]]) => [name, value])),
    ...differences,
  };
}

/** The type that llama.cpp's quantiser gives a matrix: K-quants need rows of whole super-blocks. */
function typeOf(wanted, columns) {
  if (columns % 256 === 0) return wanted;
  return { Q4_K: 'Q5_0', Q5_K: 'Q5_1', Q6_K: 'Q8_0' }[wanted] ?? wanted;
}

/** A layer's matrix products in the graph's order; `source` names the activations, which some of them share. */
function layerProducts(shape, format, layer) {
  const { layers, width, feedForward, heads, keyHeads, headSize } = shape;
  const usual = format === 'Q4_K_M' ? 'Q4_K' : format;
  // Q4_K_M gives values and down-projections more bits in the first and last eighth, and in every third layer between.
  const eighth = Math.floor(layers / 8);
  const finer =
    layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2 ? 'Q6_K' : usual;
  const more = format === 'Q4_K_M' ? finer : usual;
  const product = (source, columns, rows, type) => ({ source, columns, rows, type: typeOf(type, columns) });
  return [
    product('attention norm', width, heads * headSize, usual),
    product('attention norm', width, keyHeads * headSize, more),
    product('attention norm', width, keyHeads * headSize, usual),
    product('attention', heads * headSize, width, usual),
    product('feed-forward norm', width, feedForward, usual),
    product('feed-forward norm', width, feedForward, usual),
    product('swiglu', feedForward, width, more),
  ];
}

function outputProduct({ width, vocabulary }, format) {
  return {
    source: 'last norm',
    columns: width,
    rows: vocabulary,
    type: typeOf(format === 'Q8_0' ? 'Q8_0' : 'Q6_K', width),
  };
}

/**
 * Nodes of the graph that compute something; after each, all threads meet. A layer: norm (its product with the weights
 * is fused), query, key, value, two ropes, two writes to the cache, attention, output, addition, norm, gate, up,
 * SwiGLU, down, addition; with biases three more additions. Then: embeddings, two selections of rows, norm, output.
 */
export function nodesOf(shape) {
  return shape.layers * (shape.biases ? 20 : 17) + 5;
}

/** Bytes of a product's packed weights; the last group's missing rows are zeros, which are read too. */
export function bytesOf({ columns, rows, type }) {
  return Math.ceil(rows / GROUP_ROWS) * (columns / BLOCK_WEIGHTS) * BLOCK_BYTES[type];
}

/** GB/s that all threads together read of weights or cache, on so many threads. */
function bandwidthOf(machine, numa, threads = machine.threads) {
  const { nodes, bandwidth, link, coreBandwidth } = machine;
  // Interleaved, a node's threads read (nodes - 1) / nodes of all they read from others.
  const linked = numa === 'interleave' && nodes > 1 ? (nodes * link * nodes) / (nodes - 1) : Infinity;
  return Math.min(nodes * bandwidth, linked, threads * coreBandwidth);
}

/** Microseconds of reading and of computing a product for n rows, on the thread that has most to do. */
export function costOfProduct(machine, numa, product, n) {
  const groups = Math.ceil(product.rows / GROUP_ROWS);
  const blocks = product.columns / BLOCK_WEIGHTS;
  const slowest = Math.ceil(groups / machine.threads);
  const bytes = bytesOf(product);
  const share = (bytes * slowest) / groups;
  const read = Math.max(bytes / bandwidthOf(machine, numa), share / machine.coreBandwidth) / 1000;
  const reached = machine.macs * (product.type === 'Q6_K' ? machine.twoScales : machine.efficiency);
  // The share of the peak is that of a full tile, unpacking included.
  const perColumn = (GROUP_ROWS * BLOCK_WEIGHTS) / reached - machine.unpackCycles / TILE_COLUMNS;
  const tiles = Math.ceil(n / TILE_COLUMNS);
  const cycles = slowest * blocks * (tiles * machine.unpackCycles + n * perColumn);
  return { read, compute: cycles / machine.clock / 1000 };
}

/** Whether the threads share the work of quantising n rows; then each product does it anew, with a barrier. */
export function sharesQuantising(machine, columns, n) {
  return machine.threads > 1 && n * columns > SHARED_FROM + SHARED_FROM_PER_THREAD * machine.threads;
}

/** Microseconds of quantising n rows, per thread. */
function quantising(machine, columns, n) {
  const blocks = columns / BLOCK_WEIGHTS;
  const mine = sharesQuantising(machine, columns, n) ? Math.ceil(blocks / machine.threads) : blocks;
  return (mine * n * machine.quantiseCycles) / machine.clock / 1000;
}

/** Microseconds of a layer's attention after `context` cells, and its barriers. */
export function costOfAttention(machine, numa, shape, n, context) {
  const { heads, keyHeads, headSize } = shape;
  const share = heads / keyHeads;
  const padded = Math.ceil((context + n) / 256) * 256;
  // Chunks that no row sees cost next to nothing.
  const chunks = Math.ceil((context + n) / CHUNK_CELLS);
  const chunkCycles = (rows) =>
    CHUNK_CELLS * headSize * machine.turnCycles +
    rows * share * ((CHUNK_CELLS * 2 * headSize) / machine.attentionMacs + machine.softmaxCycles);
  const partials = n * heads * (padded / CHUNK_CELLS) * (2 + headSize) * 4;
  const idle = keyHeads * Math.ceil(n / ROW_BLOCK) < 2 * machine.threads;
  const shares = partials <= (idle ? machine.mostShared : machine.sharedFreely) * 2 ** 20;
  let cycles;
  let threads = machine.threads;
  if (shares) {
    const run = padded / CHUNK_CELLS >= 2 * machine.threads ? keyHeads : 1;
    const items = Math.ceil((chunks * keyHeads) / run / machine.threads) * run;
    cycles = items * chunkCycles(n) + Math.ceil((n * heads) / machine.threads) * chunks * machine.foldCycles;
  } else {
    const items = keyHeads * Math.ceil(n / ROW_BLOCK);
    threads = Math.min(items, machine.threads);
    const rows = Math.min(n, ROW_BLOCK);
    cycles =
      Math.ceil(items / machine.threads) * chunks * (chunkCycles(rows) + rows * share * machine.foldCycles);
  }
  const bytes = chunks * CHUNK_CELLS * keyHeads * headSize * 2 * 2;
  const read = bytes / bandwidthOf(machine, numa, threads) / 1000;
  return { us: Math.max(read, cycles / machine.clock / 1000), barriers: shares ? 1 : 0, shares };
}

/** Microseconds per barrier. */
export function barrierOf(machine) {
  if (machine.threads < 2) return 0;
  return machine.barrierUs ?? machine.barrierOfTwo + (machine.threads - 2) * machine.barrierPerThread;
}

/**
 * Milliseconds of one verification of n rows, all with logits. A product takes the longer of its reading and its
 * computing; quantising, attention, the other nodes and barriers come on top.
 */
export function costOfStep(
  machine,
  shape,
  { rows: n, format = 'Q4_K_M', context = 1000, numa = 'interleave' },
) {
  const us = { products: 0, computing: 0, quantising: 0, attention: 0, others: 0 };
  let bytes = 0;
  let barriers = nodesOf(shape);
  let before;
  const add = (product) => {
    const { read, compute } = costOfProduct(machine, numa, product, n);
    us.products += Math.max(read, compute);
    if (compute > read) us.computing += compute;
    bytes += bytesOf(product);
    // A thread's own copy serves all products of the same activations; shared scratch is written anew for each.
    const shared = sharesQuantising(machine, product.columns, n);
    if (shared || product.source !== before) us.quantising += quantising(machine, product.columns, n);
    if (shared) barriers += 1;
    before = product.source;
  };
  const { width, feedForward, heads, keyHeads, headSize } = shape;
  // ggml cuts these by rows, so that one row has one thread.
  const perRow =
    2 * width * machine.normCycles +
    feedForward * machine.gluCycles +
    (2 * width + (shape.biases ? (heads + 2 * keyHeads) * headSize : 0)) * machine.addCycles;
  const others = (Math.ceil(n / machine.threads) * perRow) / machine.clock / 1000;
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const product of layerProducts(shape, format, layer)) add(product);
    const attention = costOfAttention(machine, numa, shape, n, context);
    us.attention += attention.us;
    barriers += attention.barriers;
    us.others += others;
  }
  add(outputProduct(shape, format));
  const met = barriers * barrierOf(machine);
  const total = us.products + us.quantising + us.attention + us.others + met;
  return {
    rows: n,
    ms: total / 1000,
    productsMs: us.products / 1000,
    /** Share of the products' time in products that computing bounds, not reading. */
    computeBound: us.computing / us.products,
    quantisingMs: us.quantising / 1000,
    attentionMs: us.attention / 1000,
    othersMs: us.others / 1000,
    barriers,
    barriersMs: met / 1000,
    weightBytes: bytes,
  };
}

/** The first n at which more of the products' time is bound by computing than by reading; null where none is. */
export function kneeOf(machine, shape, how) {
  for (let rows = 1; rows <= 256; rows++)
    if (costOfStep(machine, shape, { ...how, rows }).computeBound > 0.5) return rows;
  return null;
}

const kebab = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function help() {
  const flags = Object.entries(MACHINE).map(
    ([name, [value, kind, meaning]]) => `  --${kebab(name)} ${value}   ${kind}: ${meaning}`,
  );
  return `node bench/threads-model.mjs [flags]
  --shape 32b   ${Object.keys(SHAPES).join(', ')}
  --gguf-shape LAYERS,WIDTH,FEED_FORWARD,HEADS,KEY_HEADS,HEAD_SIZE,VOCABULARY[,biases]   another shape
  --format Q4_K_M   or one of ${Object.keys(BLOCK_BYTES).join(', ')}; Q4_K_M mixes types as llama.cpp does
  --context 1000   cells in the KV cache before the step
  --rows 1,2,…   default 1 to 33
  --numa interleave   or local: every node reads weights and cache from memory of its own
  --barrier-us N   µs per barrier of all threads, instead of the two figures below
  --json
${flags.join('\n')}`;
}

function wrong(flag, value) {
  return new StepFailure(
    `${flag} can't be ${value}.`,
    'node bench/threads-model.mjs --help lists what it can be',
  );
}

function numberOf(flag, text) {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value < Infinity)) throw wrong(flag, text);
  return value;
}

function shapeOf({ shape, 'gguf-shape': numbers }) {
  if (numbers === undefined) {
    if (!(shape in SHAPES)) throw wrong('--shape', shape);
    return SHAPES[shape];
  }
  const parts = numbers.split(',');
  const sizes = parts.slice(0, 7).map((part) => numberOf('--gguf-shape', part));
  if (sizes.length < 7) throw wrong('--gguf-shape', numbers);
  const [layers, width, feedForward, heads, keyHeads, headSize, vocabulary] = sizes;
  return { layers, width, feedForward, heads, keyHeads, headSize, vocabulary, biases: parts[7] === 'biases' };
}

function run() {
  const text = (value) => ({ type: 'string', default: value });
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean' },
      json: { type: 'boolean' },
      shape: text('32b'),
      'gguf-shape': { type: 'string' },
      format: text('Q4_K_M'),
      context: text('1000'),
      rows: text(Array.from({ length: 33 }, (_, i) => i + 1).join()),
      numa: text('interleave'),
      'barrier-us': { type: 'string' },
      ...Object.fromEntries(Object.keys(MACHINE).map((name) => [kebab(name), { type: 'string' }])),
    },
  });
  if (values.help) return console.log(help());
  const shape = shapeOf(values);
  if (!['interleave', 'local'].includes(values.numa)) throw wrong('--numa', values.numa);
  if (values.format !== 'Q4_K_M' && !(values.format in BLOCK_BYTES)) throw wrong('--format', values.format);
  const given = [...Object.keys(MACHINE), 'barrierUs'].filter((name) => values[kebab(name)] !== undefined);
  const machine = machineOf(
    Object.fromEntries(given.map((name) => [name, numberOf(`--${kebab(name)}`, values[kebab(name)])])),
  );
  const how = { format: values.format, context: numberOf('--context', values.context), numa: values.numa };
  const steps = values.rows
    .split(',')
    .map((rows) => costOfStep(machine, shape, { ...how, rows: numberOf('--rows', rows) }));
  const one = costOfStep(machine, shape, { ...how, rows: 1 });
  const knee = kneeOf(machine, shape, how);
  if (values.json)
    return console.log(JSON.stringify({ modelled: true, machine, shape, how, knee, steps }, null, 2));

  console.log('A model, not a measurement.');
  for (const [name, [value, kind, meaning]] of Object.entries(MACHINE))
    console.log(
      `  ${(given.includes(name) ? `${machine[name]} given` : `${value} ${kind}`).padEnd(14)}  ${meaning}`,
    );
  const gigabytes = (one.weightBytes / 1e9).toFixed(2);
  console.log(
    `${gigabytes} GB of packed weights, ${how.context} cells, ${how.numa}: ` +
      `${bandwidthOf(machine, how.numa)} GB/s; ${barrierOf(machine).toFixed(2)} µs per barrier`,
  );
  console.log(
    '| rows | ms | v(n) / v(1) | products (compute-bound) | quantising | attention | others | barriers |',
  );
  console.log('|---|---|---|---|---|---|---|---|');
  for (const s of steps) {
    const percent = (share) => `${Math.round(100 * share)} %`;
    console.log(
      `| ${s.rows} | ${s.ms.toFixed(1)} | ${(s.ms / one.ms).toFixed(2)} ` +
        `| ${s.productsMs.toFixed(1)} (${percent(s.computeBound)}) | ${s.quantisingMs.toFixed(1)} ` +
        `| ${s.attentionMs.toFixed(1)} | ${s.othersMs.toFixed(1)} ` +
        `| ${s.barriersMs.toFixed(1)}, ${percent(s.barriersMs / s.ms)} of all (${s.barriers}) |`,
    );
  }
  console.log(`Knee (most of the products' time is bound by computing): ${knee ?? 'none up to 256'} rows`);
}

if (isMain(import.meta.url)) await main(async () => run());
