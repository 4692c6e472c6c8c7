// llama.cpp's n-gram drafters in an engine: the text stays plain decoding's, depths are kept, and reports say no probability.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { armOf } from '../../lib/bench/arms.js';
import { ORIGIN } from '../../lib/control/controller.js';
import { controllers, readTrace, recordedReport, type StepReport } from '../../lib/index.js';
import { tinyModels } from '../tiny-models.js';
import { TieJudge } from './ties.js';
import { BEGINNINGS, random, tinyEngine } from './tiny-engine.js';

const NAMES = ['ngram-simple', 'ngram-map-k', 'ngram-map-k4v', 'ngram-mod', 'ngram-cache'];
/** A prompt in which what comes is known from what was. */
const passage = `${BEGINNINGS[0]} ${BEGINNINGS[3]} ${BEGINNINGS[4]} `;
const prompt = passage.repeat(4);

describe.each(NAMES)('%s', (drafter) => {
  it('leaves the text as it is under depths at random, and proposes no more than is asked for', async () => {
    const engine = await tinyEngine('target', 'draft', { contextSize: 1024 });
    const reports: StepReport[] = [];
    engine.on('step', (report) => reports.push(report));
    const how = { prompt, maxTokens: 200 };
    const plain = await engine.generate({ ...how, controller: 'off' });
    reports.length = 0;
    const next = random(3);
    const controller = () => Math.floor(next() * 20);
    const drafted = await engine.generate({ ...how, controller, drafter });
    await engine.close();
    expect(drafted.text).toBe(plain.text);
    expect([...drafted.tokens]).toEqual([...plain.tokens]);
    for (const report of reports) expect(report.drafted).toBeLessThanOrEqual(report.depth);
  });

  it.each([0, 0.8])(
    'drafts what a grammar forces, and goes on behind it, at temperature %d',
    async (temperature) => {
      const engine = await tinyEngine('target', 'draft', { contextSize: 1024 });
      const reports: StepReport[] = [];
      engine.on('step', (report) => reports.push(report));
      // Between the digits the grammar leaves no choice; which digit is in the prompt.
      const sentence = ' the world7; hello7';
      const grammar = `root ::= ("${sentence.split('7').join('" [0-9] "')}")+`;
      const how = { prompt: sentence.repeat(12), grammar, maxTokens: 100, temperature, seed: 3 };
      const plain = await engine.generate({ ...how, controller: 'off' });
      const { tokens, stats } = await engine.generate({ ...how, depth: 12, drafter });
      await engine.close();
      expect(tokens).toEqual(plain.tokens);
      expect(stats.acceptedTokens).toBeGreaterThan(0);
      const drafts = reports.map(({ origins }) => [...origins].join(''));
      expect(drafts).toContainEqual(expect.stringContaining(`${ORIGIN.grammar}${ORIGIN.ngram}`));
    },
  );

  it('gives reports without probabilities, which controllers do without', async () => {
    const engine = await tinyEngine('target', 'draft', { contextSize: 1024 });
    const reports: StepReport[] = [];
    engine.on('step', (report) => reports.push(report));
    const looping = Array.from({ length: 400 }, (_, i) => 40 + (i % 40));
    for (const controller of ['confidence', 'adaedl', 'goodput', 'hedge', 'vllm', undefined]) {
      const how = controller === undefined ? { depth: 8 } : { controller };
      const result = await engine.generate({ prompt: looping, maxTokens: 30, drafter, ...how });
      expect(result.finishReason).toBe('length');
    }
    await engine.close();
    const drafts = reports.filter((report) => report.drafted > 0 && report.drafter === drafter);
    expect(drafts.length).toBeGreaterThan(0);
    for (const { drafted, draftTokens, probabilities, margins, entropies, origins } of drafts) {
      expect([probabilities.length, margins.length, entropies.length]).toEqual([0, 0, 0]);
      expect([draftTokens.length, origins.length]).toEqual([drafted, drafted]);
    }
  });
});

it("is drafted with by 'auto', whether by default, an object or an arm of a benchmark", async () => {
  const engine = await tinyEngine('target', 'draft', { contextSize: 1024, planDeadlineMs: 60_000 });
  const looping = Array.from({ length: 400 }, (_, i) => 40 + (i % 40));
  for (const controller of [undefined, controllers.auto(), armOf('auto@ngram-mod').make()]) {
    const how = { prompt: looping, maxTokens: 8, drafter: 'ngram-mod', steps: true };
    const { stats, steps } = await engine.generate(controller === undefined ? how : { ...how, controller });
    expect(stats.controller.name).toBe('auto');
    // As goodput begins where nothing is known of costs.
    expect(steps!.map(({ depth }) => depth).slice(0, 4)).toEqual([4, 4, 4, 4]);
    expect(stats.draftTokens).toBeGreaterThan(0);
  }
  await engine.close();
});

it('is recorded step by step, and read back as it was', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-common-'));
  const trace = join(folder, 'steps.jsonl');
  const engine = await tinyEngine('target', 'draft');
  const reports: StepReport[] = [];
  engine.on('step', (report) => reports.push(report));
  const looping = Array.from({ length: 300 }, (_, i) => 40 + (i % 40));
  await engine.generate({ prompt: looping, depth: 6, maxTokens: 40, drafter: 'ngram-cache', trace });
  await engine.close();
  const { generations } = await readTrace(trace);
  rmSync(folder, { recursive: true });
  const steps = generations[0]!.steps;
  expect(steps.some(({ drafted }) => drafted > 0)).toBe(true);
  for (const [i, step] of steps.entries()) {
    const { origins, probabilities, draftTokens } = recordedReport(step);
    const live = reports[i]!;
    expect([...probabilities]).toEqual([]);
    expect([...origins]).toEqual([...live.origins]);
    expect([...draftTokens]).toEqual([...live.draftTokens]);
  }
});

it('drafts for several requests at once, each its own text but for ties', async () => {
  const models = await tinyModels();
  const judge = await TieJudge.of(models.target, 1e-4);
  const engine = await tinyEngine('target', undefined, { parallel: 3 });
  const prompts = [40, 90, 140].map((first) => Int32Array.from({ length: 300 }, (_, i) => first + (i % 40)));
  const alone = [];
  for (const prompt of prompts)
    alone.push(await engine.generate({ prompt, controller: 'off', maxTokens: 60 }));
  for (const drafter of NAMES) {
    const together = await Promise.all(
      prompts.map((prompt) => engine.generate({ prompt, depth: 6, maxTokens: 60, drafter })),
    );
    for (const [i, { tokens }] of together.entries())
      await judge.expectSame([...tokens], [...alone[i]!.tokens], prompts[i]!, drafter);
  }
  await engine.close();
  await judge.close();
});
