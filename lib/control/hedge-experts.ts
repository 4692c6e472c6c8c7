// The experts of `hedge`, and what the plan of one would have made of a draft that another's plan asked for.

import { AdaEdlController } from './adaedl-controller.js';
import { AdaptiveSpecController } from './adaptive-spec-controller.js';
import { AutoController } from './auto-controller.js';
import { ConfidenceController } from './confidence-controller.js';
import type { DepthController, DetailedPlan, Plan, StepReport } from './controller.js';
import { DiscoController } from './disco-controller.js';
import { fixedDepth, off } from './fixed-depth.js';
import { GammaTuneController } from './gammatune-controller.js';
import { GoodputController } from './goodput-controller.js';
import { HeuristicController } from './heuristic-controller.js';
import { SpecDecController } from './specdec-controller.js';
import { draftedBy, trimmedTo } from './stop-rule.js';
import { SvipController } from './svip-controller.js';
import { TiersController } from './tiers-controller.js';
import { VllmController } from './vllm-controller.js';

export interface Expert {
  name: string;
  make: () => DepthController;
  /**
   * What it is told of a step: 'own' is what it would have seen, had its own plan been followed, as far as that is
   * known; 'all' is the report as it is, for policies that know by themselves what a report tells.
   */
  sees: 'own' | 'all';
}

export const EXPERTS: readonly Expert[] = [
  // Asked at every step, as all of them are.
  { name: 'auto', make: () => new AutoController({ askingShare: 1 }), sees: 'all' },
  { name: 'goodput', make: () => new GoodputController(), sees: 'all' },
  { name: 'off', make: off, sees: 'own' },
  { name: 'fixed:1', make: () => fixedDepth(1), sees: 'own' },
  { name: 'fixed:2', make: () => fixedDepth(2), sees: 'own' },
  { name: 'fixed:4', make: () => fixedDepth(4), sees: 'own' },
  { name: 'fixed:8', make: () => fixedDepth(8), sees: 'own' },
  { name: 'fixed:12', make: () => fixedDepth(12), sees: 'own' },
  { name: 'fixed:16', make: () => fixedDepth(16), sees: 'own' },
  { name: 'adaptive', make: () => new AdaptiveSpecController(), sees: 'own' },
  { name: 'heuristic', make: () => new HeuristicController(), sees: 'own' },
  { name: 'confidence', make: () => new ConfidenceController(), sees: 'own' },
  { name: 'specdec++', make: () => new SpecDecController(), sees: 'own' },
  { name: 'adaedl', make: () => new AdaEdlController(), sees: 'own' },
  { name: 'svip', make: () => new SvipController(), sees: 'own' },
  { name: 'gammatune', make: () => new GammaTuneController(), sees: 'own' },
  { name: 'tiers', make: () => new TiersController(), sees: 'own' },
  { name: 'vllm', make: () => new VllmController(), sees: 'own' },
  { name: 'disco', make: () => new DiscoController(), sees: 'own' },
];

/** What a plan makes of a draft. */
export interface Counterfactual {
  /** Tokens that it drafts and verifies, and that a model computes for it. */
  drafted: number;
  verified: number;
  computed: number;
  /** Whether its whole draft is in the one that was made; else it would have gone on beyond. */
  isKnown: boolean;
}

/**
 * What `plan` would have made of the draft in `report`. `ended` is whether the drafter itself had no more to give,
 * rather than the plan that was followed; `rowsBefore` are those of the step before under `plan`, 0 for none.
 */
export function counterfactual(
  plan: Plan,
  report: StepReport,
  ended: boolean,
  rowsBefore: number,
): Counterfactual {
  const { depth, stop, trim, verify }: DetailedPlan = typeof plan === 'number' ? { depth: plan } : plan;
  const hasSignals = report.probabilities.length > 0;
  const most = Math.min(depth, report.drafted);
  const { drafted, computed } =
    hasSignals && depth > 0 ? draftedBy(stop ?? {}, report, depth) : { drafted: most, computed: most };
  const isKnown = ended || depth <= report.drafted || drafted < report.drafted;
  let verified = Math.min(drafted, verify ?? drafted);
  if (trim && stop && hasSignals) verified = trimmedTo(stop, report, verified, rowsBefore);
  return { drafted, computed, verified, isKnown };
}

/**
 * The report as it would have been under a plan of `depth`, as far as is known; written into `view`, whose lists are
 * parts of the report's. What steps took stays as it was.
 */
export function viewOf(report: StepReport, depth: number, own: Counterfactual, view: StepReport): StepReport {
  // Where all that was verified is right, nothing is known of what comes after it.
  const isCensored = report.accepted === report.verified && own.verified > report.verified;
  const verified = Math.min(own.verified, report.verified);
  const drafted = isCensored ? verified : own.drafted;
  const accepted = Math.min(report.accepted, verified);
  Object.assign(view, report);
  // A draft that goes on beyond what is known looks like one that a limit cut short.
  view.depth = own.isKnown && !isCensored ? depth : drafted;
  view.drafted = drafted;
  // A wrong token was found: that ends what a deeper verification would have found, too.
  view.verified = isCensored || report.accepted === report.verified ? verified : own.verified;
  view.accepted = accepted;
  view.rows = view.verified + 1;
  view.draftTokens = report.draftTokens.subarray(0, drafted);
  view.tokens = report.tokens.subarray(0, accepted + 1);
  const signals = report.probabilities.length > 0 ? drafted : 0;
  view.probabilities = report.probabilities.subarray(0, signals);
  view.margins = report.margins.subarray(0, signals);
  view.entropies = report.entropies.subarray(0, signals);
  view.origins = report.origins.subarray(0, drafted);
  view.matches = report.matches.subarray(0, drafted);
  return view;
}
