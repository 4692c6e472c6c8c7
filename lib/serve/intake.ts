// The server's door: requests that generate are let in one at a turn of the event loop, and judged by their heads before.

/**
 * Many requests often come at once. Each that is let in costs the thread that answers everybody some tenths of a
 * millisecond (its body, its fields), the first of them a generation's start. Between two of them the event loop reads
 * what has come meanwhile, so that whoever finds no place is told so before the work that those ahead bring.
 */
export class Intake {
  readonly #mustHaveRoom: (ahead: number) => void;
  readonly #admitted: (() => void)[] = [];

  /** `mustHaveRoom` throws the refusal of a request before which `ahead` others were admitted and have not begun. */
  constructor(mustHaveRoom: (ahead: number) => void) {
    this.#mustHaveRoom = mustHaveRoom;
  }

  /** Calls `begin` when the request's turn has come. Throws its refusal at once. */
  admit(begin: () => void): void {
    this.#mustHaveRoom(this.#admitted.length);
    this.#admitted.push(begin);
    if (this.#admitted.length === 1) setImmediate(this.#next);
  }

  /** A request whose body is there takes its place before the next turn; one whose body is late holds none meanwhile. */
  readonly #next = (): void => {
    const begin = this.#admitted.shift()!;
    if (this.#admitted.length > 0) setImmediate(this.#next);
    begin();
  };
}
