// Stop rules in TypeScript: what native/draft/stop_rule.cc does while it drafts, for policies and replay.

import { type AcceptanceModel, ORIGIN, type StopRule, type ValueRule } from './controller.js';

/** A drafter's signals at the places of one draft. */
export interface DraftSignals {
  probabilities: ArrayLike<number>;
  margins: ArrayLike<number>;
  entropies: ArrayLike<number>;
  /** Missing where all come from a model and no n-gram was looked at. */
  matches?: ArrayLike<number>;
  origins?: ArrayLike<number>;
}

/** ln(p / (1 - p)) with p kept within 1e-6 of 0 and 1, as AcceptanceModel has it. */
export function logOddsOf(probability: number): number {
  const p = Math.min(Math.max(probability, 1e-6), 1 - 1e-6);
  return Math.log(p / (1 - p));
}

/** Whether a token of this origin costs nothing to draft. */
export function isFreeOrigin(origin: number | undefined): boolean {
  return origin === ORIGIN.ngram || origin === ORIGIN.grammar;
}

/** Of tokens with these origins, those that a draft model was asked for. */
export function modelTokensOf(origins: ArrayLike<number>): number {
  let asked = 0;
  for (let i = 0; i < origins.length; i++) if (!isFreeOrigin(origins[i])) asked++;
  return asked;
}

/** The probability that the target agrees with the token at place `j`, given that it agreed with those before. */
export function acceptanceOf(model: AcceptanceModel | undefined, signals: DraftSignals, j: number): number {
  const probability = signals.probabilities[j]!;
  if (model === undefined || signals.origins?.[j] === ORIGIN.grammar) return probability;
  const logOdds = logOddsOf(probability);
  const z =
    (signals.origins?.[j] ?? ORIGIN.model) === ORIGIN.model
      ? model.bias +
        model.logit * logOdds +
        model.margin * signals.margins[j]! +
        model.entropy * signals.entropies[j]! +
        model.place * Math.log(1 + j) +
        (model.match ?? 0) * (signals.matches?.[j] ?? 0)
      : (model.ngramBias ?? 0) + (model.ngramLogit ?? 1) * logOdds;
  return 1 / (1 + Math.exp(-z));
}

/** v(rows) of a value rule, without what a change costs. */
function verifyMs({ verifyMs: curve }: ValueRule, rows: number): number {
  const last = curve.length - 1;
  if (rows - 1 <= last) return curve[rows - 1]!;
  const step = last > 0 ? Math.max(0, curve[last]! - curve[last - 1]!) : 0;
  return curve[last]! + (rows - 1 - last) * step;
}

/**
 * Whether a draft of `k` tokens that all are accepted with probability `survival` should grow; `depth` is its limit, and
 * `asked` whether a model was for one of them. `free` is the acceptance of the next token where an n-gram proposes it.
 */
function isWorthMore(
  rule: ValueRule,
  {
    k,
    survival,
    depth,
    asked,
    free,
  }: { k: number; survival: number; depth: number; asked: boolean; free?: number | undefined },
): boolean {
  const now = verifyMs(rule, k + 1);
  let gain = 0;
  let alive = survival;
  for (let m = 1; k + m <= depth; m++) {
    alive *= m === 1 && free !== undefined ? free : rule.ahead;
    gain += alive;
    const toDraft = free === undefined ? m : m - 1;
    const draftingMs = toDraft * rule.draftMs + (toDraft > 0 && !asked ? (rule.startMs ?? 0) : 0);
    if (gain > rule.tokensPerMs * (draftingMs + verifyMs(rule, k + m + 1) - now)) return true;
  }
  return false;
}

/** What a stop rule makes of a draft. */
export interface DraftOutcome {
  /** Tokens that are in the draft. */
  drafted: number;
  /** Tokens that a model computed, one that the rule refused included. An n-gram's cost nothing. */
  computed: number;
  /** Whether the rule would go on, had the drafter more to propose than it was given. */
  wantsMore: boolean;
}

/** Where the rule ends a draft that the drafter could grow to `signals.probabilities.length` tokens, up to `depth`. */
export function draftedBy(stop: StopRule, signals: DraftSignals, depth: number): DraftOutcome {
  const most = Math.min(depth, signals.probabilities.length);
  let survival = 1;
  let computed = 0;
  for (let k = 0; k < most; k++) {
    const acceptance = acceptanceOf(stop.acceptance, signals, k);
    const isFree = isFreeOrigin(signals.origins?.[k]);
    const free = isFree ? acceptance : undefined;
    const asked = computed > 0;
    if (stop.value !== undefined && !isWorthMore(stop.value, { k, survival, depth, asked, free })) {
      return { drafted: k, computed, wantsMore: false };
    }
    if (!isFree) computed++;
    const refused =
      (stop.minProbability !== undefined && !(signals.probabilities[k]! >= stop.minProbability)) ||
      (stop.maxEntropy !== undefined && signals.entropies[k]! > stop.maxEntropy) ||
      (stop.minAcceptance !== undefined && acceptance < stop.minAcceptance) ||
      (stop.minSurvival !== undefined && survival * acceptance < stop.minSurvival);
    if (refused) return { drafted: stop.keep ? k + 1 : k, computed, wantsMore: false };
    survival *= acceptance;
  }
  const wantsMore =
    most < depth &&
    (stop.value === undefined || isWorthMore(stop.value, { k: most, survival, depth, asked: computed > 0 }));
  return { drafted: most, computed, wantsMore };
}

/** Of `drafted` tokens, how many to verify by a plan with `trim`. `rowsBefore` are the step's before, 0 for none. */
export function trimmedTo(
  { acceptance, value }: StopRule,
  signals: DraftSignals,
  drafted: number,
  rowsBefore: number,
): number {
  if (value === undefined) return drafted;
  let best = 0;
  let bestWorth = Number.NEGATIVE_INFINITY;
  let survival = 1;
  let gain = 0;
  for (let j = 0; j <= drafted; j++) {
    if (j > 0) {
      survival *= acceptanceOf(acceptance, signals, j - 1);
      gain += survival;
    }
    const change = j + 1 === rowsBefore || rowsBefore === 0 ? 0 : (value.rebuildMs ?? 0);
    const worth = gain - value.tokensPerMs * (verifyMs(value, j + 1) + change);
    if (worth > bestWorth) {
      best = j;
      bestWorth = worth;
    }
  }
  return best;
}
