// Processes and worker threads that leave in the middle of everything: no crash, the right exit code, at once.
import { beforeAll, describe, expect, it } from 'vitest';
import { random } from '../native/tiny-engine.js';
import { type TinyModels, tinyModels } from '../tiny-models.js';
import { expectNoLastWords, mustBeCompiled, runFixture } from './child.js';

// Another seed gives other moments; the one that a failure names is worth another try.
const seed = Number(process.env.EXIT_SEED ?? Math.floor(Math.random() * 2 ** 31));
console.log(`Moments of exit from EXIT_SEED=${seed}`);
const next = random(seed);

/** From the decision to leave to the end of the process. */
const LIMIT_MS = 1500;

/** Where a process is busy, as in fixtures/busy.mjs, and how often each way out is tried there. */
const PLACES = [
  { where: 'load', rounds: 10 },
  { where: 'prompt', rounds: 5 },
  { where: 'decode', rounds: 5 },
  { where: 'fixed', rounds: 5 },
  { where: 'callback', rounds: 5 },
  { where: 'unanswered', rounds: 5 },
  { where: 'crowd', rounds: 5 },
  { where: 'close', rounds: 5 },
] as const;

/** The ways out, and how the system sees them. */
const WAYS = [
  { how: 'exit', code: 7, signal: null },
  { how: 'throw', code: 1, signal: null },
  { how: 'reject', code: 1, signal: null },
  { how: 'SIGINT', code: null, signal: 'SIGINT' },
  { how: 'SIGTERM', code: null, signal: 'SIGTERM' },
] as const;

/** The same for a worker thread, which has no signals but `terminate`. */
const WORKER_WAYS = [
  { how: 'exit', code: 7, error: undefined },
  { how: 'throw', code: 1, error: 'meant' },
  { how: 'reject', code: 1, error: 'meant' },
  { how: 'terminate', code: 1, error: undefined },
] as const;

/** What fixtures/busy.mjs notes as it leaves. */
interface State {
  at: number;
  pending: number;
  steps: number;
}

let models: Pick<TinyModels, 'target' | 'draft'>;

beforeAll(async () => {
  mustBeCompiled();
  const { target, draft } = await tinyModels();
  models = { target, draft };
});

/** It was in the middle of what its name says. */
function expectBusy({ pending, steps }: State, where: string, what: string) {
  if (where === 'load') expect(pending, what).toBe(-1);
  else if (where !== 'close') expect(pending, what).toBeGreaterThan(0);
  if (['decode', 'callback', 'unanswered', 'crowd'].includes(where)) expect(steps, what).toBeGreaterThan(0);
}

describe.each(PLACES)('a process in $where', ({ where, rounds }) => {
  it.each(WAYS)('ends by $how', async ({ how, code, signal }) => {
    for (let round = 0; round < rounds; round++) {
      const moment = next();
      const what = `EXIT_SEED=${seed}, moment ${moment}`;
      const ended = await runFixture('busy.mjs', { ...models, where, how, moment });
      expectNoLastWords(ended.stderr, what);
      expect({ code: ended.code, signal: ended.signal }, `${what}\n${ended.stderr}`).toEqual({
        code,
        signal,
      });
      const state: State = JSON.parse(ended.stdout);
      expectBusy(state, where, what);
      expect(ended.at - state.at, what).toBeLessThan(LIMIT_MS);
    }
  });
});

it('a process whose event loop runs empty ends by itself, however idle its engine is', async () => {
  for (let round = 0; round < 10; round++) {
    const ended = await runFixture('busy.mjs', { ...models, where: 'idle', how: 'end', moment: 0 });
    expectNoLastWords(ended.stderr, ended.stderr);
    expect({ code: ended.code, signal: ended.signal }).toEqual({ code: 0, signal: null });
    const state: State = JSON.parse(ended.stdout);
    expect(state.pending).toBe(0);
    expect(ended.at - state.at).toBeLessThan(LIMIT_MS);
  }
});

/** A worker's life as fixtures/workers.mjs tells it. */
interface Life {
  where: string;
  how: string;
  moment: number;
  state?: State;
  code: number;
  error?: string;
  ms: number;
}

async function liveInWorkers(scenarios: object[], atOnce: number, alone: boolean): Promise<Life[]> {
  const ended = await runFixture('workers.mjs', { ...models, scenarios, atOnce, alone });
  const what = `EXIT_SEED=${seed}\n${ended.stderr}`;
  expectNoLastWords(ended.stderr, what);
  expect({ code: ended.code, signal: ended.signal }, what).toEqual({ code: 0, signal: null });
  const { lives, same } = JSON.parse(ended.stdout);
  expect(same, 'the text of the main thread').toBe(true);
  expect(lives).toHaveLength(scenarios.length);
  return lives;
}

function expectLeftWell(life: Life) {
  const what = `EXIT_SEED=${seed}, ${JSON.stringify(life)}`;
  const way = WORKER_WAYS.find(({ how }) => how === life.how)!;
  expect({ code: life.code, error: life.error }, what).toEqual({ code: way.code, error: way.error });
  expectBusy(life.state!, life.where, what);
  expect(life.ms, what).toBeLessThan(LIMIT_MS);
}

describe.each(PLACES)('worker threads in $where', ({ where }) => {
  it.each(WORKER_WAYS)('end by $how, one after the other', async ({ how }) => {
    const scenarios = Array.from({ length: 5 }, () => ({ where, how, moment: next() }));
    for (const life of await liveInWorkers(scenarios, 1, true)) expectLeftWell(life);
  });
});

describe('several worker threads at once', () => {
  it('leave in all ways, and the engine of the main thread does not notice', async () => {
    const scenarios = PLACES.flatMap(({ where }) =>
      WORKER_WAYS.map(({ how }) => ({ where, how, moment: next() })),
    ).sort(() => next() - 0.5);
    for (const life of await liveInWorkers(scenarios, 4, false)) expectLeftWell(life);
  });

  it('end by themselves when their event loops run empty', async () => {
    const scenarios = Array(6).fill({ where: 'idle', how: 'end', moment: 0.5 });
    for (const life of await liveInWorkers(scenarios, 3, true)) {
      expect({ code: life.code, error: life.error }).toEqual({ code: 0 });
      expect(life.ms).toBeLessThan(LIMIT_MS);
    }
  });

  it.each(WAYS)(
    'are in the middle of it when the main thread leaves by $how',
    async ({ how, code, signal }) => {
      for (const { where } of PLACES.slice(0, 7)) {
        const wheres = Array.from({ length: 3 }, () => PLACES[Math.floor(next() * 7)]!.where);
        const moment = next();
        const what = `EXIT_SEED=${seed}, main in ${where} at ${moment}, workers in ${wheres}`;
        const ended = await runFixture('main-leaves.mjs', {
          ...models,
          wheres,
          where,
          how,
          moment,
          threads: 1,
        });
        expectNoLastWords(ended.stderr, what);
        expect({ code: ended.code, signal: ended.signal }, `${what}\n${ended.stderr}`).toEqual({
          code,
          signal,
        });
        const state: State = JSON.parse(ended.stdout);
        expectBusy(state, where, what);
        expect(ended.at - state.at, what).toBeLessThan(LIMIT_MS);
      }
    },
  );
});
