// Trees from TypeScript: what turns them on, what controllers and traces are told of them; the text is plain decoding's.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Branches,
  type Controller,
  type Engine,
  off,
  readTrace,
  recordedReport,
  type StepReport,
} from '../../lib/index.js';
import { BEGINNINGS, random, tinyEngine } from './tiny-engine.js';

const BRANCHES = 3;
const [prompt] = BEGINNINGS as [string];
let engine: Engine;
let folder: string;
let plain: number[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-trees-'));
  engine = await tinyEngine('target', 'draft', { branches: BRANCHES, planDeadlineMs: 60_000 });
  plain = (await engine.generate({ prompt, maxTokens: 300, controller: off() })).tokens;
});
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true });
});

describe('a tree', () => {
  it('gives the text of plain decoding, and tells what was right beside the draft', async () => {
    const { tokens, stats } = await engine.generate({ prompt, maxTokens: 300, depth: 2, tree: 5 });
    expect(tokens).toEqual(plain);
    expect(stats.branchTokens).toBeGreaterThan(20);
    expect(stats.acceptedBranchTokens).toBeGreaterThan(3);
    expect(stats.steps + stats.acceptedTokens + stats.acceptedBranchTokens).toBeGreaterThanOrEqual(300);
  });

  it('of any size that a controller names gives the text of plain decoding', async () => {
    const next = random(5);
    const seen: (Branches & { verified: number })[] = [];
    const controller: Controller = ({ branches, verified }) => {
      if (branches) seen.push({ ...branches, parents: branches.parents.slice(), verified });
      const tree = { nodes: Math.floor(next() * 12), branches: Math.floor(next() * 6) };
      return { depth: Math.floor(next() * 6), tree, stop: { minProbability: next() / 4 } };
    };
    const { tokens, stats } = await engine.generate({ prompt, maxTokens: 300, controller });
    expect(tokens).toEqual(plain);
    expect(stats.controller.errors).toBe(0);
    expect(stats.acceptedBranchTokens).toBeGreaterThan(0);
    for (const { tokens, parents, accepted, verified } of seen) {
      const ends = [...parents.keys()].filter((i) => !parents.includes(verified + i));
      expect(ends.length).toBeLessThanOrEqual(BRANCHES);
      expect(accepted).toBeLessThanOrEqual(tokens.length);
      for (const [i, parent] of parents.entries()) {
        expect(parent).toBeGreaterThanOrEqual(-1);
        expect(parent).toBeLessThan(verified + i);
      }
    }
  });

  it.each(['ngram', 'hybrid'])(
    'of %s goes on below its guesses, and several are right at once',
    async (drafter) => {
      let below = 0;
      let most = 0;
      const stop = engine.on('step', ({ branches, verified }) => {
        if (!branches) return;
        below += branches.parents.filter((parent) => parent >= verified).length;
        most = Math.max(most, branches.accepted);
      });
      for (const beginning of BEGINNINGS) {
        const request = { prompt: beginning, maxTokens: 300 };
        const { tokens } = await engine.generate({ ...request, controller: off() });
        const inTrees = await engine.generate({ ...request, depth: 6, tree: 16, drafter });
        expect(inTrees.tokens).toEqual(tokens);
      }
      stop();
      expect(below).toBeGreaterThan(20);
      expect(most).toBeGreaterThan(1);
    },
  );

  it('beside a grammar has the text of plain decoding, and guesses that go on within it', async () => {
    const grammar = 'root ::= ("the " | "a ") [a-m]{40,60} " " [n-z]{40,60} "END"';
    let below = 0;
    let right = 0;
    const stop = engine.on('step', ({ branches, verified }) => {
      if (!branches) return;
      below += branches.parents.filter((parent) => parent >= verified).length;
      right += branches.accepted;
    });
    for (const temperature of [0, 0.8]) {
      const request = { prompt, grammar, maxTokens: 200, temperature, seed: 3 };
      const { tokens, text } = await engine.generate({ ...request, depth: 0 });
      expect(text).toMatch(/^(the|a) [a-m]+ [n-z]+END$/);
      for (const drafter of ['model', 'ngram', 'hybrid'])
        expect((await engine.generate({ ...request, depth: 5, tree: 16, drafter })).tokens).toEqual(tokens);
    }
    stop();
    expect(below).toBeGreaterThan(50);
    expect(right).toBeGreaterThan(5);
  });

  it('of drawn tokens gives one text for one seed, and accepts siblings', async () => {
    const request = {
      prompt,
      maxTokens: 120,
      temperature: 1,
      acceptance: 'rejection',
      depth: 3,
      tree: 8,
    } as const;
    let right = 0;
    for (let seed = 0; seed < 5; seed++) {
      const { tokens, stats } = await engine.generate({ ...request, seed });
      await engine.generate({ ...request, seed: 99, tree: 4 });
      expect((await engine.generate({ ...request, seed })).tokens).toEqual(tokens);
      right += stats.acceptedBranchTokens;
    }
    expect(right).toBeGreaterThan(20);
  });

  it('is left out where a plan names none of its own but says 0', async () => {
    const controller = () => ({ depth: 2, tree: { nodes: 0 } });
    const { stats } = await engine.generate({ prompt, maxTokens: 40, controller, tree: 8 });
    expect(stats.branchTokens).toBe(0);
  });

  it('grows by value only where rows are cheap', async () => {
    const at = (ms: number) => {
      const verifyMs = Array.from({ length: 12 }, (_, n) => 10 + ms * n);
      const value = { tokensPerMs: 0.1, draftMs: 0, verifyMs, ahead: 0.9 };
      return engine.generate({
        prompt,
        maxTokens: 60,
        tree: 12,
        controller: () => ({ depth: 2, stop: { value } }),
      });
    };
    expect((await at(0)).stats.branchTokens).toBeGreaterThan(0);
    expect((await at(20)).stats.branchTokens).toBe(0);
  });

  it('with trim has guesses in place of what the chain has less likely', async () => {
    const verifyMs = [10, 10, 10, 10, ...Array(12).fill(1000)];
    const value = { tokensPerMs: 0.1, draftMs: 0, verifyMs, ahead: 1 };
    // As if the draft were surer of itself than it is right.
    const acceptance = { bias: -1.5, logit: 0.2, margin: 0, entropy: 0, place: 0 };
    const plan = { depth: 8, drafter: 'model', trim: true, stop: { value, acceptance } };
    const chain = await engine.generate({ prompt, maxTokens: 200, controller: () => plan });
    const tree = await engine.generate({ prompt, maxTokens: 200, tree: 16, controller: () => plan });
    expect(tree.tokens).toEqual(plain.slice(0, 200));
    expect(chain.stats.verifiedTokens).toBeGreaterThan(tree.stats.verifiedTokens);
    expect(tree.stats.branchTokens).toBeGreaterThan(20);
  });

  it('is in a trace as it was reported', async () => {
    const trace = join(folder, 'steps.jsonl');
    const reports: StepReport[] = [];
    const stop = engine.on('step', (report) => reports.push(report));
    await engine.generate({ prompt, maxTokens: 80, depth: 2, tree: 5, trace });
    stop();
    const { generations } = await readTrace(trace);
    const recorded = generations[0]!.steps.map(recordedReport);
    expect(recorded.map(({ branches }) => branches)).toEqual(reports.map(({ branches }) => branches));
    expect(reports.some(({ branches }) => branches && branches.accepted > 0)).toBe(true);
  });
});

describe('an engine without branches', () => {
  it('refuses a tree, and takes a plan with one for its chain', async () => {
    const chains = await tinyEngine('target', 'draft');
    expect(chains.info.branches).toBe(0);
    await expect(chains.generate({ prompt, maxTokens: 5, depth: 2, tree: 4 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    const controller = () => ({ depth: 2, tree: { nodes: 6 } });
    const { tokens, stats } = await chains.generate({ prompt, maxTokens: 60, controller });
    expect(tokens).toEqual(plain.slice(0, 60));
    expect(stats.branchTokens).toBe(0);
    await chains.close();
  });

  it.each(['swa', 'hybrid'] as const)('is what %s gets, with one warning', async (target) => {
    const warnings: string[] = [];
    const chains = await tinyEngine(target, target === 'swa' ? 'swaDraft' : 'draft', {
      branches: 2,
      warnings,
    });
    expect(chains.info.branches).toBe(0);
    expect(warnings).toHaveLength(1);
    const { stats } = await chains.generate({ prompt, maxTokens: 20, depth: 2, tree: 4 });
    expect(stats.branchTokens).toBe(0);
    await chains.close();
  });

  it('is not made with more sequences than the cache can tell apart', async () => {
    await expect(tinyEngine('target', 'draft', { branches: 7, parallel: 33 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
