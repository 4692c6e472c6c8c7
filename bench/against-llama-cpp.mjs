// Our loop against llama.cpp's own tools, on the same pair, depth and threads, in one interleaved run:
// a fixed depth against llama-speculative-simple, depth 0 against llama-bench. Every run is a process of its own.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { defaultPair } from '../dist/models/download.js';
import { main, removeAtExit, root, say } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { peerTools } from './peer-tools.mjs';
import { writeReport } from './report.mjs';
import { geometricMean, median, randomFrom, ratioWithInterval, shuffled } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    prompts: { type: 'string', default: '6' },
    tokens: { type: 'string', default: '128' },
    depths: { type: 'string', default: '0,2,4,8,16' },
    threads: { type: 'string', default: String(availableParallelism()) },
    out: { type: 'string', default: join(root, 'bench/results/against-llama-cpp.json') },
  },
});
const rounds = Number(options.rounds);
const tokens = Number(options.tokens);
const depths = options.depths.split(',').map(Number);
const cli = join(root, 'dist/cli/main.js');

await main(async () => {
  const tools = await peerTools({ tools: ['bench', 'speculative'] });
  const folder = removeAtExit(mkdtempSync(join(tmpdir(), 'adaptive-spec-bench-')));
  const { target, draft } = await defaultPair();
  const twin = join(folder, 'twin.gguf');
  const makeTwin = join(root, 'bench/full-vocabulary-twin.mjs');
  run(process.execPath, [makeTwin, '--draft', draft, '--target', target, '--out', twin]);
  const prompts = await promptFiles(folder, Number(options.prompts));

  const load = await waitForQuiet();
  const jobs = depths.flatMap((depth) =>
    Object.entries(contenders(depth, { tools, target, draft, twin })).flatMap(([name, measure]) =>
      prompts.flatMap((prompt) => Array.from({ length: rounds }, () => ({ depth, name, measure, prompt }))),
    ),
  );
  // One random order for all, so that a slow minute of the machine hits everyone alike.
  const samples = [];
  for (const [i, { depth, name, measure, prompt }] of shuffled(jobs, randomFrom(7)).entries()) {
    if (i % 25 === 0) say(`run ${i} of ${jobs.length}`);
    samples.push({ depth, name, prompt: prompt.id, ...measure(prompt) });
  }
  const summary = depths.flatMap((depth) => summarise(depth, samples));
  writeReport(options.out, {
    what: 'tokens per second of decode; ratio: adaptive-spec over the faster build of the tool, per prompt',
    command: `node bench/against-llama-cpp.mjs --rounds ${rounds} --prompts ${prompts.length} --tokens ${tokens} --depths ${depths} --threads ${options.threads}`,
    models: [target, draft],
    loadBefore: load,
    summary,
    samples,
  });
  for (const row of summary) {
    const { ratio, low, high } = row.ratio;
    console.log(
      `K ${row.depth}  ${row.name} ${row.speed.toFixed(1)} t/s  /  ${row.against} ${row.peerSpeed.toFixed(1)} t/s  =  ${ratio.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`,
    );
  }
});

/** Contenders for one depth: name to (prompt) => {speed in t/s, accepted, drafted}. */
function contenders(depth, { tools, target, draft, twin }) {
  const ours = (more) => (prompt) => {
    const flags = { model: target, depth, 'max-tokens': tokens, threads: options.threads, ...more };
    const output = run(process.execPath, [
      ...[cli, 'generate', '--prompt-file', prompt.file, '--ignore-eos', '--json'],
      ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]),
    ]);
    const { stats, usage } = JSON.parse(output.stdout);
    // The tool counts the draft's reading of the prompt to its encoding, so it is left out here too.
    const seconds = (stats.decodeMs - stats.catchUpMs) / 1000;
    const { draftTokens: drafted, acceptedTokens: accepted } = stats;
    return { speed: usage.completionTokens / seconds, drafted, accepted };
  };
  if (depth === 0) {
    // On top of as many tokens as the prompt has: attention takes longer on a longer context.
    const bench = (tool, flash) => (prompt) => {
      const what = ['-m', target, '-p', 0, '-n', tokens, '-d', prompt.tokens, '-r', 1, '-fa', flash];
      const output = run(tool, [...what, '-t', options.threads, '-o', 'json']);
      return { speed: JSON.parse(output.stdout)[0].avg_ts };
    };
    return {
      'adaptive-spec': ours(),
      'adaptive-spec, kernels ggml': ours({ kernels: 'ggml' }),
      'llama-bench, upstream build': bench(tools.upstream.bench, 0),
      'llama-bench, our flags': bench(tools.ours.bench, 0),
      'llama-bench, upstream build, flash attention': bench(tools.upstream.bench, 1),
      'llama-bench, our flags, flash attention': bench(tools.ours.bench, 1),
    };
  }
  const simple =
    (tool, ...more) =>
    (prompt) => {
      const pair = ['-m', target, '-md', twin, '--spec-type', 'draft-simple', '--spec-draft-n-max', depth];
      const how = ['-n', tokens, '--ignore-eos', '--temp', 0, '-c', 4096, '-bf', prompt.file, ...more];
      const output = run(tool, [...pair, ...how, '-t', options.threads, '-td', options.threads]);
      // It tells of itself on either.
      const told = output.stdout + output.stderr;
      const number = (pattern) => Number(pattern.exec(told)[1]);
      return {
        speed: number(/decoded .* speed:\s+([\d.]+)/),
        drafted: number(/n_drafted = (\d+)/),
        accepted: number(/n_accept\s+= (\d+)/),
      };
    };
  // Without OpenMP its two thread pools spin against each other, at a tenth of the speed: let them sleep instead.
  const asleep = ['--poll', 0, '--spec-draft-poll', 0];
  return {
    'adaptive-spec': ours({ draft: twin }),
    'adaptive-spec, kernels ggml': ours({ draft: twin, kernels: 'ggml' }),
    'adaptive-spec, its own draft file': ours({ draft }),
    'llama-speculative-simple, upstream build': simple(tools.upstream.speculative),
    'llama-speculative-simple, our flags': simple(tools.ours.speculative, ...asleep),
  };
}

/** Each of ours over the fastest of the tool's builds and attentions. */
function summarise(depth, samples) {
  const speeds = (name) =>
    [...new Set(samples.map(({ prompt }) => prompt))].map((id) =>
      median(
        samples.filter((s) => s.depth === depth && s.name === name && s.prompt === id).map((s) => s.speed),
      ),
    );
  const names = [...new Set(samples.filter((s) => s.depth === depth).map(({ name }) => name))];
  const peers = names.filter((name) => name.startsWith('llama-'));
  return names
    .filter((name) => name.startsWith('adaptive-spec'))
    .map((name) => {
      const against = peers.toSorted((a, b) => geometricMean(speeds(b)) - geometricMean(speeds(a)))[0];
      const mine = speeds(name);
      const theirs = speeds(against);
      const ratio = ratioWithInterval(mine.map((speed, i) => speed / theirs[i]));
      return { depth, name, against, speed: geometricMean(mine), peerSpeed: geometricMean(theirs), ratio };
    });
}

/** The first prompts of every kind in turn, through the target's chat template, each in a file. */
async function promptFiles(folder, count) {
  const all = readFileSync(join(root, 'bench/prompts/dev.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const kinds = [...new Set(all.map(({ context }) => context))];
  const chosen = Array.from({ length: Math.min(count, all.length) }, (_, i) =>
    all.filter(({ context }) => context === kinds[i % kinds.length]).at(Math.floor(i / kinds.length)),
  );
  const engine = await createEngine();
  const files = chosen.map(({ id, prompt }) => {
    const file = join(folder, `${id}.txt`);
    const text = engine.applyChatTemplate([{ role: 'user', content: prompt }]);
    writeFileSync(file, text);
    return { id, file, tokens: engine.tokenize(text).length };
  });
  await engine.close();
  return files;
}

/** Runs a program to its end: {stdout, stderr}. */
function run(program, args) {
  const ended = spawnSync(program, args.map(String), { encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (ended.status !== 0)
    throw new Error(`${program} ${args.join(' ')} failed: ${ended.error?.message ?? ended.stderr}`);
  return ended;
}
