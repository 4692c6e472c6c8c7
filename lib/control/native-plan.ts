// Turns what a controller answered into the plan that native code reads, or says what is wrong with it.

import { types } from 'node:util';
import type { AcceptanceModel, ValueRule } from './controller.js';

/** Most entries of a value rule's cost curve; native/draft/stop_rule.h has the same. */
export const MAX_CURVE = 65;
/** Most steps that a plan may hold for. */
export const MAX_STEPS = 256;

/** A plan as native code reads it: every number is there and in its range. */
export interface NativePlan {
  /** Tokens asked of the drafter, 0 to maxDepth. */
  depth: number;
  /** Index into the request's drafters; -1 where the plan names none and the request's is used. */
  drafter: number;
  /** Steps that it holds for, 1 to MAX_STEPS. */
  steps: number;
  /** Draft tokens verified at most. */
  verify: number;
  trim: boolean;
  /** Draft tokens verified at most with those beside the chain; -1: as the request says. */
  treeNodes: number;
  /** Paths that leave the chain at most. */
  branches: number;
  minProbability: number;
  /** Nats; Infinity never stops. */
  maxEntropy: number;
  minAcceptance: number;
  minSurvival: number;
  keep: boolean;
  acceptance?: Required<AcceptanceModel> | undefined;
  value?: ValueRule | undefined;
}

/** The plan of a depth alone. */
export function nativePlan(depth: number): NativePlan {
  return {
    depth,
    drafter: -1,
    steps: 1,
    verify: Number.MAX_SAFE_INTEGER,
    trim: false,
    treeNodes: -1,
    branches: Number.MAX_SAFE_INTEGER,
    minProbability: 0,
    maxEntropy: Number.POSITIVE_INFINITY,
    minAcceptance: 0,
    minSurvival: 0,
    keep: false,
    acceptance: undefined,
    value: undefined,
  };
}

/** What makes an answer no plan, worded to stand behind "The controller 'x'". */
export class PlanFault {
  constructor(readonly what: string) {}
}

/** Says a useless value in words, without running its code. */
export type Describe = (value: unknown) => string;

/** A finite depth, rounded down; the caller clamps it. Throws PlanFault. */
export function depthOf(depth: unknown, describe: Describe): number {
  if (typeof depth !== 'number' || !Number.isFinite(depth))
    throw new PlanFault(`gave ${describe(depth)} as depth`);
  return Math.floor(depth);
}

/**
 * Reads all of a detailed plan but its depth and drafter. Each property is read once: a getter may answer differently
 * the second time. Throws PlanFault, or what a getter throws.
 */
export function readDetails(
  answer: Record<string, unknown>,
  describe: Describe,
): Omit<NativePlan, 'depth' | 'drafter'> {
  const read = new Reader(describe);
  const { stop, trim, verify, steps, tree } = answer;
  const details = {
    ...nativePlan(0),
    trim: read.flag('trim', trim),
    verify: read.whole('verify', verify, 0, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    steps: read.whole('steps', steps, 1, MAX_STEPS, 1),
  };
  if (tree !== undefined) {
    const { nodes, branches } = read.object('tree', tree);
    details.treeNodes = read.whole('tree.nodes', nodes, 0, Number.MAX_SAFE_INTEGER);
    details.branches = read.whole('tree.branches', branches, 0, Number.MAX_SAFE_INTEGER, details.branches);
  }
  if (stop !== undefined) {
    const rule = read.object('stop rule', stop);
    const { minProbability, maxEntropy, minAcceptance, minSurvival, keep, acceptance, value } = rule;
    details.minProbability = read.number('minProbability', minProbability, 0, 1, 0);
    if (maxEntropy !== undefined)
      details.maxEntropy = read.number('maxEntropy', maxEntropy, 0, Number.POSITIVE_INFINITY);
    details.minAcceptance = read.number('minAcceptance', minAcceptance, 0, 1, 0);
    details.minSurvival = read.number('minSurvival', minSurvival, 0, 1, 0);
    details.keep = read.flag('keep', keep);
    if (acceptance !== undefined) details.acceptance = readModel(read, acceptance);
    if (value !== undefined) details.value = readValue(read, value);
  }
  if (details.trim && details.value === undefined)
    throw new PlanFault('gave trim without stop.value, which it goes by');
  return details;
}

function readModel(read: Reader, value: unknown): Required<AcceptanceModel> {
  const { bias, logit, margin, entropy, place, match, ngramBias, ngramLogit } = read.object(
    'acceptance',
    value,
  );
  const weight = (name: string, w: unknown) => read.number(`acceptance.${name}`, w, -1e6, 1e6);
  return {
    bias: weight('bias', bias),
    logit: weight('logit', logit),
    margin: weight('margin', margin),
    entropy: weight('entropy', entropy),
    place: weight('place', place),
    match: read.number('acceptance.match', match, -1e6, 1e6, 0),
    ngramBias: read.number('acceptance.ngramBias', ngramBias, -1e6, 1e6, 0),
    ngramLogit: read.number('acceptance.ngramLogit', ngramLogit, -1e6, 1e6, 1),
  };
}

function readValue(read: Reader, value: unknown): ValueRule {
  const { tokensPerMs, draftMs, startMs, verifyMs, rebuildMs, ahead } = read.object('value', value);
  const ms = (name: string, t: unknown, otherwise?: number) =>
    read.number(`value.${name}`, t, 0, 1e9, otherwise);
  const curve = read.object('value.verifyMs', verifyMs) as unknown as ArrayLike<unknown>;
  const length = read.whole('value.verifyMs.length', curve.length, 1, MAX_CURVE);
  return {
    tokensPerMs: read.number('value.tokensPerMs', tokensPerMs, Number.MIN_VALUE, 1e9),
    draftMs: ms('draftMs', draftMs),
    verifyMs: Float64Array.from({ length }, (_, i) => ms('verifyMs', curve[i])),
    startMs: ms('startMs', startMs, 0),
    rebuildMs: ms('rebuildMs', rebuildMs, 0),
    ahead: read.number('value.ahead', ahead, 0, 1),
  };
}

class Reader {
  readonly #describe: Describe;

  constructor(describe: Describe) {
    this.#describe = describe;
  }

  object(name: string, value: unknown): Record<string, unknown> {
    if (typeof value === 'object' && value !== null && !types.isPromise(value))
      return value as Record<string, unknown>;
    throw new PlanFault(`gave ${this.#describe(value)} as ${name}`);
  }

  flag(name: string, value: unknown): boolean {
    if (value === undefined || typeof value === 'boolean') return value ?? false;
    throw new PlanFault(`gave ${this.#describe(value)} as ${name}, which is true or false`);
  }

  number(name: string, value: unknown, low: number, high: number, otherwise?: number): number {
    const number = value === undefined && otherwise !== undefined ? otherwise : value;
    if (typeof number === 'number' && number >= low && number <= high) return number;
    throw new PlanFault(`gave ${this.#describe(value)} as ${name}, which goes from ${low} to ${high}`);
  }

  whole(name: string, value: unknown, low: number, high: number, otherwise?: number): number {
    const number = this.number(name, value, low, high, otherwise);
    if (Number.isInteger(number)) return number;
    throw new PlanFault(`gave ${this.#describe(value)} as ${name}, which is a whole number`);
  }
}
