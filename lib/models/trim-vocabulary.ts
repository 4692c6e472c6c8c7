// A draft with fewer tokens: rows of its embedding and output matrices, and maps between its ids and the target's.
import { AdaptiveSpecError } from '../errors.js';
import { rowOf } from './dequantise.js';
import { type GgufFile, type GgufTensor, type GgufValue, str, u32 } from './gguf-write.js';
import { nearestRows } from './nearest-rows.js';

const DRAFT_TO_TARGET = 'adaptive_spec.draft_to_target';
const TARGET_TO_DRAFT = 'adaptive_spec.target_to_draft';
/** Tensors with a row, or an element, for each token. */
const BY_TOKEN = ['token_embd.weight', 'output.weight', 'output.bias', 'per_layer_token_embd.weight'];

/** Which of a draft's rows stand for a target id: -1 where none does. */
export interface DraftIds {
  /** That proposes it. */
  proposing: Int32Array;
  /** That it is read as. */
  reading: Int32Array;
}

/**
 * How a draft's ids stand to the target's `targetSize` ids, by its maps, or id by id where it has none.
 * Throws VOCAB_MISMATCH where a map doesn't fit.
 */
export function draftIds(draft: GgufFile, targetSize: number): DraftIds {
  const rows = rowsOf(draft);
  const forward = draft.metadata.get(DRAFT_TO_TARGET)?.value as readonly number[] | undefined;
  const back = draft.metadata.get(TARGET_TO_DRAFT)?.value as readonly number[] | undefined;
  if (!forward || !back) {
    const same = Int32Array.from({ length: targetSize }, (_, id) => (id < rows ? id : -1));
    return { proposing: same, reading: same };
  }
  if (forward.length !== rows || back.length !== targetSize) {
    throw new AdaptiveSpecError(
      'VOCAB_MISMATCH',
      `The draft maps ${forward.length} tokens of its ${rows}, and ${back.length} of the target's ${targetSize}`,
      'Give the target that the draft was made for.',
    );
  }
  const proposing = new Int32Array(targetSize).fill(-1);
  forward.forEach((target, row) => {
    proposing[target] = row;
  });
  return { proposing, reading: Int32Array.from(back) };
}

/**
 * The draft over the target ids `kept`, which ascend and which it can propose: its rows as they are, whatever their
 * type. Another target id reads as the kept token whose embedding points nearest to its own, and is never proposed.
 * It has no tokenizer. Throws UNSUPPORTED for an embedding whose numbers can't be read.
 */
export function trimVocabulary(draft: GgufFile, ids: DraftIds, kept: readonly number[]): GgufFile {
  const rows = kept.map((id) => ids.proposing[id]!);
  const size = rowsOf(draft);
  const tensors = draft.tensors.map((tensor) =>
    BY_TOKEN.includes(tensor.name) && tensor.shape.at(-1) === size ? gather(tensor, rows) : tensor,
  );
  return { metadata: metadataOf(draft, kept, readingOf(draft, ids, kept, rows)), tensors };
}

/** Tokens of a draft: rows of its embedding. */
function rowsOf(draft: GgufFile): number {
  return embeddingOf(draft).shape[1]!;
}

function embeddingOf({ tensors }: GgufFile): GgufTensor {
  return tensors.find(({ name }) => name === 'token_embd.weight')!;
}

/** For each target id the new draft id that it reads as. */
function readingOf(draft: GgufFile, ids: DraftIds, kept: readonly number[], rows: number[]): Int32Array {
  const embedding = embeddingOf(draft);
  // An id that the draft knows nothing of, such as padding, reads as the first token.
  const reading = new Int32Array(ids.reading.length);
  const keptRows = new Map(rows.map((row, index) => [row, index]));
  const others: number[] = [];
  ids.reading.forEach((row, id) => {
    const index = keptRows.get(row);
    if (index !== undefined) reading[id] = index;
    else if (row >= 0) others.push(id);
  });
  const nearest = nearestRows(
    { count: others.length, row: (index) => rowOf(embedding, ids.reading[others[index]!]!) },
    { count: kept.length, row: (index) => rowOf(embedding, rows[index]!) },
  );
  nearest.forEach((index, at) => {
    reading[others[at]!] = index;
  });
  return reading;
}

function gather(tensor: GgufTensor, rows: readonly number[]): GgufTensor {
  const width = tensor.data.byteLength / tensor.shape.at(-1)!;
  const data = new Uint8Array(width * rows.length);
  rows.forEach((row, at) => {
    data.set(tensor.data.subarray(row * width, (row + 1) * width), at * width);
  });
  return { ...tensor, shape: [...tensor.shape.slice(0, -1), rows.length], data };
}

function metadataOf(draft: GgufFile, kept: readonly number[], reading: Int32Array): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (const [key, value] of draft.metadata)
    if (!key.startsWith('tokenizer.') && key !== DRAFT_TO_TARGET && key !== TARGET_TO_DRAFT)
      metadata.set(key, value);
  metadata.set(`${draft.metadata.get('general.architecture')?.value}.vocab_size`, u32(kept.length));
  metadata.set('tokenizer.ggml.model', str('none'));
  metadata.set(DRAFT_TO_TARGET, { type: 'array', of: 'int32', value: [...kept] });
  metadata.set(TARGET_TO_DRAFT, { type: 'array', of: 'int32', value: [...reading] });
  return metadata;
}
