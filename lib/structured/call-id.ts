// Ids of tool calls that stay apart over a whole conversation, as clients and SDKs want them.

import { randomUUID } from 'node:crypto';

/** Ids of one answer's calls, which stay the same while it is written. */
export class CallIds {
  readonly #ids: string[] = [];

  /** The id of the call at this place, of which the engine says `id`. */
  of(index: number, id: string): string {
    this.#ids[index] ??= callId(id);
    return this.#ids[index]!;
  }
}

/** The model's own id, or a new one where the model gives none: an engine's count begins anew with every answer. */
export function callId(id: string): string {
  return /^call_\d+$/.test(id) ? `call_${randomUUID().replaceAll('-', '')}` : id;
}
