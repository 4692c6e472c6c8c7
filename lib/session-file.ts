// A session as a file: what it holds, whether it is whole, and whether it is of this engine. llama.cpp trusts what it is
// given, so all is checked before it sees any of it.
//
// Layout: a line of text, the header's length (4 bytes, little endian), the header as JSON, token ids (4 bytes each), the
// target's cache, the draft's, and SHA-256 of everything before.

import { createHash, type Hash, randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { endianness } from 'node:os';
import { resolve } from 'node:path';
import * as v from 'valibot';
import type { NativeSessionState } from './binding.js';
import { AdaptiveSpecError } from './errors.js';

/** What a session's file must have in common with the engine that restores it: by it the cached numbers are the same. */
export interface SessionFacts {
  /** Fingerprints of the model files; '' for no draft. */
  model: string;
  draft: string;
  kernels: string;
  flashAttention: string;
  kvCacheType: string;
  /** llama.cpp's tree, whose own form the caches are in, and the byte order. */
  llama: string;
  byteOrder: string;
}

/** The engine's limits for what is restored. */
export interface SessionLimits {
  contextSize: number;
  vocabularySize: number;
}

const MAGIC = 'adaptive-spec session 1\n';
const MOST_HEADER = 65_536;
const DIGEST = 32;
/** Between two of these other code gets its turn. */
const CHUNK = 1 << 20;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const headerSchema = v.strictObject({
  facts: v.record(v.string(), v.string()),
  tokens: count,
  draftTokens: count,
  targetBytes: count,
  draftBytes: count,
});

export function sessionFacts(facts: Omit<SessionFacts, 'byteOrder'>): SessionFacts {
  return { ...facts, byteOrder: endianness() };
}

/** Replaces the file as a whole, or leaves it as it was and throws SESSION_FAILED. Only the user may read it. */
export async function writeSession(
  path: string,
  facts: SessionFacts,
  { tokens, draftTokens, target, draft }: NativeSessionState,
): Promise<void> {
  const header = Buffer.from(
    JSON.stringify({
      facts,
      tokens: tokens.length,
      draftTokens,
      targetBytes: target.length,
      draftBytes: draft.length,
    }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  const partial = `${path}.${randomBytes(6).toString('hex')}.partial`;
  try {
    const file = await open(partial, 'wx', 0o600);
    try {
      const hash = createHash('sha256');
      for (const part of [Buffer.from(MAGIC), length, header, bytesOf(tokens), target, draft]) {
        for (let at = 0; at < part.length; at += CHUNK) {
          const chunk = part.subarray(at, at + CHUNK);
          hash.update(chunk);
          await writeAll(file, chunk);
        }
      }
      await writeAll(file, hash.digest());
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true }).catch(() => {});
    throw failed(path, 'written', cause);
  }
}

/** Throws SESSION_INVALID for a file that is damaged, no session's, or another engine's; SESSION_FAILED. */
export async function readSession(
  path: string,
  facts: SessionFacts,
  limits: SessionLimits,
): Promise<NativeSessionState> {
  let file: FileHandle;
  let size: number;
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new Error('it is no file');
    file = await open(path, 'r');
    size = found.size;
  } catch (cause) {
    throw failed(path, 'read', cause);
  }
  try {
    return await readChecked(new HashedReader(file, path, size), facts, limits);
  } catch (cause) {
    throw cause instanceof AdaptiveSpecError ? cause : failed(path, 'read', cause);
  } finally {
    await file.close();
  }
}

async function readChecked(
  reader: HashedReader,
  facts: SessionFacts,
  { contextSize, vocabularySize }: SessionLimits,
): Promise<NativeSessionState> {
  const { path } = reader;
  if (reader.left < MAGIC.length + 4 + DIGEST) throw invalid(path, 'is too short to be one');
  if ((await reader.take(MAGIC.length)).toString('latin1') !== MAGIC)
    throw invalid(path, 'is another kind of file, or of another version');
  const headerLength = (await reader.take(4)).readUInt32LE();
  if (headerLength > Math.min(MOST_HEADER, reader.left)) throw damaged(path);
  const header = headerOf(await reader.take(headerLength), path);
  const { tokens, draftTokens, targetBytes, draftBytes } = header;
  if (4 * tokens + targetBytes + draftBytes + DIGEST !== reader.left) throw damaged(path);
  for (const [name, value] of Object.entries(facts)) {
    if (header.facts[name] !== value)
      throw invalid(
        path,
        `is of an engine with another ${name} (${describe(header.facts[name])}, here ${value})`,
      );
  }
  if (tokens > contextSize)
    throw invalid(path, `has ${tokens} tokens, which don't fit into a context of ${contextSize}`);
  const ids = await reader.take(4 * tokens);
  const target = await reader.take(targetBytes);
  const draft = await reader.take(draftBytes);
  if (!(await reader.isWhole())) throw damaged(path);
  const state = { tokens: new Int32Array(tokens), draftTokens, target, draft };
  bytesOf(state.tokens).set(ids);
  const known = state.tokens.every((id) => id >= 0 && id < vocabularySize);
  if (!known || draftTokens > tokens || tokens === 0) throw damaged(path);
  return state;
}

function headerOf(bytes: Buffer, path: string): v.InferOutput<typeof headerSchema> {
  try {
    return v.parse(headerSchema, JSON.parse(bytes.toString('utf8')));
  } catch {
    throw damaged(path);
  }
}

/** Reads a file from its beginning, and hashes what it has read. */
class HashedReader {
  readonly #hash: Hash = createHash('sha256');
  #position = 0;

  constructor(
    readonly file: FileHandle,
    readonly path: string,
    readonly size: number,
  ) {}

  get left(): number {
    return this.size - this.#position;
  }

  async take(bytes: number): Promise<Buffer> {
    const buffer = Buffer.alloc(bytes);
    await this.#fill(buffer, (chunk) => this.#hash.update(chunk));
    return buffer;
  }

  /** Whether what is left is the hash of all before. */
  async isWhole(): Promise<boolean> {
    const said = Buffer.alloc(DIGEST);
    await this.#fill(said, () => {});
    return this.#hash.digest().equals(said);
  }

  async #fill(buffer: Buffer, onChunk: (chunk: Buffer) => void): Promise<void> {
    for (let at = 0; at < buffer.length; ) {
      const { bytesRead } = await this.file.read(
        buffer,
        at,
        Math.min(CHUNK, buffer.length - at),
        this.#position,
      );
      if (bytesRead === 0) throw damaged(this.path); // It was cut short meanwhile.
      onChunk(buffer.subarray(at, at + bytesRead));
      at += bytesRead;
      this.#position += bytesRead;
    }
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

function bytesOf(ids: Int32Array): Uint8Array {
  return new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
}

function describe(value: string | undefined): string {
  return value === undefined ? 'none' : value.slice(0, 80);
}

function damaged(path: string): AdaptiveSpecError {
  return invalid(path, 'is damaged');
}

function invalid(path: string, why: string): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'SESSION_INVALID',
    `The session ${path} ${why}`,
    'Begin a new session; what it has read is computed again. Save sessions with the models and settings that restore them.',
  );
}

function failed(path: string, what: string, cause: unknown): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'SESSION_FAILED',
    `The session ${resolve(path)} can't be ${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
    'Check the path, the disk and its space.',
    { cause },
  );
}
