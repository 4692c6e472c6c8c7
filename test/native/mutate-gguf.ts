// Damages GGUF files in ways that keep most of them plausible: each from a seed, and with words for what was done.

/** Where one metadata value lies in its file. */
interface Value {
  start: number;
  end: number;
  key: string;
  type: number;
  /** Of the value itself, after its type. */
  at: number;
  /** Of an array: the type of its entries, their number, and where each one begins. */
  array?: { of: number; length: number; entries: number[] };
}

interface Tensor {
  start: number;
  end: number;
  name: string;
  dimensions: number;
  elements: number;
}

/** A sound file, taken apart. */
export interface Layout {
  bytes: Buffer;
  values: Value[];
  tensors: Tensor[];
  /** End of all that stands before the weights, and their beginning. */
  headEnd: number;
  data: number;
}

export interface Mutant {
  bytes: Buffer;
  what: string;
}

type Random = () => number;
const HEADER = 24;
const STRING = 8;
const ARRAY = 9;
const WIDTH: Record<number, number> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
/** Tensor types: elements and bytes of a block. */
const BLOCKS: Record<number, readonly [elements: number, bytes: number]> = {
  1: [1, 2],
  2: [32, 18],
  8: [32, 34],
  20: [32, 18],
  24: [1, 1],
  25: [1, 2],
  26: [1, 4],
  27: [1, 8],
  28: [1, 8],
  30: [1, 2],
  39: [32, 17],
  40: [64, 36],
  42: [64, 18],
};

export function layoutOf(bytes: Buffer): Layout {
  let at = HEADER;
  const u32 = () => {
    at += 4;
    return bytes.readUInt32LE(at - 4);
  };
  const u64 = () => {
    at += 8;
    return Number(bytes.readBigUInt64LE(at - 8));
  };
  const text = () => {
    const length = u64();
    at += length;
    return bytes.toString('utf8', at - length, at);
  };
  const skip = (type: number) => {
    if (type === STRING) text();
    else at += WIDTH[type]!;
  };
  const value = (): Value => {
    const start = at;
    const key = text();
    const type = u32();
    const where = at;
    if (type !== ARRAY) {
      skip(type);
      return { start, end: at, key, type, at: where };
    }
    const of = u32();
    const length = u64();
    const entries = Array.from({ length }, () => {
      const entry = at;
      skip(of);
      return entry;
    });
    return { start, end: at, key, type, at: where, array: { of, length, entries } };
  };
  const tensor = (): Tensor => {
    const start = at;
    const name = text();
    const dimensions = u32();
    let elements = 1;
    for (let i = 0; i < dimensions; i++) elements *= u64();
    at += 12;
    return { start, end: at, name, dimensions, elements };
  };
  const tensorCount = Number(bytes.readBigUInt64LE(8));
  const values = Array.from({ length: Number(bytes.readBigUInt64LE(16)) }, value);
  const tensors = Array.from({ length: tensorCount }, tensor);
  return { bytes, values, tensors, headEnd: at, data: Math.ceil(at / 32) * 32 };
}

const NUMBERS = [
  0,
  1,
  2,
  3,
  5,
  7,
  8,
  15,
  16,
  31,
  32,
  33,
  63,
  64,
  65,
  100,
  127,
  128,
  255,
  256,
  512,
  513,
  4096,
  65_535,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 53,
  -1,
  -2,
  0.5,
  1e-38,
  3e38,
  Number.NaN,
  Number.POSITIVE_INFINITY,
];
const HUGE = [2n ** 31n, 2n ** 32n, 2n ** 40n, 2n ** 61n, 2n ** 63n, 2n ** 64n - 1n];
const TEXTS = [
  ...[
    'llama',
    'gemma3',
    'mamba',
    'lfm2',
    'qwen2',
    'gpt2',
    'bert',
    't5',
    'rwkv6',
    'falcon',
    'phi3',
    'clip',
    '',
  ],
  ...['spm', 'rwkv', 'plamo2', 'none', 'smollm', 'default', 'llama-bpe', 'deepseek-llm', 'gpt-4o', 'no-such'],
  ...[
    '{% for',
    '{{ 1/0 }}',
    '{% for a in range(10 ** 9) %}{% endfor %}',
    '\0',
    'x'.repeat(5000),
    '%s%n',
    '\xff',
  ],
];
/** Keys that llama.cpp reads and the tiny models mostly lack. */
const MORE_KEYS = [
  ...'expert_count expert_used_count expert_group_count expert_shared_count expert_weights_scale'.split(' '),
  ...'attention.sliding_window attention.key_length attention.value_length attention.causal'.split(' '),
  ...'attention.key_length_swa attention.value_length_swa attention.max_alibi_bias attention.clamp_kqv'.split(
    ' ',
  ),
  ...'attention.layer_norm_epsilon attention.group_norm_groups attention.sliding_window_pattern'.split(' '),
  ...'rope.dimension_count rope.dimension_sections rope.scaling.type rope.scaling.factor rope.freq_scale'.split(
    ' ',
  ),
  ...'rope.scaling.original_context_length rope.scaling.attn_factor rope.scale_linear rope.freq_base'.split(
    ' ',
  ),
  ...'pooling_type logit_scale vocab_size use_parallel_residual nextn_predict_layers leading_dense_block_count'.split(
    ' ',
  ),
  ...'feed_forward_length attention.head_count attention.head_count_kv block_count context_length'.split(' '),
  ...'decoder_block_count embedding_length_out n_deepstack_layers attention.q_lora_rank token_shift_count'.split(
    ' ',
  ),
  ...'final_logit_softcapping attn_logit_softcapping residual_scale embedding_scale classifier.output_labels'.split(
    ' ',
  ),
];
const MORE_GLOBAL_KEYS = [
  ...'eos_token_id unknown_token_id padding_token_id eot_token_id eom_token_id eog_token_ids'.split(' '),
  ...'fim_pre_token_id fim_suf_token_id fim_mid_token_id mask_token_id separator_token_id'.split(' '),
  ...'add_bos_token add_eos_token add_sep_token add_space_prefix remove_extra_whitespaces'.split(' '),
  ...'token_type_count token_type scores merges precompiled_charsmap normalizer.lowercase'.split(' '),
].map((name) => `tokenizer.ggml.${name}`);

/** One or a few changes to a sound file. */
export function mutate(layout: Layout, random: Random): Mutant {
  const whole = pick(random, [flipHead, flipHead, flipData, spoilData, truncate]);
  const precise = pick(random, [
    ...[setNumber, setNumber, setNumber, setNumber, setText, setText, setEntry, setEntry],
    ...[setType, setLength, setLength, setCount, setTensor, setTensor, retypeTensor, retypeTensor],
    ...[removeValue, removeValue, doubleValue, addValue, addValue, addValue, removeTensor, renameTensor],
  ]);
  return random() < 0.25 ? whole(layout, random) : precise(layout, random);
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)]!;
}

const below = (random: Random, limit: number) => Math.floor(random() * limit);

function flip(bytes: Buffer, random: Random, from: number, to: number): string {
  const places = Array.from({ length: 1 + below(random, 6) }, () => from + below(random, to - from));
  for (const place of places) bytes[place]! ^= 1 << below(random, 8);
  return `bits flipped in the bytes ${places.join(', ')}`;
}

function flipHead({ bytes, headEnd }: Layout, random: Random): Mutant {
  const copy = Buffer.from(bytes);
  return { bytes: copy, what: flip(copy, random, random() < 0.2 ? 0 : HEADER, headEnd) };
}

function flipData({ bytes, data }: Layout, random: Random): Mutant {
  const copy = Buffer.from(bytes);
  return { bytes: copy, what: flip(copy, random, data, bytes.length) };
}

function spoilData({ bytes, data }: Layout, random: Random): Mutant {
  const copy = Buffer.from(bytes);
  const from = data + 4 * below(random, (bytes.length - data) / 4);
  const fill = pick(random, [0, 0xff, 0x7f, 0x80]);
  copy.fill(fill, from, Math.min(bytes.length, from + 4 * (1 + below(random, 5000))));
  return { bytes: copy, what: `weights from ${from} on are bytes of ${fill}` };
}

function truncate({ bytes, headEnd }: Layout, random: Random): Mutant {
  const length = below(random, random() < 0.5 ? headEnd : bytes.length);
  return { bytes: bytes.subarray(0, length), what: `cut off at ${length}` };
}

/** A number at a place, in whatever type is there. */
function put(bytes: Buffer, at: number, type: number, number: number): void {
  if (type === 6) bytes.writeFloatLE(number, at);
  else if (type === 12) bytes.writeDoubleLE(number, at);
  else {
    const whole = BigInt(Number.isFinite(number) ? Math.trunc(number) : 0);
    const wide = Buffer.alloc(8);
    wide.writeBigInt64LE(BigInt.asIntN(64, whole));
    wide.copy(bytes, at, 0, WIDTH[type]);
  }
}

function setNumber({ bytes, values }: Layout, random: Random): Mutant {
  const copy = Buffer.from(bytes);
  const value = pick(
    random,
    values.filter(({ type }) => type in WIDTH),
  );
  const number = pick(random, NUMBERS);
  put(copy, value.at, value.type, number);
  return { bytes: copy, what: `${value.key} = ${number}` };
}

function setEntry({ bytes, values }: Layout, random: Random): Mutant {
  const copy = Buffer.from(bytes);
  const { key, array } = pick(
    random,
    values.filter((value) => (value.array?.length ?? 0) > 0),
  );
  const { of, entries } = array!;
  const place = below(random, entries.length);
  const from = entries[place]!;
  if (of !== STRING) {
    const number = pick(random, NUMBERS);
    put(copy, from, of, number);
    return { bytes: copy, what: `${key}[${place}] = ${number}` };
  }
  const length = Number(bytes.readBigUInt64LE(from));
  const letter = pick(random, [0, 0x20, 0x61, 0xff, 0xc3]);
  copy.fill(letter, from + 8, from + 8 + length);
  return { bytes: copy, what: `${key}[${place}] is ${length} bytes of ${letter}` };
}

function setText(layout: Layout, random: Random): Mutant {
  const value = pick(
    random,
    layout.values.filter(({ type }) => type === STRING),
  );
  const text = pick(random, TEXTS);
  const changed = encodeValue(value.key, STRING, encodeText(text));
  return rebuild(layout, { [value.key]: [changed] }, `${value.key} = ${JSON.stringify(text.slice(0, 40))}`);
}

function setType({ bytes, values }: Layout, random: Random): Mutant {
  const copy = Buffer.from(bytes);
  const { key, at, array } = pick(random, values);
  const type = below(random, 14);
  const ofEntries = array !== undefined && random() < 0.6;
  copy.writeUInt32LE(type, ofEntries ? at : at - 4);
  return { bytes: copy, what: `the type of ${key}${ofEntries ? "'s entries" : ''} = ${type}` };
}

function setLength(layout: Layout, random: Random): Mutant {
  const { bytes, values, tensors } = layout;
  const copy = Buffer.from(bytes);
  const value = pick(random, values);
  const place = pick(random, [
    value.start,
    value.array ? value.at + 4 : value.type === STRING ? value.at : value.start,
    pick(random, tensors).start,
    ...(value.array?.of === STRING ? [pick(random, value.array.entries)] : []),
  ]);
  const old = bytes.readBigUInt64LE(place);
  const length = random() < 0.5 ? pick(random, HUGE) : BigInt.asUintN(64, old + BigInt(below(random, 9) - 4));
  copy.writeBigUInt64LE(length, place);
  return { bytes: copy, what: `the length at ${place} (near ${value.key}) = ${length}, was ${old}` };
}

function setCount({ bytes }: Layout, random: Random): Mutant {
  const copy = Buffer.from(bytes);
  const place = pick(random, [8, 16]);
  const old = bytes.readBigUInt64LE(place);
  const count = random() < 0.4 ? pick(random, HUGE) : BigInt(below(random, Number(old) + 3));
  copy.writeBigUInt64LE(count, place);
  return { bytes: copy, what: `the count at ${place} = ${count}, was ${old}` };
}

function setTensor({ bytes, tensors }: Layout, random: Random): Mutant {
  const copy = Buffer.from(bytes);
  const { name, start, dimensions } = pick(random, tensors);
  const at = start + 8 + name.length;
  const part = pick(random, ['dimensions', 'shape', 'swap', 'offset']);
  if (part === 'dimensions') copy.writeUInt32LE(below(random, 6), at);
  else if (part === 'swap' && dimensions > 1) {
    copy.writeBigUInt64LE(bytes.readBigUInt64LE(at + 4), at + 12);
    copy.writeBigUInt64LE(bytes.readBigUInt64LE(at + 12), at + 4);
  } else {
    const place = part === 'offset' ? at + 8 + 8 * dimensions : at + 4 + 8 * below(random, dimensions);
    const old = bytes.readBigUInt64LE(place);
    const next = pick(random, [...HUGE, 0n, 1n, old / 2n, old + 1n, old + 32n, old * 2n]);
    copy.writeBigUInt64LE(next, place);
  }
  return { bytes: copy, what: `${part} of the tensor ${name}` };
}

/** Another type, with as many bytes as it takes: or without, so that the weights end elsewhere. */
function retypeTensor(layout: Layout, random: Random): Mutant {
  const { bytes, data, tensors } = layout;
  const chosen = pick(random, tensors);
  const type = pick(random, Object.keys(BLOCKS).map(Number));
  const typeAt = chosen.end - 12;
  const what = `${chosen.name} is of the type ${type}`;
  if (random() < 0.2) {
    const copy = Buffer.from(bytes);
    copy.writeUInt32LE(type, typeAt);
    return { bytes: copy, what };
  }
  const head = Buffer.from(bytes.subarray(0, layout.headEnd));
  head.writeUInt32LE(type, typeAt);
  const parts: Uint8Array[] = [head, Buffer.alloc(data - layout.headEnd)];
  let offset = 0;
  for (const tensor of tensors) {
    const from = data + Number(bytes.readBigUInt64LE(tensor.end - 8));
    let weights = bytes.subarray(from, from + 4 * tensor.elements);
    if (tensor === chosen) {
      const [block, size] = BLOCKS[type]!;
      weights = Buffer.alloc(Math.ceil(tensor.elements / block) * size, weights);
    }
    head.writeBigUInt64LE(BigInt(offset), tensor.end - 8);
    const padding = Buffer.alloc((32 - (weights.length % 32)) % 32);
    parts.push(weights, padding);
    offset += weights.length + padding.length;
  }
  return { bytes: Buffer.concat(parts), what };
}

function renameTensor({ bytes, tensors }: Layout, random: Random): Mutant {
  const copy = Buffer.from(bytes);
  const { name, start } = pick(random, tensors);
  const other = pick(random, tensors);
  const text = other.name.slice(0, name.length).padEnd(name.length, 'x');
  copy.write(text, start + 8);
  return { bytes: copy, what: `the tensor ${name} is called ${text}` };
}

function removeTensor(layout: Layout, random: Random): Mutant {
  // The last one: the others' places stay right.
  const { name } = layout.tensors.at(-1)!;
  const fewer = { ...layout, tensors: layout.tensors.slice(0, -1 - below(random, 2)) };
  return rebuild(fewer, {}, `no tensors from about ${name} on`);
}

function removeValue(layout: Layout, random: Random): Mutant {
  const { key } = pick(random, layout.values);
  return rebuild(layout, { [key]: [] }, `no ${key}`);
}

function doubleValue(layout: Layout, random: Random): Mutant {
  const { key, start, end } = pick(random, layout.values);
  const twice = layout.bytes.subarray(start, end);
  return rebuild(layout, { [key]: [twice, twice] }, `${key} twice`);
}

function addValue(layout: Layout, random: Random): Mutant {
  const architecture = layout.values
    .map(({ key }) => /^(\w+)\.block_count$/.exec(key)?.[1])
    .find((found) => found)!;
  const key = random() < 0.7 ? `${architecture}.${pick(random, MORE_KEYS)}` : pick(random, MORE_GLOBAL_KEYS);
  const type = pick(random, [4, 4, 4, 5, 6, 6, 7, STRING, ARRAY]);
  const number = pick(random, NUMBERS);
  let value: Buffer;
  if (type === STRING) value = encodeText(pick(random, TEXTS));
  else if (type === ARRAY) {
    const of = pick(random, [4, 5, 6]);
    const length = pick(random, [0, 1, 2, 4, layout.values.length]);
    value = Buffer.alloc(12 + 4 * length);
    value.writeUInt32LE(of, 0);
    value.writeBigUInt64LE(BigInt(length), 4);
    for (let i = 0; i < length; i++) put(value, 12 + 4 * i, of, number);
  } else {
    value = Buffer.alloc(WIDTH[type]!);
    put(value, 0, type, type === 7 ? number % 2 : number);
  }
  const what = `${key} of the type ${type} = ${type === STRING ? 'a text' : number}`;
  const entry = encodeValue(key, type, value);
  if (layout.values.some((existing) => existing.key === key))
    return rebuild(layout, { [key]: [entry] }, what);
  const { key: first, start, end } = layout.values[0]!;
  return rebuild(layout, { [first]: [layout.bytes.subarray(start, end), entry] }, what);
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([length, bytes]);
}

function encodeValue(key: string, type: number, value: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(type);
  return Buffer.concat([encodeText(key), head, value]);
}

/** The file anew, sound but for what replaces the values of some keys. */
function rebuild(layout: Layout, replaced: Record<string, Buffer[]>, what: string): Mutant {
  const { bytes } = layout;
  const values = layout.values.flatMap(
    ({ key, start, end }) => replaced[key] ?? [bytes.subarray(start, end)],
  );
  const tensors = layout.tensors.map(({ start, end }) => bytes.subarray(start, end));
  const header = Buffer.from(bytes.subarray(0, HEADER));
  header.writeBigUInt64LE(BigInt(tensors.length), 8);
  header.writeBigUInt64LE(BigInt(values.length), 16);
  const head = Buffer.concat([header, ...values, ...tensors]);
  const padding = Buffer.alloc(Math.ceil(head.length / 32) * 32 - head.length);
  return { bytes: Buffer.concat([head, padding, bytes.subarray(layout.data)]), what };
}
