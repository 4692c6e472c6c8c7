// The queue before the engine: so many requests run, so many wait in order, and the rest are told to come back.

import { unavailable } from './http-error.js';

interface Waiting {
  start: () => void;
  refuse: (error: unknown) => void;
}

/** Weight of the last request in the mean time that a slot is held. */
const LAST = 0.2;

export class Slots {
  readonly #slots: number;
  readonly #most: number;
  readonly #onChange: (running: number, waiting: number) => void;
  readonly #queue = new Set<Waiting>();
  #running = 0;
  #closed = false;
  #heldMs = 0;
  #onIdle: (() => void) | undefined;

  /** `slots` requests run at once, `queue` may wait. */
  constructor(slots: number, queue: number, onChange: (running: number, waiting: number) => void) {
    this.#slots = slots;
    this.#most = queue;
    this.#onChange = onChange;
  }

  /**
   * Waits for a slot; answers how it is given back, which counts once. Rejects at once where the queue is full, and
   * with the signal's reason where it is aborted meanwhile.
   */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    this.mustHaveRoom();
    if (this.#running >= this.#slots) await this.#wait(signal);
    else this.#running++;
    this.#changed();
    const since = performance.now();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#heldMs += LAST * (performance.now() - since - this.#heldMs);
      this.#release();
    };
  }

  /** Throws the refusal that `take` would reject with once `ahead` others have taken theirs. */
  mustHaveRoom(ahead = 0): void {
    if (this.#closed) throw this.#ending();
    const room = this.#slots - this.#running + this.#most - this.#queue.size;
    if (ahead < room) return;
    const load = `running: ${this.#running}, waiting: ${this.#queue.size + ahead}`;
    throw unavailable('BUSY', `The server is busy (${load}). Try again later.`, this.#secondsToWait());
  }

  /** Refuses who waits, and whoever comes. Resolves when nothing runs. */
  close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#queue) waiting.refuse(this.#ending());
    this.#queue.clear();
    this.#changed();
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** The slot is handed over by `#release`, so that nobody who comes later gets it first. */
  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#queue.delete(waiting);
        this.#changed();
        reject(signal.reason);
      };
      const waiting: Waiting = {
        start: () => {
          signal.removeEventListener('abort', leave);
          resolve();
        },
        refuse: (error) => {
          signal.removeEventListener('abort', leave);
          reject(error);
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#queue.add(waiting);
      this.#changed();
    });
  }

  #release(): void {
    const [next] = this.#queue;
    if (next) {
      this.#queue.delete(next);
      next.start();
      return;
    }
    this.#running--;
    this.#changed();
    if (this.#running === 0) this.#onIdle?.();
  }

  #changed(): void {
    this.#onChange(this.#running, this.#queue.size);
  }

  /** When the first of those who wait will probably have its slot. */
  #secondsToWait(): number {
    return Math.min(60, Math.max(1, Math.ceil(this.#heldMs / this.#slots / 1000)));
  }

  #ending() {
    return unavailable('SHUTTING_DOWN', 'The server is shutting down', 1);
  }
}
