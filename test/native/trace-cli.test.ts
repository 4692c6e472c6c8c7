// `adaptive-spec trace` and `generate --trace`, run as users do: files that readers take, exit codes, and what is refused.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTrace } from '../../lib/index.js';
import { tinyModels } from '../tiny-models.js';
import { distFile } from './dist.js';

const main = distFile('cli/main.js');
let folder: string;
let pair: string[];
let prompts: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-trace-cli-'));
  const models = await tinyModels();
  pair = ['--model', models.target, '--draft', models.draft, '--context-size', '512'];
  prompts = join(folder, 'prompts.jsonl');
  const lines = ['code', 'json', 'code'].map((context, i) => ({ id: `p${i}`, context, prompt: `text ${i}` }));
  writeFileSync(prompts, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the command to its end. `onStderr` hears all that came so far, and may send a signal. */
function run(
  args: string[],
  onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, ADAPTIVE_SPEC_CACHE: join(folder, 'cache') },
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk;
    onStderr?.(stderr, (signal) => child.kill(signal));
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

describe('trace', () => {
  it('records prompts that replay takes, with the drafter and what was asked for', async () => {
    const out = join(folder, 'made', 'trace.jsonl.gz');
    const args = ['--prompts', prompts, '--out', out, '-n', '24', '--drafter', 'model', '--calibrate', 'off'];
    const { code, stdout, stderr } = await run(['trace', ...pair, ...args]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(/^position \d+ of at most 72.* \(p\d\)$/m);
    expect(stderr).toMatch(/3 of 3 generations, 72 positions, drafted by model up to depth 31\n$/);
    const { header, generations, torn } = await readTrace(out);
    expect(torn).toBe(false);
    expect(header).toMatchObject({ mode: 'exhaustive', drafter: 'model', maxDepth: 31 });
    expect(header.model.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(header).not.toHaveProperty('costs');
    expect(generations.map(({ info, positions }) => [info.id, info.kind, positions.length])).toEqual([
      ['p0', 'code', 24],
      ['p1', 'json', 24],
      ['p2', 'code', 24],
    ]);
    // As far as the output has room: 23 tokens at the first of 24 positions, none at the last.
    expect(generations[0]!.positions[0]!.draft).toHaveLength(23);
    expect(generations[0]!.positions[23]!.draft).toHaveLength(0);

    const replay = ['replay', out, '--costs', 'host96', '--controllers', 'fixed:4,svip', '--whole', '--json'];
    const replayed = await run(replay);
    expect(replayed.stderr).toBe('');
    expect(JSON.parse(replayed.stdout).counts).toMatchObject({ generations: 3, allTokens: 72 });
  });

  it('records the kinds that were asked for, with costs that were measured at load', async () => {
    const out = join(folder, 'kinds.jsonl');
    const kinds = ['--kinds', 'code', '--prompts-per-kind', '1', '-n', '4', '--calibrate', 'load'];
    const { code } = await run(['trace', ...pair, '--prompts', prompts, '--out', out, ...kinds]);
    expect(code).toBe(0);
    const { header, generations } = await readTrace(out);
    expect(generations.map(({ info }) => info.id)).toEqual(['p0']);
    expect(header.drafter).toBe('hybrid');
    expect(header.costs!.target.length).toBeGreaterThan(0);
  });

  it('leaves after Ctrl-C what was recorded, in a file that readers take', async () => {
    const out = join(folder, 'stopped.jsonl.gz');
    const many = join(folder, 'many.jsonl');
    const line = (i: number) => `${JSON.stringify({ id: `p${i}`, context: 'code', prompt: `text ${i}` })}\n`;
    writeFileSync(many, Array.from({ length: 400 }, (_, i) => line(i)).join(''));
    const { code, stderr } = await run(
      ['trace', ...pair, '--prompts', many, '--out', out, '-n', '200', '--calibrate', 'off'],
      // The second line comes after a tenth of all prompts.
      (text, kill) => {
        if (text.split('\n').length === 3) kill('SIGINT');
      },
    );
    expect(code).toBe(130);
    expect(stderr).toMatch(/wrote .*stopped.jsonl.gz: \d+ of 400 generations/);
    const { generations, torn } = await readTrace(out);
    expect(torn).toBe(false);
    expect(generations.length).toBeGreaterThan(10);
    expect(generations.length).toBeLessThan(400);
    for (const { end } of generations.slice(0, -1)) expect(end?.tokens).toBe(200);
  });

  it.each<[what: string, args: string[], message: RegExp]>([
    ['no file', [], /--out/],
    ['a kind without prompts', ['--out', 'x.jsonl', '--kinds', 'math'], /math/],
    ['no prompts of a kind', ['--out', 'x.jsonl', '--prompts-per-kind', '0'], /--prompts-per-kind is 0/],
    ['prompts that are not there', ['--out', 'x.jsonl', '--prompts', 'no.jsonl'], /no\.jsonl/],
    ['half a token', ['--out', 'x.jsonl', '-n', '1.5'], /maxTokens is 1\.5/],
    ['a folder that cannot be made', ['--out', '/dev/null/no/x.jsonl'], /--out/],
    ['a folder', ['--out', '.'], /--out/],
    ['a drafter without probabilities', ['--out', 'x.jsonl', '--drafter', 'ngram-mod'], /no probabilities/],
    ['a drafter that there is not', ['--out', 'x.jsonl', '--drafter', 'oracle'], /oracle/],
  ])('refuses %s, and makes no file', async (_, args, message) => {
    const { code, stdout, stderr } = await run(['trace', ...pair, '--prompts', prompts, ...args]);
    expect(stderr).toMatch(/^INVALID_ARGUMENT: /);
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(existsSync(join(folder, 'x.jsonl'))).toBe(false);
  });
});

describe('generate --trace', () => {
  it('records every step, and leaves stdout to the text', async () => {
    const args = ['generate', ...pair, '-p', 'def hello', '-n', '24', '--json', '--steps', '-c', 'adaptive'];
    const plain = JSON.parse((await run(args)).stdout);
    const traced = await run([...args, '--trace', 'steps.jsonl']);
    expect(traced.stderr).toBe('');
    const result = JSON.parse(traced.stdout);
    expect(result.tokens).toEqual(plain.tokens);
    const { header, generations } = await readTrace(join(folder, 'steps.jsonl'));
    expect(header.mode).toBe('steps');
    const [{ info, steps, end }] = generations as [(typeof generations)[number]];
    expect(info).toMatchObject({ promptText: 'def hello', controller: result.stats.controller.name });
    expect(steps.slice(1).map(({ depth, drafted, accepted }) => ({ depth, drafted, accepted }))).toEqual(
      result.steps,
    );
    expect(end).toEqual({ tokens: 24, finishReason: 'length' });
  });

  it('warns once and goes on where the trace cannot be written', async () => {
    const args = ['generate', ...pair, '-p', 'def hello', '-n', '8', '--json', '--trace', '/dev/full'];
    const { code, stdout, stderr } = await run(args);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).tokens).toHaveLength(8);
    expect(stderr).toMatch(/^warning: TRACE_FAILED: .*ENOSPC.*not traced\n$/);
  });
});
