// Downloads over https: resumed where they broke off, and checked before they get their name.

import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { AdaptiveSpecError } from '../errors.js';

export interface FetchOptions {
  /** Hex; without it, the hash that the server gives, if it gives one. */
  sha256?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/** Bytes so far, and in all where the server says. */
export interface DownloadProgress {
  name: string;
  received: number;
  total?: number;
}

/** A server that sends nothing for so long is given up, in milliseconds. */
const STALL_MS = 60_000;
const MAX_REDIRECTS = 10;

/**
 * Gets `url` into the file `destination`, by way of `destination`.part, which a later call resumes.
 * Throws DOWNLOAD_FAILED, or the signal's reason.
 */
export async function fetchFile(
  url: URL,
  destination: string,
  name: string,
  { sha256, signal, onProgress }: FetchOptions = {},
): Promise<void> {
  const part = `${destination}.part`;
  const tag = `${part}.etag`;
  const have = existsSync(part) && existsSync(tag) ? statSync(part).size : 0;
  const headers: Record<string, string> = {
    // Lengths and ranges count the bytes that are sent, so these must be the file's own.
    'Accept-Encoding': 'identity',
    ...(have > 0 ? { Range: `bytes=${have}-`, 'If-Range': readFileSync(tag, 'utf8') } : {}),
  };

  const stall = new AbortController();
  const both = signal ? AbortSignal.any([signal, stall.signal]) : stall.signal;
  let timer = setTimeout(() => stall.abort(), STALL_MS);
  try {
    const { response, linkedHash } = await follow(url, { headers, signal: both });
    if (response.status === 416) {
      // What we have is no beginning of what is there now.
      rmSync(part, { force: true });
      throw failed(url, 'its server refused to resume it', 'Run it again: it starts anew.');
    }
    if (!response.ok || !response.body) throw failedStatus(url, response.status);
    const resumed = response.status === 206;
    if (resumed && !response.headers.get('content-range')?.startsWith(`bytes ${have}-`)) {
      throw failed(url, 'its server sent another part than was asked for', 'Download it by hand.');
    }
    const etag = response.headers.get('etag');
    // Weak tags don't promise the same bytes.
    if (etag && !etag.startsWith('W/')) writeFileSync(tag, etag);
    else rmSync(tag, { force: true });
    const start = resumed ? have : 0;
    const length = Number(response.headers.get('content-length')) || undefined;
    const total = length === undefined ? undefined : start + length;

    let received = start;
    const tell = () => onProgress?.({ name, received, ...(total === undefined ? {} : { total }) });
    const file = await open(part, resumed ? 'a' : 'w');
    try {
      tell();
      for await (const chunk of response.body) {
        clearTimeout(timer);
        timer = setTimeout(() => stall.abort(), STALL_MS);
        await file.writeFile(chunk); // Unlike write, all of it: a disk that fills up is an error.
        received += chunk.length;
        tell();
      }
    } finally {
      await file.close();
    }
    if (total !== undefined && received !== total)
      throw failed(
        url,
        `it broke off after ${received} of ${total} bytes`,
        'Run it again: it goes on from there.',
      );
    await checkHash(url, part, sha256 ?? linkedHash);
    renameSync(part, destination);
    rmSync(tag, { force: true });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof AdaptiveSpecError) throw error;
    throw explain(url, stall.signal.aborted, error);
  } finally {
    clearTimeout(timer);
  }
}

/** The SHA-256 of a file, in hex. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

async function checkHash(url: URL, path: string, expected: string | undefined): Promise<void> {
  if (expected === undefined) return;
  const found = await sha256Of(path);
  if (found === expected.toLowerCase()) return;
  rmSync(path, { force: true });
  rmSync(`${path}.etag`, { force: true });
  throw failed(
    url,
    `its SHA-256 is ${found} instead of ${expected}`,
    'What was fetched is removed. Run it again, or ask the publisher which hash is right.',
  );
}

/**
 * Follows redirects by hand: each must be as protected as the address that was given, and the file's SHA-256 stands in
 * the first answer of Hugging Face only. Its storage sends an etag that looks like a SHA-256 and is none.
 */
async function follow(
  url: URL,
  init: RequestInit,
): Promise<{ response: Response; linkedHash: string | undefined }> {
  let linkedHash: string | undefined;
  let at = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await fetch(at, { ...init, redirect: 'manual' });
    linkedHash ??= /^"?([0-9a-f]{64})"?$/i.exec(response.headers.get('x-linked-etag') ?? '')?.[1];
    const location = response.headers.get('location');
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null)
      return { response, linkedHash };
    await response.body?.cancel();
    if (!URL.canParse(location, at.href)) break;
    at = new URL(location, at);
    // fetch refuses these with a message that shows them.
    at.username = at.password = '';
    if (isUnprotected(at)) {
      throw failed(
        url,
        `it leads to ${at.origin}, without encryption`,
        'Download it by hand, and give its path.',
      );
    }
  }
  throw failed(url, 'its redirects lead nowhere', 'Check the address, letter by letter.');
}

/** Models run native code on what they hold; only this machine may send one without encryption. */
export function isUnprotected(url: URL): boolean {
  return url.protocol !== 'https:' && !['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
}

function failedStatus(url: URL, status: number): AdaptiveSpecError {
  if (status === 404)
    return failed(url, 'there is no such file (404)', 'Check the address, letter by letter.');
  if (status === 401 || status === 403)
    return failed(url, `its server wants a login (${status})`, 'Download it by hand, and give its path.');
  return failed(url, `its server answered ${status}`, 'Try again later.');
}

function explain(url: URL, stalled: boolean, error: unknown): AdaptiveSpecError {
  if (stalled)
    return failed(url, `nothing came for ${STALL_MS / 1000} seconds`, 'Run it again: it goes on from there.');
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC')
    return failed(
      url,
      'the disk is full',
      'Make room, or let ADAPTIVE_SPEC_CACHE name a folder on another disk.',
      error,
    );
  // The network's errors come wrapped by fetch; files' come bare.
  if (cause === error && (cause as NodeJS.ErrnoException).syscall !== undefined)
    return failed(
      url,
      `its file can't be written (${code})`,
      'Let ADAPTIVE_SPEC_CACHE name a folder that can be.',
      error,
    );
  const why = code ?? (cause instanceof Error ? cause.message : String(cause));
  return failed(
    url,
    `the connection failed (${why})`,
    'Check the network and run it again: it goes on from there.',
    error,
  );
}

function failed(url: URL, why: string, hint: string, cause?: unknown): AdaptiveSpecError {
  // The address may hold a token.
  const shown = `${url.origin}${url.pathname}`;
  return new AdaptiveSpecError(
    'DOWNLOAD_FAILED',
    `Could not download ${shown}: ${why}`,
    hint,
    cause === undefined ? undefined : { cause },
  );
}
