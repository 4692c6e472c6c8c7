// What requests of the same cache leave behind for each other: sessions that the engine makes and gives up by itself.

import type { SessionRequest } from './session.js';

interface Kept {
  id: number;
  cache: string;
  /** Prompt and output of its last request. */
  text: Int32Array;
  isRunning: boolean;
  /** When it was last used. */
  used: number;
}

/** A conversation goes on where so much of what is kept stands in the prompt. */
const GOES_ON = 0.5;
/** Where there is no room for another one, it is still worth giving up the rest for so much of a prompt. */
const WORTH_TAKING = 0.1;

/** Keeps as many conversations as an engine has slots, the least recently used going first. */
export class PrefixCache {
  readonly #most: number;
  readonly #newId: () => number;
  readonly #forget: (id: number) => void;
  readonly #kept = new Set<Kept>();
  #uses = 0;

  constructor(most: number, newId: () => number, forget: (id: number) => void) {
    this.#most = most;
    this.#newId = newId;
    this.#forget = forget;
  }

  /** The session for a request of `cache`; undefined where all are in use. */
  request(cache: string, prompt: Int32Array): SessionRequest | undefined {
    const kept = this.#choose(cache, prompt);
    if (!kept) return undefined;
    return {
      id: kept.id,
      saves: false,
      begin: () => {
        kept.isRunning = true;
        kept.used = ++this.#uses;
        return undefined;
      },
      over: (_, { reason, tokens }) => {
        kept.isRunning = false;
        kept.text = reason === 'error' ? new Int32Array() : joined(prompt, tokens);
      },
    };
  }

  #choose(cache: string, prompt: Int32Array): Kept | undefined {
    const free = [...this.#kept].filter(({ isRunning }) => !isRunning);
    let best: Kept | undefined;
    let shared = 0;
    for (const kept of free) {
      const same = kept.cache === cache ? commonPrefix(kept.text, prompt) : 0;
      if (same > shared) [best, shared] = [kept, same];
    }
    if (best && shared >= GOES_ON * best.text.length) return best;
    if (this.#kept.size < this.#most) return this.#add(cache);
    if (best && shared >= WORTH_TAKING * prompt.length) return best;
    const [oldest] = free.sort((a, b) => a.used - b.used);
    if (!oldest) return undefined;
    this.#kept.delete(oldest);
    this.#forget(oldest.id);
    return this.#add(cache);
  }

  #add(cache: string): Kept {
    const kept = { id: this.#newId(), cache, text: new Int32Array(), isRunning: false, used: 0 };
    this.#kept.add(kept);
    return kept;
  }
}

function commonPrefix(a: Int32Array, b: Int32Array): number {
  const most = Math.min(a.length, b.length);
  let same = 0;
  while (same < most && a[same] === b[same]) same++;
  return same;
}

function joined(a: Int32Array, b: Int32Array): Int32Array {
  const both = new Int32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
