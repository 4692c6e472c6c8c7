// Trims a draft's vocabulary to the tokens that a corpus uses most (FR-Spec, arXiv 2502.14856): from files to a file.
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import * as v from 'valibot';
import { createEngine, type Engine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import type { Progress } from '../options.js';
import { corpusParts } from './corpus.js';
import { type GgufHeader, readGgufHeader } from './gguf-header.js';
import { readGguf } from './gguf-read-raw.js';
import { type GgufFile, writeGguf } from './gguf-write.js';
import { type DraftIds, draftIds, trimVocabulary } from './trim-vocabulary.js';

/** What `trimDraft` is to do. */
export interface TrimDraftOptions {
  /** The draft: a name of the catalogue, a path, `https://…` or `hf:owner/repo/file.gguf`. One file below 2 GiB. */
  draft: string;
  /** The target that it drafts for, given likewise. Default: SmolLM2-135M-Instruct. */
  target?: string;
  /**
   * Texts like those that the target will write, best its own: files, folders of them, .jsonl files whose lines have
   * `text`, or the target's ids as `tokens`.
   */
  corpus: readonly string[];
  /** Tokens to keep, special ones included; less than the draft has. */
  size: number;
  /** Where the new draft is written. */
  out: string;
  /** Use no network. Default false. */
  offline?: boolean;
  onProgress?: (progress: Progress) => void;
}

/** What came of it. */
export interface TrimmedDraft {
  path: string;
  /** Tokens of the new draft, and of the one that it was made from. */
  size: number;
  from: number;
  /** Tokens of the corpus, and the share of them that the new draft, and the earlier one, can propose: 0 to 1. */
  corpusTokens: number;
  coverage: number;
  coverageBefore: number;
}

const text = (expected: string) => v.pipe(v.string(expected), v.minLength(1, expected));
const schema = v.strictObject(
  {
    draft: text('the draft as a string'),
    target: v.optional(text('the target as a string')),
    corpus: v.pipe(v.array(text('a path')), v.minLength(1, 'at least one file or folder')),
    size: v.pipe(v.number('a number of tokens'), v.integer('a whole number'), v.minValue(1, 'at least 1')),
    out: text('the path of a file'),
    offline: v.optional(v.boolean('true or false')),
    onProgress: v.optional(
      v.custom<(progress: Progress) => void>((f) => typeof f === 'function', 'a function'),
    ),
  },
  'the options of trimDraft: draft, target, corpus, size, out, offline, onProgress',
);

// Kinds of tokens in GGUF: everything else is special, spells a byte, or was defined by a user.
const NORMAL = 1;
const UNUSED = 5;
/** Tokens of context that the engine is made for; it only reads text. */
const CONTEXT = 256;
const MOST_BYTES = 2 ** 31 - 1;

/**
 * Writes a draft that has only the tokens which the corpus uses most: the target's special tokens, single bytes and ends
 * of generation, then the most frequent ones, the lowest ids first where counts are equal. The same files give the same
 * draft, byte for byte. Throws INVALID_ARGUMENT, UNSUPPORTED, VOCAB_MISMATCH, and what `createEngine` throws.
 */
export async function trimDraft(options: TrimDraftOptions): Promise<TrimmedDraft> {
  const { draft, target, corpus, size, out, ...how } = checkOptions(options);
  const engine = await createEngine({
    draft,
    ...(target === undefined ? {} : { model: target }),
    contextSize: CONTEXT,
    maxDepth: 1,
    calibrate: 'off',
    ...how,
    onWarning: () => {}, // of a draft that is left out; said below
  });
  let counted: { counts: Float64Array; total: number };
  try {
    checkPlaces(engine, out);
    counted = await count(engine, corpus);
  } finally {
    await engine.close();
  }
  const { model, draft: draftPath = '', vocabularySize } = engine.info;
  const file = await readDraft(draftPath);
  const ids = draftIds(file, vocabularySize);
  const always = specialTokens(readGgufHeader(model, vocabularySize));
  const kept = mostFrequent(counted.counts, ids, always, size);
  await write(out, trimVocabulary(file, ids, kept));
  const share = (known: readonly number[]) =>
    known.reduce((sum, id) => sum + counted.counts[id]!, 0) / counted.total;
  const before = proposable(ids);
  return {
    path: resolve(out),
    size: kept.length,
    from: before.length,
    corpusTokens: counted.total,
    coverage: share(kept),
    coverageBefore: share(before),
  };
}

function checkOptions(options: unknown): v.InferOutput<typeof schema> {
  const result = v.safeParse(schema, options, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const name = v.getDotPath(issue) ?? 'The options';
  if (issue.expected === 'never') throw invalid(`There is no option ${name}`, `Give ${issue.message}.`);
  const what = typeof issue.input === 'number' ? issue.input : `of the type ${typeof issue.input}`;
  throw invalid(`${name} is ${what}`, `Give ${issue.message}.`);
}

/** The draft must be one that this engine could draft with, and nothing may be overwritten that is read. */
function checkPlaces(engine: Engine, out: string): void {
  const { model, draft = '', drafters } = engine.info;
  if (!drafters.includes('model')) {
    throw new AdaptiveSpecError(
      'UNSUPPORTED',
      `${draft} can't draft for ${model}: the state of one of them can't be rolled back`,
      'Give a target and a draft that are no recurrent or hybrid models.',
    );
  }
  const same = (path: string) => {
    try {
      return realpathSync(path) === realpathSync(out);
    } catch {
      return false; // There is no such file yet.
    }
  };
  if (same(model) || same(draft))
    throw invalid(`${out} is read, and would be overwritten`, 'Give another file as out.');
}

/** How often each target id stands in the corpus. */
async function count(
  engine: Engine,
  corpus: readonly string[],
): Promise<{ counts: Float64Array; total: number }> {
  const counts = new Float64Array(engine.info.vocabularySize);
  let total = 0;
  for await (const part of corpusParts(corpus)) {
    const tokens =
      typeof part === 'string' ? engine.tokenize(part, { addSpecial: false, parseSpecial: false }) : part;
    for (const id of tokens) {
      if (!(id >= 0 && id < counts.length))
        throw invalid(
          `The corpus has the token ${id}`,
          `The target's ids go from 0 to ${counts.length - 1}.`,
        );
      counts[id]! += 1;
    }
    total += tokens.length;
  }
  if (total === 0)
    throw invalid('The corpus has no tokens', 'Give texts like those that the target will write.');
  return { counts, total };
}

async function readDraft(path: string): Promise<GgufFile> {
  const header = readGgufHeader(path);
  if (header.metadata.has('split.count') || header.bytes > MOST_BYTES) {
    throw new AdaptiveSpecError(
      'UNSUPPORTED',
      `${path} is in several files, or larger than 2 GiB`,
      'Merge it with llama-gguf-split, or give a smaller draft.',
    );
  }
  return readGguf(path);
}

/** Ids that every draft should have: special tokens, single bytes, and the ends that the metadata names. */
function specialTokens({ metadata }: GgufHeader): number[] {
  const arrayOf = (name: string) => {
    const value = metadata.get(`tokenizer.ggml.${name}`);
    return value?.kind === 'array' ? value.values : [];
  };
  const types = arrayOf('token_type');
  const model = metadata.get('tokenizer.ggml.model');
  const spellsBytes = model?.kind === 'string' && model.value === 'gpt2';
  const tokens = arrayOf('tokens');
  const named = [...metadata].flatMap(([key, value]) =>
    /^tokenizer\.ggml\..*_token_id$/.test(key) && value.kind === 'integer' ? [value.value as number] : [],
  );
  const isSpecial = (id: number) => types[id] !== undefined && types[id] !== NORMAL && types[id] !== UNUSED;
  const all = Array.from(tokens.keys()).filter(
    (id) => isSpecial(id) || (spellsBytes && isByte(String(tokens[id]))),
  );
  return [...new Set([...all, ...named.filter((id) => id >= 0 && id < tokens.length)])];
}

/** Whether a text is one of the 256 characters by which GPT-2's tokenizers spell bytes. */
function isByte(text: string): boolean {
  const code = text.length === 1 ? text.charCodeAt(0) : 0;
  const isPrintable = (code > 0x20 && code < 0x7f) || (code > 0xa0 && code < 0x100 && code !== 0xad);
  return isPrintable || (code >= 0x100 && code < 0x144);
}

/** Target ids that the draft can propose, ascending. */
function proposable({ proposing }: DraftIds): number[] {
  return Array.from(proposing.keys()).filter((id) => proposing[id]! >= 0);
}

/** `size` ids that the draft can propose, ascending: those of `always`, then by count. */
function mostFrequent(counts: Float64Array, ids: DraftIds, always: number[], size: number): number[] {
  const all = proposable(ids);
  if (size >= all.length)
    throw invalid(`size is ${size}, and the draft has ${all.length} tokens`, `Give less than ${all.length}.`);
  const first = new Set(always.filter((id) => ids.proposing[id]! >= 0));
  if (size < first.size)
    throw invalid(
      `size is ${size}, and special tokens and bytes alone are ${first.size}`,
      'Give a larger size.',
    );
  const byCount = all.filter((id) => !first.has(id)).sort((a, b) => counts[b]! - counts[a]! || a - b);
  return [...first, ...byCount.slice(0, size - first.size)].sort((a, b) => a - b);
}

async function write(path: string, file: GgufFile): Promise<void> {
  try {
    await writeGguf(path, file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (cause instanceof AdaptiveSpecError) throw cause;
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `${path} can't be written (${code ?? String(cause)})`,
      'Give a file in a folder that exists and may be written to.',
      { cause },
    );
  }
}

function invalid(message: string, hint: string): AdaptiveSpecError {
  return new AdaptiveSpecError('INVALID_ARGUMENT', message, hint);
}
