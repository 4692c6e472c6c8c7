// Our kernels against ggml's, in one interleaved run: what n rows cost in one pass through a model.
// - `--kernels auto` against `--kernels ggml`, both in this process, with the logits of all rows, as verifying wants
//   them;
// - against llama-bench with the last row's logits on both sides, built with upstream's defaults and with our flags:
//   the faster counts for each n;
// - the matrix products alone under the machine's roofs (native/bench/kernels_bench.cc).
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/index.js';
import { defaultPair } from '../dist/models/download.js';
import { buildTarget } from '../scripts/build.mjs';
import { cacheRoot } from '../scripts/cache.mjs';
import { main, root, say } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { peerTools } from './peer-tools.mjs';
import { writeReport } from './report.mjs';
import { SHAPE_1B, shapeModel } from './shape-model.mjs';
import { median } from './statistics.mjs';

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: '1,2,3,4,5,6,8,9,12,16,32' },
    prompt: { type: 'string', default: '512' },
    rounds: { type: 'string', default: '3' },
    repeats: { type: 'string', default: '4' },
    models: { type: 'string', default: '135m.Q4_0,135m.Q4_1,135m.Q8_0,1b.Q4_0,1b.Q4_K_M,1b.Q8_0' },
    threads: { type: 'string', default: String(availableParallelism()) },
    out: { type: 'string', default: join(root, 'bench/results/kernels.json') },
  },
});
const rows = options.rows.split(',').map(Number);
const threads = Number(options.threads);
const prompt = Number(options.prompt);
const repeats = Number(options.repeats);

await main(async () => {
  const tools = await peerTools({ tools: ['bench'] });
  for (const target of ['kernels_bench', 'requantise']) await buildTarget(target);
  const models = {};
  for (const name of options.models.split(',')) models[name] = await modelFile(name);
  const loadBefore = await waitForQuiet();

  say('roofs and products');
  const roofs = JSON.parse(execFileSync(program('kernels_bench'), [options.threads], { encoding: 'utf8' }));
  const samples = [];
  for (const [name, model] of Object.entries(models)) {
    say(name);
    await measureModel(name, model, tools, samples);
  }
  const names = Object.keys(models);
  const summary = names.flatMap((name) => rows.map((n) => summarise(name, n, samples)));
  const prompts = names.map((name) => summarise(name, prompt, samples));
  writeReport(options.out, {
    what: 'milliseconds of n rows in one pass, median and middle half; ratios: theirs over ours',
    command: `npm run bench:kernels -- --rounds ${options.rounds} --prompt ${prompt} --repeats ${repeats} --rows ${rows} --models ${names} --threads ${threads}`,
    models: Object.values(models),
    loadBefore,
    roofs,
    products: roofs.products.map((product) => underRoofs(product, roofs)),
    summary,
    prompts,
  });
  for (const { model, last, lastGgml, bench, overGgml, overBench } of prompts)
    console.log(
      `${model.padEnd(11)} prompt of ${prompt}  ${last.ms.toFixed(1)} / ggml ${lastGgml.ms.toFixed(1)} = ${overGgml.toFixed(2)}   / llama-bench ${bench.ms.toFixed(1)} = ${overBench.toFixed(2)}`,
    );
  for (const { model, rows: n, ours, ggml, last, bench, overGgml, overBench } of summary)
    console.log(
      `${model.padEnd(11)} n ${String(n).padStart(2)}  all logits ${ours.ms.toFixed(2)} / ggml ${ggml.ms.toFixed(2)} = ${overGgml.toFixed(2)}   last ${last.ms.toFixed(2)} / llama-bench ${bench.ms.toFixed(2)} = ${overBench.toFixed(2)}`,
    );
});

/** Ours, ggml's kernels and both builds of llama-bench take turns, round by round and size by size. */
async function measureModel(name, model, tools, samples) {
  const common = { model, draft: false, threads, contextSize: 1024, maxDepth: 63 };
  const engines = {
    ours: await createEngine({ ...common, kernels: 'auto' }),
    ggml: await createEngine({ ...common, kernels: 'ggml' }),
  };
  const add = (who, n, ms) => samples.push(...ms.map((one) => ({ model: name, who, rows: n, ms: one })));
  try {
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const n of rows) {
        // The first pays for the change of the batch's shape.
        for (const [who, engine, logits] of [
          ['ours', engines.ours, 'all'],
          ['ggml', engines.ggml, 'all'],
          ['last', engines.ours, 'last'],
        ])
          add(who, n, (await engine.measure(n, { repeats: repeats + 1, logits })).slice(1));
      }
      for (const [who, engine] of [
        ['last', engines.ours],
        ['last ggml', engines.ggml],
      ])
        add(who, prompt, (await engine.measure(prompt, { repeats: 2, logits: 'last' })).slice(1));
      for (const build of ['upstream', 'ours']) {
        const what = [
          '-m',
          model,
          '-p',
          [...rows, prompt].join(','),
          '-n',
          0,
          '-t',
          threads,
          '-r',
          repeats,
          '-o',
          'json',
        ];
        const results = JSON.parse(
          execFileSync(tools[build].bench, what.map(String), {
            encoding: 'utf8',
            stdio: ['ignore', 'pipe', 'ignore'],
          }),
        );
        for (const { n_prompt, samples_ns } of results)
          add(
            `bench ${build}`,
            n_prompt,
            samples_ns.map((ns) => ns / 1e6),
          );
      }
    }
  } finally {
    for (const engine of Object.values(engines)) await engine.close();
  }
}

function summarise(model, n, samples) {
  const of = (who) => {
    const ms = samples.filter((s) => s.model === model && s.rows === n && s.who === who).map((s) => s.ms);
    ms.sort((a, b) => a - b);
    const at = (share) => ms[Math.round(share * (ms.length - 1))];
    return { ms: median(ms), low: at(0.25), high: at(0.75), samples: ms.length };
  };
  const [ours, ggml, last, lastGgml] = ['ours', 'ggml', 'last', 'last ggml'].map(of);
  const builds = ['upstream', 'ours'].map((build) => ({ build, ...of(`bench ${build}`) }));
  const bench = builds.sort((a, b) => a.ms - b.ms)[0];
  const overBench = bench.ms / last.ms;
  if (n === prompt)
    return { model, rows: n, last, lastGgml, bench, overGgml: lastGgml.ms / last.ms, overBench };
  return {
    model,
    rows: n,
    ours,
    ggml,
    last,
    bench,
    overGgml: ggml.ms / ours.ms,
    overBench,
  };
}

/** Shares of the read bandwidth, of the dot products' peak and of the roof that both make. */
function underRoofs(product, { readBytesPerSecond, dotPeak }) {
  const { rows: n, bytesPerSecond, multiplyAddsPerSecond } = product;
  const weightsPerByte = multiplyAddsPerSecond / n / bytesPerSecond;
  const roof = Math.min(dotPeak, readBytesPerSecond * weightsPerByte * n);
  return {
    ...product,
    ofBandwidth: bytesPerSecond / readBytesPerSecond,
    ofDotPeak: multiplyAddsPerSecond / dotPeak,
    ofRoof: multiplyAddsPerSecond / roof,
    knee: dotPeak / (readBytesPerSecond * weightsPerByte),
  };
}

/** '135m.Q4_0' is the default target in that format, '1b.…' the shape of a billion weights. */
async function modelFile(name) {
  const [size, format] = name.split('.');
  if (size === SHAPE_1B.name) return shapeModel(SHAPE_1B, format);
  const { target } = await defaultPair();
  if (target.includes(`.${format}.`)) return target;
  const folder = join(cacheRoot(), 'shapes');
  const path = join(folder, `${size}.${format}.gguf`);
  mkdirSync(folder, { recursive: true });
  if (!existsSync(path)) execFileSync(program('requantise'), [target, path, format]);
  return path;
}

function program(name) {
  return join(root, 'build/Release', name);
}
