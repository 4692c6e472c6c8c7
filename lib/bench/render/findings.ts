// What a report says in words: headings with the result's own numbers, and what each figure shows.

import { CostModel } from '../../control/costs.js';
import { change, isNumber, percent } from '../../percent.js';
import type { BenchFindings, BenchResult, Comparison, PartFindings, Verdict } from '../bench-result.js';
import { bestFixed, figuresOf, mainArm, roleOf } from './arms.js';
import { changeInterval, number } from './format.js';

/** The report's first sentence. */
export function headline(findings: BenchFindings): string {
  const arm = mainArm(findings);
  if (arm === undefined) return 'No arm was measured';
  const verdict = findings.verdict.find((one) => one.arm === arm);
  if (!verdict) {
    const speed = figuresOf(findings, arm)?.tokensPerSecond.value;
    return `${arm} is the fastest arm: ${number(speed)} tokens per second`;
  }
  const { value } = verdict.gain;
  const by = percent(Math.abs(value), 1);
  const than = `${by} ${value < 0 ? 'slower' : 'faster'} than ${verdict.bestFixed}, the best fixed depth`;
  return `${arm} decodes ${than}: throughput ${verdict.throughput}, spread ${verdict.spread}`;
}

/** A verdict's two criteria, each as a name, its answer and the figures behind it. */
export function criteria(
  verdict: Verdict,
): { name: string; answer: Verdict['throughput']; figures: string }[] {
  const { gain, bestFixed, spreadOfArm, spreadOfBestFixed } = verdict;
  return [
    {
      name: 'Throughput',
      answer: verdict.throughput,
      figures: `${changeInterval(gain)} over ${bestFixed}; asked for: +10 %`,
    },
    {
      name: 'Spread over kinds',
      answer: verdict.spread,
      figures: `${percent(spreadOfArm, 1)} of the mean; ${bestFixed}: ${percent(spreadOfBestFixed, 1)}; asked for: less, and no slower`,
    },
  ];
}

/** What speaks against believing the figures; empty where nothing does. */
export function warnings(result: BenchResult): { title: string; lines: string[] }[] {
  const found: { title: string; lines: string[] }[] = [];
  const { fitness, equality, partial } = result;
  if (!fitness.fit) {
    const lines = fitness.reasons.length > 0 ? fitness.reasons : ['No reason was recorded.'];
    found.push({ title: 'This run is unfit: do not quote its figures', lines });
  }
  if (!equality.equal) {
    const lines = equality.differing
      .slice(0, 20)
      .map(
        ({ promptId, arm, at, temperature }) =>
          `${promptId}, ${arm}${temperature === undefined ? '' : `, temperature ${temperature}`}: from token ${at} on`,
      );
    if (equality.differing.length > 20) lines.push(`and ${equality.differing.length - 20} more`);
    found.push({ title: "Some arms gave other tokens than plain decoding's", lines });
  }
  if (partial) {
    const { reason, groupsMeasured, groupsPlanned } = partial;
    const why = reason === 'interrupted' ? 'It was interrupted' : 'Its time was up';
    const line = `${why} after ${groupsMeasured} of ${groupsPlanned} groups of runs.`;
    found.push({ title: 'This run is not complete', lines: [line] });
  }
  return found;
}

/** Fitness and equality where all is well. */
export function assurances({ fitness, equality }: BenchResult): string[] {
  const lines: string[] = [];
  if (equality.equal) {
    lines.push(
      equality.compared > 0
        ? `Every arm gave plain decoding's tokens (${equality.compared} runs compared).`
        : 'No tokens were compared between arms.',
    );
  }
  if (fitness.fit) {
    const load = isNumber(fitness.loadOfOthers)
      ? `others kept ${number(fitness.loadOfOthers, 2)} cores busy, `
      : '';
    lines.push(
      `The machine was quiet enough: ${load}repeated runs of plain decoding differ by ${percent(fitness.spread, 1)}.`,
    );
  }
  return lines;
}

/** Headings of a report's sections, each the section's finding. */
export interface Headings {
  speed: string;
  ratios: string;
  regret: string;
  acceptance: string;
  positions: string;
  depth: string;
  timelines: string;
  costs: string;
  phases: string;
  gaps: string;
  all: string;
}

export function headings(result: BenchResult, findings: BenchFindings = result): Headings {
  const arm = mainArm(findings) ?? '';
  const figures = figuresOf(findings, arm);
  return {
    speed: speedHeading(findings, arm),
    ratios: ratiosHeading(findings, arm),
    regret: regretHeading(findings, arm),
    acceptance: !figures?.acceptanceRate
      ? 'Acceptance'
      : `Of the tokens that ${arm} verifies, ${percent(figures.acceptanceRate)} are accepted; a step emits ${number(figures.meanAcceptanceLength, 2)} tokens`,
    positions: positionsHeading(findings, arm),
    depth: !figures ? 'Depth K' : `${arm} plans K = ${number(figures.meanDepth)} on average`,
    timelines: timelinesHeading(result, arm),
    costs: costsHeading(result),
    phases: !figures
      ? 'Time by phase'
      : `${arm} spends ${percent(figures.phases.verify)} of its time on verification and ${percent(figures.phases.draft)} on drafting`,
    gaps: !figures
      ? 'Waiting for tokens'
      : `99 of 100 tokens of ${arm} come within ${number(figures.tokenGapMs.p99)} ms of the one before`,
    all: allHeading(findings.all, arm),
  };
}

/** What each section's figures are, in a sentence, and how to read their plot. */
export const EXPLANATIONS: Record<keyof Headings, { what: string; plot: string }> = {
  speed: {
    what: 'Tokens emitted per second of decoding, before the first loop of each output, with 95 % intervals, bootstrapped over prompts.',
    plot: 'Dots are means, lines their intervals; further right is faster.',
  },
  ratios: {
    what: 'Tokens per second over those of the best fixed depth, the same prompts paired; 1 is as fast. “all” is the geometric mean over kinds.',
    plot: 'The dashed line is +10 %.',
  },
  regret: {
    what: 'Time spent beyond what the best depth of each prompt, known in hindsight, would have taken; 0 % can be beaten only by changing K within a text.',
    plot: 'Further left is faster.',
  },
  acceptance: {
    what: 'The acceptance rate is accepted over verified tokens; a step emits those accepted and one of the target itself.',
    plot: 'First the rate run by run: the thin line reaches from the lowest to the highest run, the thick one holds the middle half, the dot is the median. Then how often a step emitted so many tokens; the dashed line is the mean.',
  },
  positions: {
    what: 'Of the tokens verified at each place of a draft, the share that was accepted. It may rise for an arm that drafts deep only where it is sure.',
    plot: 'The faint lines are the other arms.',
  },
  depth: {
    what: 'Mean of the planned K over the position in the output.',
    plot: 'Each dot stands for 16 tokens.',
  },
  timelines: {
    what: 'Single generations, step by step, coloured by the kind of text that was recognised there.',
    plot: 'One bar per step, as wide as the tokens that it emitted: solid is accepted, pale is rejected, outlined is drafted and not verified; the line is the planned K.',
  },
  costs: {
    what: 'Milliseconds v(n) that the target takes for n rows at once: a step that verifies n − 1 draft tokens.',
    plot: 'The dotted line is n rows one by one.',
  },
  phases: { what: 'Decode time by phase.', plot: 'Milliseconds per emitted token, and shares of the time.' },
  all: {
    what: 'The same figures of every token, those of loops included, which any drafter guesses; the best fixed depth is the best of all tokens. The verdict does not go by them.',
    plot: '',
  },
  gaps: {
    what: 'Milliseconds from the request to the first token, and between two tokens as a reader of the stream gets them; tokens of one step come together.',
    plot: '',
  },
};

function speedHeading(findings: BenchFindings, arm: string): string {
  const fixed = bestFixed(findings);
  const chosen = [...new Set([arm, fixed, 'plain'])].filter((name) => name !== undefined);
  const parts = chosen.flatMap((name) => {
    const speed = figuresOf(findings, name)?.tokensPerSecond.value;
    return speed === undefined ? [] : [`${name} ${number(speed)}`];
  });
  return parts.length > 0 ? `Tokens per second: ${parts.join(', ')}` : 'Speed';
}

function allHeading(all: PartFindings, arm: string): string {
  const speed = figuresOf(all, arm)?.tokensPerSecond.value;
  if (speed === undefined) return 'All tokens, loops included';
  const compared = againstBestFixed(all, arm).find(({ kind }) => kind === 'all');
  const over = compared ? `, ${change(compared.ratio.value - 1)} over ${compared.referenceArm}` : '';
  return `With loops included ${arm} decodes ${number(speed)} tokens per second${over}`;
}

/** Comparisons with the best fixed depth: of one arm, or of all. */
export function againstBestFixed({ comparisons }: PartFindings, arm?: string): Comparison[] {
  return comparisons.filter((one) => one.against === 'best fixed' && (arm === undefined || one.arm === arm));
}

function ratiosHeading(findings: BenchFindings, arm: string): string {
  const byKind = againstBestFixed(findings, arm).filter(({ kind }) => kind !== 'all');
  if (byKind.length === 0) return 'Against the best fixed depth';
  const faster = byKind.filter(({ ratio }) => ratio.value > 1).length;
  const worst = byKind.reduce((least, one) => (one.ratio.value < least.ratio.value ? one : least));
  const { referenceArm, kind, ratio } = worst;
  return `${arm} is faster than ${referenceArm} on ${faster} of ${byKind.length} kinds; least on ${kind}: ${change(ratio.value - 1)}`;
}

function regretHeading({ regret }: BenchFindings, arm: string): string {
  const own = regret.find((one) => one.arm === arm && one.kind === 'all');
  if (!own || !isNumber(own.value)) return 'Time regret';
  if (percent(Math.abs(own.value), 1) === percent(0, 1))
    return `${arm} takes as long as the best depth of each prompt`;
  const more = own.value < 0 ? 'less' : 'more';
  return `${arm} takes ${percent(Math.abs(own.value), 1)} ${more} time than the best depth of each prompt would`;
}

function positionsHeading(findings: BenchFindings, arm: string): string {
  const shares = figuresOf(findings, arm)?.acceptanceByPosition ?? [];
  if (shares.length === 0) return 'Acceptance by place in the draft';
  const last = Math.min(8, shares.length);
  const first = `At the first place of a draft ${percent(shares[0])} of ${arm}'s tokens are accepted`;
  return last === 1 ? first : `${first}; at place ${last}: ${percent(shares[last - 1])}`;
}

/** The text in which the depth moves most, by the arm in question where it is there. */
function timelinesHeading({ timelines }: BenchResult, arm: string): string {
  const own = timelines.filter((timeline) => timeline.arm === arm);
  const ranges = (own.length > 0 ? own : timelines)
    .filter(({ steps }) => steps.length > 0)
    .map((timeline) => {
      const depths = timeline.steps.map(({ depth }) => depth);
      return { ...timeline, low: Math.min(...depths), high: Math.max(...depths) };
    })
    .sort((a, b) => b.high - b.low - (a.high - a.low));
  const widest = ranges[0];
  if (!widest) return 'K over the text';
  return widest.low === widest.high
    ? `On ${widest.promptId} ${widest.arm} keeps K at ${widest.low}`
    : `On ${widest.promptId} ${widest.arm} moves K between ${widest.low} and ${widest.high}`;
}

function costsHeading({ costs }: BenchResult): string {
  if (!costs || costs.target.length === 0) return 'What a step costs';
  const model = new CostModel(costs);
  const context = Math.min(...costs.target.map(({ contextLength }) => contextLength));
  const widest = Math.max(...costs.target.map(({ rows }) => rows));
  const rows = Math.min(9, widest);
  const one = model.verifyMs(1, context);
  const ratio = number(model.verifyMs(rows, context) / one, 2);
  const draft =
    costs.draft.msPerToken > 0 ? `; a draft token ${number(costs.draft.msPerToken / one, 2)}` : '';
  return `${rows} rows cost ${ratio} times what one row costs${draft}`;
}

/** True where an arm ever had something verified. */
export function drafts(findings: BenchFindings, arm: string): boolean {
  return roleOf(arm) !== 'plain' && (figuresOf(findings, arm)?.acceptanceByPosition.length ?? 0) > 0;
}
