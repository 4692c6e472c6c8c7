// `adaptive-spec replay` on made-up traces: what it prints, in which order, and what it refuses.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { addReplay } from '../../lib/cli/replay.js';
import { CostModel } from '../../lib/control/costs.js';
import { fixedDepth } from '../../lib/control/fixed-depth.js';
import type { TraceHeader } from '../../lib/observe/trace-format.js';
import { replayGeneration } from '../../lib/replay/generation.js';
import { replay } from '../../lib/replay/replay.js';
import { linesOf, mixedTrace, staircase, traceHeader } from './synthetic-trace.js';

let folder: string;
const inFolder = (name: string) => join(folder, name);
const recorded = mixedTrace(3, 64);

function writeTrace(name: string, header: Partial<TraceHeader>, generations = recorded): string {
  const text = linesOf(traceHeader(header), generations)
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('');
  writeFileSync(inFolder(name), text);
  return inFolder(name);
}

function writeJson(name: string, value: unknown): string {
  writeFileSync(inFolder(name), JSON.stringify(value));
  return inFolder(name);
}

let trace: string;
let bare: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-replay-'));
  trace = writeTrace('trace.jsonl', { costs: staircase });
  bare = writeTrace('bare.jsonl', {});
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the command in this process and gives what it printed. */
async function run(...args: string[]): Promise<string> {
  const program = new Command().exitOverride().configureOutput({ outputError: () => {} });
  addReplay(program);
  let out = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text;
    return true;
  });
  try {
    await program.parseAsync(['replay', ...args], { from: 'user' });
  } finally {
    write.mockRestore();
  }
  return out;
}

const invalid = (message: string) =>
  expect.objectContaining({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining(message),
    hint: expect.stringMatching(/\S/),
  });

function benchResult(factor: number): string {
  const model = new CostModel(staircase);
  const runs = [0, 3, 7, 8, 15, 16].flatMap((depth) =>
    recorded.map(({ info, positions }) => {
      const { tokens, ms } = replay(replayGeneration(info, positions, 31), fixedDepth(depth), model);
      const figures = { tokens, decodeMs: ms * factor };
      return {
        ...{ arm: depth === 0 ? 'plain' : `fixed:${depth}`, promptId: info.id, temperature: 0 },
        ...{ all: figures, beforeLoop: figures },
      };
    }),
  );
  return writeJson(`bench-${factor}.json`, { format: 'adaptive-spec-bench', version: 1, runs });
}

describe('replay', () => {
  it('prints the table of host96 as JSON, without a trace', async () => {
    const table = JSON.parse(await run('--costs', 'host96', '--table', '--json'));
    expect(table.map((row: object) => Object.keys(row))).toEqual(
      Array(3).fill(['k', 'acceptance', 'tokensPerSecond']),
    );
    expect(table.map(({ k }: { k: number }) => k)).toEqual([4, 8, 16]);
    expect(await run('--costs', 'host96', '--table')).toContain('10.40');
  });

  it('says first that nothing was checked against live speed', async () => {
    const text = await run(trace, '--controllers', 'adaptive,fixed:8,plain');
    expect(text.split('\n')[0]).toMatch(/^NOT CHECKED against live speed/);
    expect(text).toMatch(
      /^9 generations of 9 prompts, 576 tokens; counted: 576 tokens before the first loop/m,
    );
    expect(text).toMatch(/^1 sequence: best fixed K = \d+/m);
    for (const name of ['adaptive', 'fixed:8', 'plain'])
      expect(text).toMatch(new RegExp(`^${name} +\\d`, 'm'));
    const json = await run(trace, '--controllers', 'plain', '--json');
    expect(Object.keys(JSON.parse(json)).indexOf('validation')).toBeLessThan(
      Object.keys(JSON.parse(json)).indexOf('loads'),
    );
    expect(JSON.parse(json).validation).toMatchObject({ checked: false });
  });

  it('compares with live speed before any other figure', async () => {
    const text = await run(trace, '--controllers', 'plain', '--live', benchResult(1.02));
    const lines = text.split('\n');
    expect(lines[0]).toMatch(/^Within 5 % of live speed at every depth/);
    expect(lines.slice(1, 7).map((line) => /^ {2}K = (\d+)/.exec(line)?.[1])).toEqual([
      '0',
      '3',
      '7',
      '8',
      '15',
      '16',
    ]);
    const off = JSON.parse(await run(trace, '--controllers', 'plain', '--live', benchResult(1.2), '--json'));
    expect(off.validation).toMatchObject({ checked: true, within: false });
  });

  it('replays all built-in controllers unless some are named', async () => {
    const { loads } = JSON.parse(await run(trace, '--json'));
    const names = new Set(loads[0].figures.map(({ controller }: { controller: string }) => controller));
    expect(names).toContain('adaptive');
    expect(names).toContain('off');
  });

  it('reports by load, and takes costs from a file or host96 over those of the trace', async () => {
    const { loads, costsFrom, costs } = JSON.parse(
      await run(trace, '--controllers', 'plain,fixed:8', '--costs', 'host96', '--load', '1,4,16', '--json'),
    );
    expect(loads.map(({ sequences }: { sequences: number }) => sequences)).toEqual([1, 4, 16]);
    expect(loads[0].figures[0].tokensPerSecond.value).toBeCloseTo(2.86, 6);
    expect([costsFrom, costs.draft.threads]).toEqual(['host96', 96]);
    const file = writeJson('costs.json', { ...staircase, note: 'more than is read', overheadMs: 7 });
    const own = JSON.parse(await run(bare, '--controllers', 'plain', '--costs', file, '--json'));
    expect(own.costs.overheadMs).toBe(7);
    expect(JSON.parse(await run(trace, '--controllers', 'plain', '--json')).costsFrom).toBe('trace');
  });

  it('counts the text before its loop, or all of it', async () => {
    const loop = mixedTrace(1, 64).map((generation) => ({
      ...generation,
      positions: generation.positions.map((position) => ({
        ...position,
        ...{ token: position.i < 30 ? position.token : 9, draft: [], p: [], m: [], h: [], right: 0 },
      })),
    }));
    const looping = writeTrace('looping.jsonl', { costs: staircase }, loop);
    const counts = async (...more: string[]) =>
      JSON.parse(await run(looping, '--controllers', 'plain', '--json', ...more)).counts;
    expect(await counts()).toMatchObject({ tokens: 90, allTokens: 192 });
    expect(await counts('--whole')).toMatchObject({ tokens: 192, allTokens: 192 });
  });

  it('leaves out a generation that was cut short, and says so', async () => {
    const cut = writeTrace('cut.jsonl', { costs: staircase }, [
      ...recorded,
      { ...recorded[0]!, positions: recorded[0]!.positions.slice(0, 5), end: undefined as never },
    ]);
    expect(await run(cut, '--controllers', 'plain')).toContain('1 unfinished generations left out');
  });

  it('reads several traces as one', async () => {
    const text = await run(trace, bare, '--controllers', 'plain');
    expect(text).toContain('18 generations of 9 prompts');
  });

  it('takes seconds for a trace of 48 prompts with 256 tokens', async () => {
    const big = writeTrace('big.jsonl', { costs: staircase }, mixedTrace(16, 256));
    const started = performance.now();
    await run(
      big,
      '--controllers',
      `adaptive,${[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((k) => `fixed:${k}`).join(',')}`,
    );
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});

describe('replay refuses', () => {
  it.each([
    ['no trace', [], 'No trace'],
    ['an unknown controller', ['TRACE', '--controllers', 'adaptve'], 'adaptve'],
    ['a fixed depth without a number', ['TRACE', '--controllers', 'fixed'], 'names no depth'],
    ['a fixed depth that is none', ['TRACE', '--controllers', 'fixed:x'], 'names no depth'],
    ['a fixed depth out of range', ['TRACE', '--controllers', 'fixed:65'], 'out of range'],
    ['a controller named twice', ['TRACE', '--controllers', 'plain,fixed:8,plain'], 'named twice'],
    ['an empty list', ['TRACE', '--controllers', ''], 'no controller named ""'],
    ['a load of 0', ['TRACE', '--load', '0'], '--load has 0'],
    ['a load that is no number', ['TRACE', '--load', '1,x'], '--load'],
    ['half a sequence', ['TRACE', '--load', '1.5'], '--load has 1.5'],
    ['costs that are not there', ['TRACE', '--costs', 'nowhere.json'], 'ENOENT'],
    ['costs that are no JSON', ['TRACE', '--costs', 'TRACE'], 'no JSON'],
    ['costs that are none', ['TRACE', '--costs', 'WRONG'], 'draft'],
    ['a trace without costs', ['BARE'], 'no costs'],
    ['live runs with host96', ['TRACE', '--costs', 'host96', '--live', 'WRONG'], "can't check host96"],
    ['live runs that are none', ['TRACE', '--live', 'WRONG'], 'no result of a benchmark'],
    ['live runs of null', ['TRACE', '--live', 'NULL'], 'no result of a benchmark'],
    ['a table of other costs', ['--table'], '--table'],
    ['a table of a trace', ['TRACE', '--table', '--costs', 'host96'], '--table'],
    ['a trace of steps', ['STEPS'], 'steps'],
    ['a trace of nothing', ['EMPTY'], 'no generation'],
  ])('%s', async (_, args, message) => {
    const files: Record<string, string> = {
      TRACE: trace,
      BARE: bare,
      WRONG: writeJson('wrong.json', { target: [{ rows: 1, contextLength: 0, ms: 1 }] }),
      NULL: writeJson('null.json', null),
      STEPS: writeTrace('steps.jsonl', { mode: 'steps', costs: staircase }, []),
      EMPTY: writeTrace('empty.jsonl', { costs: staircase }, []),
    };
    await expect(run(...args.map((arg) => files[arg] ?? arg))).rejects.toEqual(invalid(message));
  });

  it('a damaged trace, by its own code', async () => {
    writeFileSync(inFolder('damaged.jsonl'), 'not a trace\n');
    const error = expect.objectContaining({ code: 'TRACE_INVALID' });
    await expect(run(inFolder('damaged.jsonl'))).rejects.toEqual(error);
  });
});
