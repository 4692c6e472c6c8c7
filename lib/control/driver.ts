// Asks a controller for plans on behalf of one request, and turns whatever it answers into numbers.

import { types } from 'node:util';
import type { AdaptiveSpecError, ErrorCode } from '../errors.js';
import type { KChange } from '../observe/audit-log.js';
import { closestName } from './closest-name.js';
import type { Controller, RequestInfo, StepReport } from './controller.js';
import { depthOf, type NativePlan, nativePlan, PlanFault, readDetails } from './native-plan.js';

/** A plan that a controller was asked for. */
export interface MadePlan {
  controller: string;
  /** The depth that holds from then on. */
  depth: number;
  /** What being asked took it, the audit log's share included. */
  milliseconds: number;
  /** What it got wrong since the plan before: throws, answers that are no plan, depths that were clamped. */
  errors: number;
}

export interface DriverOptions {
  /** Larger depths are clamped to this. */
  maxDepth: number;
  /** Names that a plan may use. With none, every depth becomes 0, which is no fault of the controller. */
  drafters: readonly string[];
  /** Stands in until the controller has given a plan. */
  firstPlan: Readonly<NativePlan>;
  /** Told of the first fault of the controller, once. What it throws is ignored. */
  onWarning: (warning: { code: ErrorCode; message: string }) => void;
  /** Where changes of K go. */
  audit?: { kChanged(change: KChange): void } | undefined;
  /** Told of every plan. */
  onPlan?: ((plan: MadePlan) => void) | undefined;
}

/**
 * One request's link to its controller. Nothing that a controller does gets out of here: a throw or an answer that
 * is no plan leaves the last plan in force, a finite depth out of range is clamped, and each counts as an error.
 */
export class ControllerDriver {
  readonly #controller: Controller;
  readonly #name: string;
  readonly #maxDepth: number;
  readonly #drafters: readonly string[];
  readonly #plan: NativePlan;
  readonly #onWarning: DriverOptions['onWarning'];
  readonly #audit: DriverOptions['audit'];
  readonly #onPlan: DriverOptions['onPlan'];
  #toldErrors = 0;
  #auditedK: number | undefined;
  #failure: AdaptiveSpecError | undefined;
  #warned = false;
  #errors = 0;
  #calls = 0;
  #milliseconds = 0;

  constructor(controller: Controller, options: DriverOptions) {
    this.#controller = controller;
    this.#name = nameOf(controller);
    this.#maxDepth = options.maxDepth;
    this.#drafters = [...options.drafters];
    this.#plan = { ...options.firstPlan };
    this.#onWarning = options.onWarning;
    this.#audit = options.audit;
    this.#onPlan = options.onPlan;
  }

  /** What the controller got wrong so far: throws, answers that are no plan, depths that were clamped. */
  get errors(): number {
    return this.#errors;
  }

  /** Plans asked for so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Mean time of an `answer`, the audit log's share included, in microseconds; 0 before the first. */
  get meanMicroseconds(): number {
    return this.#calls === 0 ? 0 : (this.#milliseconds * 1000) / this.#calls;
  }

  /** The error that ends the request: an audit log opened with onError 'fail' could not be written. */
  get failure(): AdaptiveSpecError | undefined {
    return this.#failure;
  }

  /** Tells the controller of its request, before the first `answer`. */
  begin(info: RequestInfo): void {
    const controller = this.#controller;
    if (typeof controller === 'function') return;
    try {
      const answer: unknown = controller.begin?.(info);
      if (types.isPromise(answer)) this.#fault(`begin() answered ${describe(answer)}`);
    } catch (error) {
      this.#fault(`begin() threw ${describeThrown(error)}`);
    }
  }

  /** The plan for the next step. The object is reused: read it before the next call. */
  answer(report: StepReport): Readonly<NativePlan> {
    const started = performance.now();
    // Read before the controller can lay hands on the report.
    const acceptance = report.drafted > 0 ? report.accepted / report.drafted : 0;
    this.#ask(report);
    if (this.#audit !== undefined && this.#failure === undefined) this.#writeAudit(this.#audit, acceptance);
    this.#calls++;
    const milliseconds = performance.now() - started;
    this.#milliseconds += milliseconds;
    if (this.#onPlan !== undefined) this.#tell(this.#onPlan, milliseconds);
    return this.#plan;
  }

  #tell(onPlan: (plan: MadePlan) => void, milliseconds: number): void {
    const errors = this.#errors - this.#toldErrors;
    this.#toldErrors = this.#errors;
    onPlan({ controller: this.#name, depth: this.#plan.depth, milliseconds, errors });
  }

  /** Tells the controller of a step whose successor has its plan already. */
  observe(report: StepReport): void {
    const controller = this.#controller;
    if (typeof controller === 'function') return;
    try {
      const answer: unknown = controller.observe?.(report);
      if (types.isPromise(answer)) this.#fault(`observe() answered ${describe(answer)}`);
    } catch (error) {
      this.#fault(`observe() threw ${describeThrown(error)}`);
    }
  }

  #ask(report: StepReport): void {
    const controller = this.#controller;
    try {
      const answer: unknown =
        typeof controller === 'function' ? controller(report) : controller.nextPlan(report);
      if (typeof answer === 'number') this.#take(answer, nativePlan(0), undefined);
      else if (isObject(answer)) {
        // Each property is read once: a getter may answer differently the second time.
        const { depth, drafter } = answer;
        this.#take(depth, readDetails(answer, describe), drafter);
      } else this.#fault(`answered ${describe(answer)}`);
    } catch (error) {
      this.#fault(whatOf(error) ?? `threw ${describeThrown(error)}`);
    }
  }

  /** All else is checked by now, so that a bad plan leaves the last one whole. */
  #take(depth: unknown, details: Omit<NativePlan, 'depth' | 'drafter'>, drafter: unknown): void {
    const wanted = depthOf(depth, describe);
    const lastDrafter = this.#plan.drafter;
    const plan = Object.assign(this.#plan, details);
    const clamped = Math.min(Math.max(wanted, 0), this.#maxDepth);
    if (clamped !== depth) this.#fault(`gave ${depth} as depth, which became ${clamped}`);
    plan.depth = this.#drafters.length > 0 ? clamped : 0;
    plan.drafter = this.#drafterIndex(drafter, lastDrafter);
  }

  #drafterIndex(drafter: unknown, last: number): number {
    if (drafter === undefined) return -1;
    const index = typeof drafter === 'string' ? this.#drafters.indexOf(drafter) : -1;
    if (index >= 0) return index;
    const near = typeof drafter === 'string' ? closestName(drafter, this.#drafters) : undefined;
    this.#fault(
      `named ${describe(drafter)} as drafter${near === undefined ? '' : `; did it mean '${near}'?`}`,
    );
    return last;
  }

  /** `explain().k` is what is logged; where a controller doesn't explain itself, its depth is. */
  #writeAudit(audit: NonNullable<DriverOptions['audit']>, stepAcceptance: number): void {
    let k = this.#plan.depth;
    let acceptance = stepAcceptance;
    let reason = `controller ${this.#name}`;
    const controller = this.#controller;
    if (typeof controller !== 'function') {
      try {
        const why: unknown = controller.explain?.();
        if (isObject(why)) {
          k = finiteOr(why.k, k);
          acceptance = finiteOr(why.acceptance, acceptance);
          const itsReason = why.reason;
          if (typeof itsReason === 'string') reason = itsReason;
        } else if (why !== undefined) {
          this.#fault(`explain() answered ${describe(why)}`);
          return;
        }
      } catch (error) {
        this.#fault(`explain() threw ${describeThrown(error)}`);
        return;
      }
    }
    const from = this.#auditedK ?? k;
    this.#auditedK = k;
    if (from === k) return;
    try {
      audit.kChanged({ from, to: k, acceptance, reason });
    } catch (error) {
      // Only a log opened with 'fail' throws; the engine ends the request with it, outside the step.
      this.#failure = error as AdaptiveSpecError;
    }
  }

  #fault(what: string): void {
    this.#errors++;
    if (this.#warned) return;
    this.#warned = true;
    const message =
      `The controller '${this.#name}' ${what}. Where a plan can't be used, the last one is; the text is not ` +
      `affected. A plan is a whole number from 0 to ${this.#maxDepth}, or an object with such a depth.`;
    try {
      this.#onWarning({ code: 'CONTROLLER_INVALID', message });
    } catch {
      // A listener's own trouble must not cost the request its step.
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !types.isPromise(value);
}

function nameOf(controller: Controller): string {
  try {
    const name: unknown = controller.name;
    if (typeof name === 'string' && name !== '') return name.slice(0, 80);
  } catch {
    // A hostile getter: no name then.
  }
  return 'custom';
}

function finiteOr(value: unknown, otherwise: number): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (types.isPromise(value)) muffle(value);
  return otherwise;
}

/** A useless value in words, without running its code; a promise's rejection must not end the process later. */
function describe(value: unknown): string {
  if (types.isPromise(value)) {
    muffle(value);
    return 'a promise, which nothing waits for,';
  }
  if (typeof value === 'string') return `the string ${JSON.stringify(value.slice(0, 40))}`;
  if (typeof value === 'number' || value === null || value === undefined) return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/**
 * Lets a promise's rejection go unheard. Other thenables are left alone: Node never reports them, and calling
 * their `then` would run foreign code.
 */
function muffle(promise: Promise<unknown>): void {
  try {
    Promise.prototype.then.call(promise, undefined, () => {});
  } catch {
    // Its `constructor` is a trap. Such a controller could as well reject a promise that it never returns.
  }
}

/** What a plan has wrong with it; undefined for what a controller threw, whose prototype may be a trap. */
function whatOf(error: unknown): string | undefined {
  try {
    return error instanceof PlanFault ? error.what : undefined;
  } catch {
    return undefined;
  }
}

function describeThrown(error: unknown): string {
  try {
    const message: unknown = error instanceof Error ? error.message : undefined;
    if (typeof message === 'string') return `an error: ${message.slice(0, 200)}`;
  } catch {
    // Even its prototype or its message is a trap.
  }
  return describe(error);
}
