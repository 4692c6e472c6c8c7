// Which request runs in which slot, and how far it is: what llama-server's `/slots` tells.

import type { BegunRequest, ServerState } from './state.js';

/** A slot as `/slots` has it. */
export interface SlotView {
  id: number;
  n_ctx: number;
  speculative: boolean;
  is_processing: boolean;
  /** Of a request that runs: what `x-request-id` says, and the tokens of its prompt. */
  id_task?: string;
  n_prompt_tokens?: number;
  /** Tokens that the request has emitted, and that it may still emit; 0 and -1 where none runs. */
  next_token: [{ has_next_token: boolean; n_decoded: number; n_remain: number }];
}

interface Busy {
  request: BegunRequest;
  emitted: number;
}

export class SlotBoard {
  readonly #slots: (Busy | undefined)[];
  readonly #facts: { contextSize: number; speculative: boolean };
  readonly #off: (() => void)[];

  constructor(state: ServerState, facts: { parallel: number; contextSize: number; speculative: boolean }) {
    this.#slots = Array(facts.parallel).fill(undefined);
    this.#facts = facts;
    this.#off = [
      state.on('begin', (request) => {
        this.#slots[this.#slots.indexOf(undefined)] = { request, emitted: 0 };
      }),
      state.on('step', (id, { tokens }) => {
        const busy = this.#busy(id);
        if (busy) busy.emitted += tokens.length;
      }),
      state.on('end', (id) => {
        this.#slots[this.#slots.indexOf(this.#busy(id))] = undefined;
      }),
    ];
  }

  view(): SlotView[] {
    const { contextSize, speculative } = this.#facts;
    return this.#slots.map((busy, id) => ({
      id,
      n_ctx: contextSize,
      speculative,
      is_processing: busy !== undefined,
      ...(busy ? { id_task: busy.request.id, n_prompt_tokens: busy.request.promptTokens } : {}),
      next_token: [
        {
          has_next_token: busy !== undefined,
          n_decoded: busy?.emitted ?? 0,
          n_remain: busy ? busy.request.maxTokens - busy.emitted : -1,
        },
      ],
    }));
  }

  close(): void {
    for (const off of this.#off) off();
  }

  #busy(id: string): Busy | undefined {
    return this.#slots.find((busy) => busy?.request.id === id);
  }
}
