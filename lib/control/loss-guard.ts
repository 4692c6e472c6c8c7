// Never slower than plain decoding: counts what one way to draft has gained and lost, and takes it back with back-off.

import { type Kind, real, shape, whole } from './settings.js';

/** Plain data that survives JSON. */
export interface LossGuardState {
  balance: number;
  /** Steps until it is tried again; 0 where it is in use. */
  wait: number;
  /** How long the next wait is. */
  backOff: number;
}

/** Loss at which it is given up, in plain steps, and the most gain that is held against later loss. */
const LOSS = 3;
const CREDIT = 8;
/** Steps without it: the first time, and at most. Over 1,000 tokens losses stay within 2 %. */
const FIRST_WAIT = 128;
const LONGEST_WAIT = 1024;

export class LossGuard {
  #state: LossGuardState = { balance: 0, wait: 0, backOff: FIRST_WAIT };

  get isOpen(): boolean {
    return this.#state.wait === 0;
  }

  /** Steps until it is tried again; 0 where it is in use. */
  get wait(): number {
    return this.#state.wait;
  }

  /** What it has gained on the whole, as far as that is held against later loss. */
  get credit(): number {
    return Math.max(0, this.#state.balance);
  }

  /**
   * Takes in a step that gained so many plain steps' time (a loss is less than 0). `backing` is what would be lost with
   * it: as long as that makes good what it loses, it stays.
   */
  step(gain: number, backing = 0): void {
    const state = this.#state;
    if (state.wait > 0) {
      state.wait--;
      return;
    }
    state.balance = Math.min(state.balance + gain, CREDIT);
    // Who has earned as much as may be lost is no longer on trial.
    if (state.balance >= LOSS) state.backOff = FIRST_WAIT;
    if (state.balance + backing >= -LOSS) return;
    state.balance = 0;
    state.wait = state.backOff;
    state.backOff = Math.min(2 * state.backOff, LONGEST_WAIT);
  }

  static readonly kind: Kind = shape<LossGuardState>({
    balance: real(-Number.MAX_VALUE, Number.MAX_VALUE),
    wait: whole(0, Number.MAX_SAFE_INTEGER),
    backOff: whole(0, Number.MAX_SAFE_INTEGER),
  });

  snapshot(): LossGuardState {
    return { ...this.#state };
  }

  /** `state` must be of `kind`. */
  restore(state: LossGuardState): void {
    this.#state = { ...state };
  }
}
