// A made-up benchmark result for tests of its report: simulated from a seed, never measured.

import {
  type ArmFigures,
  type BenchResult,
  type BenchRun,
  type Interval,
  KINDS,
  type PartFindings,
  type RunFigures,
} from '../../lib/bench/bench-result.js';
import { CostModel, type CostTable } from '../../lib/control/costs.js';

/** Text that would run as markup, a formula or a control sequence where it isn't escaped. */
export const HOSTILE = `</script><img src="https://example.invalid/x.png" onerror="alert('x')"> & <b>|*_\`\u0000\u001b[31m`;

const ACCEPTANCE: Record<string, number> = {
  code: 0.86,
  prose: 0.55,
  math: 0.74,
  json: 0.8,
  list: 0.66,
  edit: 0.93,
  switch: 0.7,
};
const ARMS = ['plain', 'fixed:2', 'fixed:4', 'fixed:8', 'fixed:16', 'adaptive', 'auto'];
const FURTHER_ARMS = [
  'hedge',
  'goodput',
  'heuristic-schedule',
  'specdec++',
  'adaedl',
  'svip',
  'gammatune',
  'a-controller-of-somebody-with-a-long-name.mjs',
  '<b>bold & "quoted"</b>',
];
const PROMPTS_PER_KIND = 4;
const BLOCKS = 2;
const MAX_TOKENS = 160;

const COSTS: CostTable = {
  target: [512, 2048].flatMap((contextLength) =>
    [1, 2, 3, 5, 7, 9, 13, 17, 25, 33].map((rows) => ({
      rows,
      contextLength,
      // A staircase: eight rows share a pass over the weights.
      ms: (5 + 1.1 * Math.ceil(rows / 8) + 0.12 * rows) * (1 + contextLength / 12_000),
    })),
  ),
  draft: { msPerToken: 0.62, threads: 2 },
  overheadMs: 0.18,
  rebuildMs: 0.3,
  callbackMs: 0.05,
};

interface Step {
  position: number;
  depth: number;
  drafted: number;
  verified: number;
  accepted: number;
  kind: string;
  text: string;
  ms: { draft: number; verify: number };
}

export interface SampleOptions {
  fit?: boolean;
  /** Only plain decoding and one fixed depth, nothing optional. */
  bare?: boolean;
  /** As many arms as the field has, long names, long texts. */
  crowded?: boolean;
}

/** A whole result, the same at every call. */
export function madeUpResult({ fit = true, bare = false, crowded = false }: SampleOptions = {}): BenchResult {
  const random = randomFrom(7);
  const arms = bare ? ['plain', 'fixed:8'] : crowded ? [...ARMS, ...FURTHER_ARMS] : ARMS;
  const maxTokens = crowded ? 500 : MAX_TOKENS;
  const runs: BenchRun[] = [];
  const stepsOf = new Map<BenchRun, Step[]>();
  for (const kind of KINDS) {
    for (let i = 1; i <= PROMPTS_PER_KIND; i++) {
      for (let block = 0; block < BLOCKS; block++) {
        for (const arm of arms) {
          const steps = simulate(arm, kind, maxTokens, random);
          const figures = sumOf(steps, random);
          const run: BenchRun = {
            arm,
            promptId: `${kind}-${i}`,
            kind,
            block,
            temperature: 0,
            all: figures,
            beforeLoop: figures,
            timeToFirstTokenMs: 40 + 20 * random(),
            loopAt: i === 2 && kind === 'prose' ? 120 : null,
            tokensHash: '0'.repeat(64),
          };
          runs.push(run);
          stepsOf.set(run, steps);
        }
      }
    }
  }
  const allKinds = ['all', ...KINDS];
  const chosen = (arm: string, kind: string) =>
    runs.filter((run) => run.arm === arm && (kind === 'all' || run.kind === kind));
  const figures = arms.flatMap((arm) =>
    allKinds.map((kind) => figuresOf(arm, kind, chosen(arm, kind), stepsOf)),
  );
  const speed = (arm: string, kind: string) =>
    figures.find((one) => one.arm === arm && one.kind === kind)!.tokensPerSecond.value;
  const bestFixed = arms
    .filter((arm) => arm.startsWith('fixed'))
    .reduce((best, arm) => (speed(arm, 'all') > speed(best, 'all') ? arm : best));
  const ratioTo = (reference: string) => (arm: string, kind: string) => {
    const kinds = kind === 'all' ? KINDS : [kind];
    const logs = kinds.map((one) => Math.log(speed(arm, one) / speed(reference, one)));
    return Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
  };
  const comparisons = (['plain', bestFixed] as const).flatMap((reference) =>
    arms
      .filter((arm) => arm !== reference)
      .flatMap((arm) =>
        allKinds.map((kind) => ({
          arm,
          against: reference === 'plain' ? 'plain' : 'best fixed',
          referenceArm: reference,
          kind,
          ratio: around(ratioTo(reference)(arm, kind), kind === 'all' ? 0.02 : 0.05),
        })),
      ),
  );
  const regret = arms.flatMap((arm) =>
    allKinds.map((kind) => ({
      arm,
      kind,
      value: Math.max(...arms.map((other) => speed(other, kind))) / speed(arm, kind) - 1,
    })),
  );
  const verdict = arms
    .filter((arm) => arm === 'adaptive' || arm === 'auto')
    .map((arm) => {
      const ratio = around(ratioTo(bestFixed)(arm, 'all'), 0.02);
      const gain = { value: ratio.value - 1, low: ratio.low - 1, high: ratio.high - 1 };
      return {
        arm,
        throughput: !fit
          ? ('inconclusive' as const)
          : gain.low >= 0.1
            ? ('met' as const)
            : ('not met' as const),
        spread: fit ? ('met' as const) : ('inconclusive' as const),
        gain,
        bestFixed,
        spreadOfArm: 0.21,
        spreadOfBestFixed: 0.29,
        spreadDifference: { value: -0.08, low: -0.12, high: -0.03 },
        summary: [`Made up for a test: ${arm} against ${bestFixed}.`],
      };
    });
  const timelines = arms
    .filter((arm) => arm === 'auto' || arm === 'adaptive' || (bare && arm !== 'plain'))
    .flatMap((arm) =>
      ['code-1', 'switch-1'].map((promptId) => {
        const run = runs.find((one) => one.arm === arm && one.promptId === promptId)!;
        const steps = stepsOf.get(run)!.map(({ ms: _, ...step }) => step);
        return { arm, promptId, kind: run.kind, steps };
      }),
    );
  if (timelines[0]?.steps[3]) timelines[0].steps[3].text = HOSTILE;
  const result: BenchResult = {
    format: 'adaptive-spec-bench',
    version: 1,
    profile: 'quick',
    command: 'adaptive-spec bench --profile quick --out report',
    createdAt: '2026-11-24T12:00:00.000Z',
    seconds: 431.2,
    environment: {
      cpu: 'A made-up CPU <8 cores>',
      threads: 2,
      features: ['avx2', 'avx512f'],
      node: 'v20.20.2',
      commit: '0'.repeat(40),
      models: [
        { file: 'made-up-target.Q4_0.gguf', sha256: 'a'.repeat(64) },
        { file: 'made-up-draft.Q4_0.gguf', sha256: 'b'.repeat(64) },
      ],
    },
    settings: {
      arms,
      prompts: 'made-up.jsonl',
      promptCount: KINDS.length * PROMPTS_PER_KIND,
      maxTokens,
      blocks: BLOCKS,
      warmUp: 2,
      temperatures: [0],
      seed: 7,
      seeds: [11, 12],
    },
    fitness: fit
      ? { fit: true, reasons: [], loadOfOthers: 0.04, spread: 0.012 }
      : { fit: false, reasons: ['Other processes kept 0.9 cores busy.'], loadOfOthers: 0.9, spread: 0.11 },
    equality: { equal: true, compared: runs.length, differing: [] },
    figures,
    comparisons,
    verdict,
    regret,
    all: withLoops({ figures, comparisons, regret }),
    timelines,
    runs,
  };
  if (!bare) {
    result.costs = COSTS;
    result.further = [{ temperature: 0.7, figures, comparisons, verdict, regret, all: result.all }];
    result.peers = [
      { name: 'llama-server', setting: '--draft-max 8', kind: 'all', tokensPerSecond: 91.2 },
      { name: 'another-engine', setting: 'defaults', kind: 'all', tokensPerSecond: 74.9, note: 'made up' },
    ];
  }
  return result;
}

/** As if a loop made every arm that drafts a fifth faster. */
function withLoops({ figures, comparisons, regret }: PartFindings): PartFindings {
  const faster = (arm: string) => (arm === 'plain' ? 1 : 1.2);
  return {
    figures: figures.map((one) => ({
      ...one,
      tokensPerSecond: around(faster(one.arm) * one.tokensPerSecond.value, 0.05),
      acceptanceRate: Math.min(1, 1.1 * one.acceptanceRate),
      meanAcceptanceLength: 1.1 * one.meanAcceptanceLength,
    })),
    comparisons: comparisons.map((one) => ({ ...one, ratio: around(0.01 + one.ratio.value, 0.03) })),
    regret: regret.map((one) => ({ ...one, value: 0.5 * one.value })),
  };
}

const WORDS = ['const ', 'sum', ' = ', 'a', ' + ', 'b', ';\n', 'the ', 'rain ', 'fell ', '42', ' and '];

function simulate(arm: string, kind: string, maxTokens: number, random: () => number): Step[] {
  const costs = new CostModel(COSTS);
  const steps: Step[] = [];
  let position = 0;
  let smoothed = 0.6;
  while (position < maxTokens) {
    const kindHere = kind === 'switch' ? (position < maxTokens / 2 ? 'prose' : 'code') : kind;
    const acceptance = ACCEPTANCE[kindHere]!;
    const depth = depthOf(arm, smoothed);
    let accepted = 0;
    while (accepted < depth && random() < acceptance * (1 - 0.008 * accepted)) accepted++;
    const verified = arm === 'auto' && depth > 2 ? Math.max(accepted, depth - 1) : depth;
    const emitted = Math.min(accepted + 1, maxTokens - position);
    position += emitted;
    if (depth > 0) smoothed = 0.7 * smoothed + 0.3 * (accepted / depth);
    const text = Array.from({ length: emitted }, () => WORDS[Math.floor(random() * WORDS.length)]!).join('');
    steps.push({
      position,
      depth,
      drafted: depth,
      verified,
      accepted,
      kind: kindHere,
      text,
      ms: { draft: depth * COSTS.draft.msPerToken, verify: costs.verifyMs(verified + 1, 512) },
    });
  }
  return steps;
}

function depthOf(arm: string, smoothed: number): number {
  if (arm === 'plain') return 0;
  if (arm.startsWith('fixed:')) return Number(arm.slice(6));
  if (arm === 'adaptive') return smoothed > 0.6 ? 12 : 6;
  return Math.max(1, Math.min(16, Math.round(8 * smoothed ** 2) + 1));
}

function sumOf(steps: Step[], random: () => number): RunFigures {
  const sum = (value: (step: Step) => number) => steps.reduce((total, step) => total + value(step), 0);
  const noise = 1 + 0.02 * (random() - 0.5);
  const draftMs = sum(({ ms }) => ms.draft) * noise;
  const verifyMs = sum(({ ms }) => ms.verify) * noise;
  const catchUpMs = 0.01 * draftMs;
  const otherMs = steps.length * COSTS.overheadMs;
  return {
    tokens: steps.at(-1)!.position,
    steps: steps.length,
    drafted: sum(({ drafted }) => drafted),
    verified: sum(({ verified }) => verified),
    accepted: sum(({ accepted }) => accepted),
    decodeMs: draftMs + verifyMs + catchUpMs + otherMs,
    draftMs,
    verifyMs,
    catchUpMs,
    otherMs,
  };
}

function figuresOf(arm: string, kind: string, runs: BenchRun[], stepsOf: Map<BenchRun, Step[]>): ArmFigures {
  const steps = runs.flatMap((run) => stepsOf.get(run)!);
  const sum = (name: keyof RunFigures) => runs.reduce((total, run) => total + run.beforeLoop[name], 0);
  const deepest = Math.max(...steps.map(({ verified }) => verified));
  const at = (place: number, tried: (step: Step) => number) =>
    steps.filter((step) => tried(step) > place).length;
  const lengths = new Array<number>(Math.max(...steps.map(({ accepted }) => accepted + 1))).fill(0);
  for (const { accepted } of steps) lengths[accepted]! += 1 / steps.length;
  const decodeMs = sum('decodeMs');
  const acceptanceRate = sum('verified') > 0 ? sum('accepted') / sum('verified') : 0;
  return {
    arm,
    kind,
    runs: runs.length,
    tokensPerSecond: around((1000 * sum('tokens')) / decodeMs, kind === 'all' ? 0.03 : 0.07),
    tokensPerSecondAll: around((1010 * sum('tokens')) / decodeMs, 0.03),
    acceptanceRate,
    acceptanceRateQuartiles: {
      min: acceptanceRate * 0.7,
      p25: acceptanceRate * 0.9,
      p50: acceptanceRate,
      p75: acceptanceRate * 1.04,
      max: Math.min(1, acceptanceRate * 1.1),
    },
    meanAcceptanceLength: sum('tokens') / steps.length,
    acceptanceByPosition: Array.from({ length: deepest }, (_, place) => {
      const tried = at(place, ({ verified }) => verified);
      return tried > 0 ? at(place, ({ accepted }) => accepted) / tried : 0;
    }),
    acceptedLengthShares: lengths,
    meanDepth: steps.reduce((total, { depth }) => total + depth, 0) / steps.length,
    depthByPosition: Array.from({ length: 10 }, (_, bin) => {
      const here = steps.filter(({ position }) => Math.min(9, position >> 4) === bin);
      return here.reduce((total, { depth }) => total + depth, 0) / Math.max(1, here.length);
    }),
    ...(kind === 'all' ? { spreadOverKinds: 0.24 } : {}),
    timeToFirstTokenMs: { p50: 48, p95: 58 },
    tokenGapMs: { p50: 0, p95: 9.1, p99: 14.6 },
    phases: {
      draft: sum('draftMs') / decodeMs,
      verify: sum('verifyMs') / decodeMs,
      catchUp: sum('catchUpMs') / decodeMs,
      other: sum('otherMs') / decodeMs,
    },
  };
}

function around(value: number, share: number): Interval {
  return { value, low: value * (1 - share), high: value * (1 + share), prompts: PROMPTS_PER_KIND };
}

/** Numbers from a seed, 0 to 1. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}
