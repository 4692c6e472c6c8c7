// When the plan after one that holds for several steps is asked for, and from when it counts: `Step::is_due` and
// `Step::tell` (native/engine/step.cc) for a request that runs alone. Pure.

export class HeldPlan<P extends { readonly steps: number }> {
  /** Steps that the last plan still holds for. */
  #left = 0;
  /** The plan that was asked for while the last one held for a step more. */
  #early: P | undefined;

  /** Whether the report that comes now asks: the last plan holds for one step more at most. */
  get isDue(): boolean {
    return this.#left <= 1 && this.#early === undefined;
  }

  /** Whether the coming step waits for the answer to that report. */
  get isOver(): boolean {
    return this.#left === 0 && this.#early === undefined;
  }

  /**
   * Goes on to the coming step, with the answer to the report where it asked and there is one. Answers the plan that
   * counts from that step on; undefined where the last one does.
   */
  next(answer: P | undefined): P | undefined {
    const plan = this.#early ?? (this.#left === 0 ? answer : undefined);
    this.#early = plan === undefined ? answer : undefined;
    this.#left = plan === undefined ? Math.max(0, this.#left - 1) : plan.steps - 1;
    return plan;
  }
}
