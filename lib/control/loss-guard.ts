// Never slower than plain decoding: counts what speculation gained and lost, and takes it back by levels, with back-off.

import { type Kind, real, shape, whole } from './settings.js';

/** Plain data that survives JSON. */
export interface LossGuardState {
  level: number;
  balance: number;
  /** Steps until the level is raised again; 0 where it is the highest. */
  wait: number;
  /** How long the next wait is. */
  backOff: number;
}

/** Loss at which a level is given up, in plain steps, and the most gain that is held against later loss. */
const LOSS = 3;
const CREDIT = 8;
/** Steps without the level that was given up: the first time, and at most. Over 1,000 tokens losses stay within 2 %. */
const FIRST_WAIT = 128;
const LONGEST_WAIT = 1024;

/** Levels go from 0, plain decoding, to `highest`, all that can be drafted with, where it begins. */
export class LossGuard {
  readonly #highest: number;
  #state: LossGuardState;

  constructor(highest: number) {
    this.#highest = highest;
    this.#state = { level: highest, balance: 0, wait: 0, backOff: FIRST_WAIT };
  }

  get level(): number {
    return this.#state.level;
  }

  /** Steps until the level is raised again; 0 where it is the highest. */
  get wait(): number {
    return this.#state.wait;
  }

  /** Takes in a step that gained so many plain steps' time (a loss is less than 0). */
  step(gain: number): void {
    const state = this.#state;
    state.balance = Math.min(state.balance + gain, CREDIT);
    // Who has earned as much as may be lost is no longer on trial.
    if (state.level === this.#highest && state.balance >= LOSS) state.backOff = FIRST_WAIT;
    if (state.balance < -LOSS && state.level > 0) {
      state.level--;
      state.balance = 0;
      state.wait = state.backOff;
      state.backOff = Math.min(2 * state.backOff, LONGEST_WAIT);
    } else if (state.wait > 0 && --state.wait === 0) {
      state.level++;
      state.balance = 0;
      if (state.level < this.#highest) state.wait = FIRST_WAIT;
    }
  }

  static readonly kind: Kind = shape<LossGuardState>({
    level: whole(0, 16),
    balance: real(-Number.MAX_VALUE, Number.MAX_VALUE),
    wait: whole(0, Number.MAX_SAFE_INTEGER),
    backOff: whole(0, Number.MAX_SAFE_INTEGER),
  });

  snapshot(): LossGuardState {
    return { ...this.#state };
  }

  /** `state` must be of `kind`. */
  restore(state: LossGuardState): void {
    this.#state = { ...state, level: Math.min(state.level, this.#highest) };
  }
}
