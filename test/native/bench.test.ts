// The benchmark on tiny models: the command from end to end, and that an arm with other tokens is caught.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Arm, armOf, completeArms } from '../../lib/bench/arms.js';
import { type BenchPlan, runBench } from '../../lib/bench/bench.js';
import type { BenchResult } from '../../lib/bench/bench-result.js';
import type { BenchEngine } from '../../lib/bench/run.js';
import { type TinyModels, tinyModels } from '../tiny-models.js';
import { distFile } from './dist.js';
import { BEGINNINGS, tinyEngine } from './tiny-engine.js';

const main = distFile('cli/main.js');
const PROMPTS = BEGINNINGS.slice(0, 4).map((prompt, i) => ({
  id: `p${i}`,
  kind: i < 2 ? ('code' as const) : ('prose' as const),
  prompt,
}));
let folder: string;
let models: TinyModels;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-bench-'));
  models = await tinyModels();
  const lines = PROMPTS.map(({ id, kind, prompt }) => JSON.stringify({ id, context: kind, prompt }));
  writeFileSync(join(folder, 'prompts.jsonl'), lines.join('\n'));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function command(
  args: string[],
  onStderr: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Ended> {
  const pair = ['--model', models.target, '--draft', models.draft, '--context-size', '512'];
  const child = spawn(process.execPath, [main, 'bench', ...pair, ...args], { cwd: folder });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk;
    onStderr(stderr, (signal) => child.kill(signal));
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

const short = ['--prompts', 'prompts.jsonl', '--arms', 'fixed:2,fixed:8,adaptive', '--max-tokens', '24'];

describe('the command', () => {
  let ended: Ended;
  let result: BenchResult;

  beforeAll(async () => {
    const args = ['--profile', 'quick', '--blocks', '2', '--json', '--out', 'report'];
    ended = await command([...short, ...args, '--save-baseline', 'new/base.json', '--allow-unfit']);
    result = JSON.parse(ended.stdout);
  });

  it('prints one line of JSON and ends with exit code 0; progress is on stderr', () => {
    expect(ended.code).toBe(0);
    expect(ended.stdout.trimEnd()).not.toContain('\n');
    expect(ended.stderr).toMatch(/^run \d+ of \d+, \d+ s left/m);
    expect(result).toMatchObject({ format: 'adaptive-spec-bench', version: 1, profile: 'custom' });
    expect(result.partial).toBeUndefined();
  });

  it('runs every arm twice on each prompt, in each block and at each temperature', () => {
    const arms = ['plain', 'fixed:2', 'fixed:8', 'adaptive'];
    expect(result.settings).toMatchObject({ arms, promptCount: 4, temperatures: [0, 0.7], warmUp: 4 });
    expect(result.runs).toHaveLength(2 * 2 * 4 * 4 * 2);
    for (const arm of arms) expect(result.runs.filter((run) => run.arm === arm)).toHaveLength(32);
  });

  it('finds the same tokens in all arms, sampled ones too', () => {
    expect(result.equality).toEqual({ equal: true, compared: 128 - 4 - 8, differing: [] });
  });

  it('has sums that fit to each other in every run', () => {
    for (const { arm, all, beforeLoop, timeToFirstTokenMs } of result.runs) {
      expect(all.tokens).toBe(24);
      expect(all.tokens).toBe(all.accepted + all.steps);
      expect(all.decodeMs).toBeCloseTo(all.draftMs + all.verifyMs + all.catchUpMs + all.otherMs, 2);
      expect(beforeLoop.tokens).toBeLessThanOrEqual(24);
      expect(timeToFirstTokenMs).toBeGreaterThan(0);
      if (arm === 'plain') expect(all).toMatchObject({ steps: 24, drafted: 0 });
      else expect(all.verified).toBeGreaterThan(0);
    }
  });

  it('fills every figure of every arm, over all and by kind', () => {
    expect(result.figures).toHaveLength(4 * 3);
    for (const figures of result.figures) {
      expect(figures.tokensPerSecond.value).toBeGreaterThan(0);
      expect(figures.tokenGapMs.p99).toBeGreaterThan(0);
      const { draft, verify, catchUp, other } = figures.phases;
      expect(draft + verify + catchUp + other).toBeCloseTo(1, 9);
      expect(figures.acceptedLengthShares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
      if (figures.arm === 'plain') expect(figures.meanAcceptanceLength).toBe(1);
      else expect(figures.acceptanceRate).toBeGreaterThan(0);
    }
    const fixed = result.figures.find(({ arm, kind }) => arm === 'fixed:2' && kind === 'all')!;
    expect(fixed.acceptanceByPosition).toHaveLength(2);
    expect(fixed.meanDepth).toBe(2);
    expect(fixed.depthByPosition).toEqual([2, 2]);
  });

  it('fills them once more for all tokens, at both temperatures', () => {
    for (const { all, figures, comparisons, regret } of [result, ...result.further!]) {
      const names = (list: { arm: string; kind: string }[]) => list.map(({ arm, kind }) => `${arm} ${kind}`);
      expect(names(all.figures)).toEqual(names(figures));
      expect(names(all.comparisons).length).toBeGreaterThanOrEqual(names(comparisons).length);
      expect(names(all.regret).length).toBeGreaterThanOrEqual(names(regret).length);
      for (const one of all.figures) {
        const before = figures.find(({ arm, kind }) => arm === one.arm && kind === one.kind)!;
        expect(one.tokensPerSecond.value).toBe(before.tokensPerSecondAll.value);
        expect(one.meanAcceptanceLength).toBeGreaterThanOrEqual(1);
        expect(one.depthByPosition).toHaveLength(2);
      }
    }
  });

  it('has comparisons, regret and a verdict at both temperatures', () => {
    expect(result.further).toHaveLength(1);
    for (const { verdict, comparisons, regret } of [result, ...result.further!]) {
      expect(verdict.map(({ arm }) => arm)).toEqual(['adaptive']);
      expect(verdict[0]!.throughput).toMatch(/^(met|not met|inconclusive)$/);
      expect(verdict[0]!.bestFixed).toMatch(/^fixed:[28]$/);
      expect(comparisons.some(({ against }) => against === 'best fixed')).toBe(true);
      for (const { value } of regret) expect(value).toBeGreaterThan(-0.001);
    }
  });

  it('has the machine, the models, costs and timelines in it, and names no folder', () => {
    const { models: files, targetThreads } = result.environment as Record<string, never>;
    expect(files).toEqual([
      { file: 'target.gguf', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      { file: 'draft.gguf', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ]);
    expect(targetThreads).toBeGreaterThan(0);
    expect(JSON.stringify(result.environment)).not.toContain(folder);
    expect(result.costs!.target.map(({ rows }) => rows)).toContain(1);
    expect(result.timelines).toHaveLength(2); // of the one arm that adapts, on two kinds
    expect(result.fitness.loadOfOthers).toBeGreaterThanOrEqual(0);
  });

  it('writes the report, and a baseline that it can be compared with', async () => {
    expect(existsSync(join(folder, 'report'))).toBe(true);
    const baseline = JSON.parse(readFileSync(join(folder, 'new/base.json'), 'utf8'));
    expect(baseline.entries).toHaveLength(4 * 4 * 2);
  });
});

describe('a comparison', () => {
  const few = [...short, '--temperature', '0', '--blocks', '1', '--allow-unfit'];

  it('has an exit code for a regression, and one for what can not be compared', async () => {
    const saved = await command([...few, '--save-baseline', 'base.json']);
    expect(saved.code).toBe(0);
    const baseline = JSON.parse(readFileSync(join(folder, 'base.json'), 'utf8'));
    const change = (name: string, factor: number) => {
      const entries = baseline.entries.map((entry: { ms: number }) => ({ ...entry, ms: factor * entry.ms }));
      writeFileSync(join(folder, name), JSON.stringify({ ...baseline, entries }));
    };
    // As if the baseline's machine had been a hundred times slower, or faster.
    change('slower.json', 100);
    change('faster.json', 0.01);
    const better = await command([...few, '--compare', 'slower.json']);
    expect(better.stderr).toMatch(/\nno regression\n$/);
    expect(better.code).toBe(0);
    const worse = await command([...few, '--compare', 'faster.json']);
    expect(worse.stderr).toMatch(/REGRESSION/);
    expect(worse.code).toBe(4);
    const other = await command([...few, '--max-tokens', '25', '--compare', 'slower.json']);
    expect(other.stderr).toMatch(/incomparable: maxTokens was 24 and is 25/);
    expect(other.code).toBe(5);
  });
});

describe('wrong usage', () => {
  it.each([
    [['--profile', 'huge'], /no profile "huge"/],
    [['--arms', 'adaptiv'], /no controller named "adaptiv"/],
    [['--arms', 'fixed:8,fixed:8'], /twice/],
    [['--kinds', 'verse'], /no prompts of the kind "verse"/],
    [['--prompts', 'none.jsonl'], /none\.jsonl can't be read/],
    [['--temperature', '-1'], /temperature is -1/],
    [['--blocks', '0'], /--blocks is 0/],
    [['--compare', 'none.json'], /none\.json can't be read/],
    [['--out', 'prompts.jsonl'], /--out is prompts\.jsonl, which can't be written to/],
    [['--save-baseline', 'prompts.jsonl/base.json'], /--save-baseline is .* can't be written to/],
    [['--time-limit', 'soon'], /--time-limit is "soon"/],
    [['--arms', 'plain,,adaptive'], /--arms is "plain,,adaptive"/],
  ])('%o is exit code 2, before anything is loaded', async (args, message) => {
    const { code, stdout, stderr } = await command(args);
    expect(stderr).toMatch(/^INVALID_ARGUMENT: /);
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

describe("a caller's controller", () => {
  it('is an arm of its own, named after its file', async () => {
    writeFileSync(join(folder, 'mine.mjs'), 'export default (report) => (report.step % 2 ? 3 : 1);');
    const args = ['--prompts', 'prompts.jsonl', '--arms', 'fixed:2,./mine.mjs', '--temperature', '0'];
    const { code, stdout } = await command([...args, '--max-tokens', '16', '--json']);
    expect(code).toBe(0);
    const { settings, figures, verdict }: BenchResult = JSON.parse(stdout);
    expect(settings.arms).toEqual(['plain', 'fixed:2', 'mine.mjs']);
    const mine = figures.find(({ arm, kind }) => arm === 'mine.mjs' && kind === 'all')!;
    expect(mine.meanDepth).toBeGreaterThan(1);
    expect(mine.meanDepth).toBeLessThan(3);
    expect(verdict.map(({ arm }) => arm)).toEqual(['mine.mjs']);
  });
});

describe('for people', () => {
  it('prints a table of the arms and the verdict', async () => {
    const { code, stdout } = await command([...short, '--temperature', '0']);
    expect(code).toBe(0);
    for (const arm of ['plain', 'fixed:2', 'fixed:8', 'adaptive'])
      expect(stdout).toMatch(new RegExp(`^${arm} +\\d+\\.\\d `, 'm'));
    expect(stdout).toMatch(/^adaptive against fixed:[28], the best fixed depth: /m);
  });
});

describe('an interrupt', () => {
  it('reports what was measured so far, with exit code 130', async () => {
    let sent = false;
    const args = ['--blocks', '1000', '--temperature', '0', '--max-tokens', '24', '--json'];
    const { code, stdout } = await command(
      ['--prompts', 'prompts.jsonl', '--arms', 'fixed:2', ...args],
      (text, kill) => {
        // Ten per cent of so many blocks.
        if (!sent && text.includes('run ')) kill('SIGINT');
        sent ||= text.includes('run ');
      },
    );
    expect(code).toBe(130);
    const result: BenchResult = JSON.parse(stdout);
    expect(result.partial).toMatchObject({ reason: 'interrupted', groupsPlanned: 4000 });
    expect(result.runs.length).toBeGreaterThan(0);
    expect(result.partial!.groupsMeasured).toBeLessThan(4000);
  });
});

describe('a run', () => {
  const plan: BenchPlan = {
    profile: 'custom',
    command: 'test',
    arms: completeArms(['fixed:2', 'fixed:4', 'adaptive'].map(armOf)),
    prompts: PROMPTS,
    promptsFrom: 'test',
    maxTokens: 40,
    blocks: 1,
    temperatures: [0],
    seed: 3,
    deadline: Number.POSITIVE_INFINITY,
    startedAt: 0,
  };

  it('catches an arm whose tokens are not plain decoding’s, with the place', async () => {
    await using engine = await tinyEngine('target', 'draft');
    // As a broken verification would: the arm's text goes astray from the tenth token on.
    const broken: BenchEngine = {
      info: engine.info,
      on: (name, listener) => engine.on(name, listener),
      generate: async (request) => {
        const result = await engine.generate(request);
        const { name } = request.controller as { name: string };
        const depth = (request.controller as { nativeDepth?: number }).nativeDepth;
        return name === 'fixed' && depth === 4
          ? { ...result, tokens: result.tokens.map((token, i) => (i < 10 ? token : token + 1)) }
          : result;
      },
    };
    const told: string[] = [];
    const result = await runBench(
      broken,
      plan,
      {},
      {
        signal: new AbortController().signal,
        onDifference: ({ arm, promptId, at }) => told.push(`${arm} ${promptId} ${at}`),
      },
    );
    expect(result.equality.equal).toBe(false);
    expect(result.equality.differing).toHaveLength(2 * PROMPTS.length);
    for (const { arm, at } of result.equality.differing) expect([arm, at]).toEqual(['fixed:4', 10]);
    expect(told.sort()).toEqual(PROMPTS.map(({ id }) => `fixed:4 ${id} 10`));
  });

  it('lets a controller go on from text to text, and shows it none twice', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const seen: string[][] = [];
    const learning: Arm = {
      name: 'learning',
      make: () => {
        const prompts: string[] = [];
        seen.push(prompts);
        return { name: 'learning', begin: ({ promptText }) => prompts.push(promptText), nextPlan: () => 1 };
      },
    };
    const [plain] = completeArms([]);
    await runBench(
      engine,
      { ...plan, arms: [plain!, learning], blocks: 2, temperatures: [0, 0.7] },
      {},
      { signal: new AbortController().signal },
    );
    // One of the warm-up; then two blocks at two temperatures, and two runs of each prompt in each.
    expect(seen.map((prompts) => prompts.length)).toEqual([1, ...new Array(8).fill(PROMPTS.length)]);
    for (const prompts of seen) expect(new Set(prompts).size).toBe(prompts.length);
  });

  it('ends with the time limit after the first group, and says so', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const signal = new AbortController().signal;
    const result = await runBench(engine, { ...plan, deadline: performance.now() }, {}, { signal });
    expect(result.partial).toEqual({ reason: 'time limit', groupsMeasured: 1, groupsPlanned: 4 });
    expect(result.runs).toHaveLength(2 * plan.arms.length);
  });

  it('ends before the first run where it was interrupted by then', async () => {
    await using engine = await tinyEngine('target', 'draft');
    const result = await runBench(engine, plan, {}, { signal: AbortSignal.abort() });
    expect(result.partial).toMatchObject({ reason: 'interrupted', groupsMeasured: 0 });
    expect(result).toMatchObject({ runs: [], figures: [], verdict: [], comparisons: [] });
  });

  it('respects the end of a text', async () => {
    await using engine = await tinyEngine('targetWithEog', 'draftWithEog');
    const signal = new AbortController().signal;
    const result = await runBench(engine, { ...plan, maxTokens: 300 }, {}, { signal });
    expect(result.equality.equal).toBe(true);
    expect(Math.min(...result.runs.map(({ all }) => all.tokens))).toBeLessThan(300);
  });
});
