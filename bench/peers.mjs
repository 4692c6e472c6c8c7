// This engine against others, on the same models, prompts, threads and token counts: llama.cpp's llama-server and
// llama-speculative-simple, and node-llama-cpp. Each runs in a process of its own, never two at once, in rounds of
// random order. docs/benchmarks.md says how each is set up. stdout: a table, or with --json one object.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { resolveController } from '../dist/control/controllers.js';
import { defaultPair, resolveModel } from '../dist/models/download.js';
import { main, removeAtExit, root, StepFailure, say } from '../scripts/steps.mjs';
import { waitForQuiet } from './environment.mjs';
import { installNodeLlamaCpp, NODE_LLAMA_CPP } from './peer-install.mjs';
import { runServer, runSimple, runToEnd, runWorker } from './peer-processes.mjs';
import { chatPrompts } from './peer-prompts.mjs';
import { SPEC_TYPES } from './peer-settings.mjs';
import { agreement, bestSetting, byKind, comparison, rows } from './peer-summary.mjs';
import { peerTools } from './peer-tools.mjs';
import { writeReport } from './report.mjs';
import { randomFrom, shuffled } from './statistics.mjs';

const OURS = 'adaptive-spec';
const TWIN = "adaptive-spec, peers' draft file";
const NODE = 'node-llama-cpp';
const SERVER = 'llama-server';
const SIMPLE = 'llama-speculative-simple';
const PEERS = [SERVER, SIMPLE, NODE];
const PLAIN = 'plain';
const CAPPED =
  `node-llama-cpp ${NODE_LLAMA_CPP} accepts at most one draft token per step, whatever the depth ` +
  '(its list of validated tokens is never filled), so at most two tokens a step';

const string = (/** @type {string} */ fallback) => ({
  type: /** @type {const} */ ('string'),
  default: fallback,
});
const { values: options } = parseArgs({
  options: {
    prompts: string('12'),
    'prompts-file': string(join(root, 'bench/prompts/dev.jsonl')),
    'max-tokens': string('128'),
    depths: string('1,2,4,8,16'),
    rounds: string('3'),
    threads: string(String(availableParallelism())),
    peers: string(PEERS.join(',')),
    builds: string('upstream'),
    'spec-types': string('draft-simple'),
    ours: { type: 'string' },
    model: { type: 'string' },
    draft: { type: 'string' },
    out: string(join(root, 'bench/results/peers.json')),
    json: { type: 'boolean', default: false },
  },
});

await main(async () => {
  const rounds = whole('rounds', 1, 100);
  const maxTokens = whole('max-tokens', 2, 3000);
  const threads = whole('threads', 1, 4096);
  const depths = options.depths.split(',').map((text) => within('depths', text, 1, 64));
  const peers = listed('peers', PEERS);
  const builds = listed('builds', ['upstream', 'ours']);
  const types = listed('spec-types', SPEC_TYPES);
  const controller = options.ours ?? resolveController(undefined).name;
  resolveController(controller); // an unknown name ends here, before anything is built
  if ((options.model === undefined) !== (options.draft === undefined))
    throw new StepFailure('--model and --draft go together.', 'give both, or neither for the default pair');

  const folder = removeAtExit(mkdtempSync(join(tmpdir(), 'adaptive-spec-peers-')));
  const skipped = [];
  const wanted = [
    ...(peers.includes(SERVER) ? ['server'] : []),
    ...(peers.includes(SIMPLE) ? ['speculative'] : []),
  ];
  const tools = wanted.length > 0 ? await peerTools({ builds, tools: wanted }) : undefined;
  let library;
  if (peers.includes(NODE)) {
    const installed = await installNodeLlamaCpp();
    if ('folder' in installed) library = installed.folder;
    else skipped.push({ name: NODE, problem: installed.problem });
  }
  const pair =
    options.model === undefined
      ? await defaultPair()
      : { target: await resolveModel(options.model), draft: await resolveModel(options.draft) };
  // A draft with a vocabulary of its own is foreign to the peers; a draft of your own is taken as it is.
  const twin = options.model === undefined ? await makeTwin(folder, pair) : pair.draft;
  const prompts = await promptsWithFiles(folder, pair.target);
  const work = { target: pair.target, draft: twin, threads, maxTokens };

  const contenders = [
    ...oursAt(OURS, pair.draft, depths, controller, { folder, work }),
    ...(twin === pair.draft ? [] : oursAt(TWIN, twin, depths, controller, { folder, work })),
    ...(tools ? llamaCpp(peers, builds, tools, types, depths, work) : []),
    ...(library ? nodeLlamaCpp(library, depths, { folder, work }) : []),
  ];
  const load = await waitForQuiet();
  const random = randomFrom(7);
  const samples = [];
  for (let round = 1; round <= rounds; round++) {
    for (const [i, { name, setting, run }] of shuffled(contenders, random).entries()) {
      say(`round ${round} of ${rounds}, ${i + 1} of ${contenders.length}: ${name}, ${setting}`);
      const runs = await run(prompts);
      for (const figures of runs)
        samples.push(checked({ name, setting, round, ...figures }, prompts, maxTokens));
    }
  }
  const result = summarise(samples, controller, builds, types, skipped);
  writeReport(options.out, {
    what: 'tokens per second of decode by each engine’s own timing; ratios: adaptive-spec over the peer, per prompt',
    command: `node bench/peers.mjs --prompts ${prompts.length} --max-tokens ${maxTokens} --depths ${depths} --rounds ${rounds} --threads ${threads} --peers ${peers} --builds ${builds} --spec-types ${types} --ours ${controller}`,
    models: [pair.target, pair.draft, twin],
    loadBefore: load,
    ...result,
    samples,
  });
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else print(result);
});

/** Ours: plain, every depth, and the controller. */
function oursAt(name, draft, depths, controller, { folder, work }) {
  const settings = [
    [PLAIN, { draft, depth: 0 }],
    ...depths.map((depth) => [`fixed K=${depth}`, { draft, depth }]),
    [controller, { draft, controller }],
  ];
  return settings.map(([setting, how]) => ({
    name,
    setting,
    run: (prompts) => runWorker('peer-ours.mjs', folder, { ...work, prompts, setting: how }),
  }));
}

/** llama.cpp's programs in every build: the server plain and with each drafter, the other with the draft model alone. */
function llamaCpp(peers, builds, tools, types, depths, work) {
  return builds.flatMap((build) => {
    const suffix = builds.length > 1 ? `, ${build} build` : '';
    const at = (name, setting, how, run) => ({
      name,
      setting: setting + suffix,
      run: (prompts) => run(work, { ...how, build }, prompts),
    });
    const { server, speculative } = tools[build];
    const onServer = (setting, how) => at(SERVER, setting, how, (...args) => runServer(server, ...args));
    return [
      onServer(PLAIN, {}),
      ...types.flatMap((type) => [
        // A draft model's default depth is one among others; an n-gram drafter's is a part of its design.
        ...(type === 'draft-simple' ? [] : [onServer(`${type}, its defaults`, { type })]),
        ...(type === 'ngram-cache'
          ? []
          : depths.map((depth) => onServer(`${type}, K=${depth}`, { type, depth }))),
      ]),
      ...depths.map((depth) =>
        at(SIMPLE, `draft-simple, K=${depth}`, { depth }, (...args) => runSimple(speculative, ...args)),
      ),
    ].filter(({ name }) => peers.includes(name));
  });
}

/** Its predictors as they come, and its draft predictor at fixed depths. */
function nodeLlamaCpp(library, depths, { folder, work }) {
  const fixed = (depth) => ({ minTokens: depth, maxTokens: depth, minConfidence: 0 });
  const settings = [
    [PLAIN, { predictor: 'none' }],
    ['draft predictor, its defaults', { predictor: 'draft' }],
    ...depths.map((depth) => [`draft predictor, K=${depth}`, { predictor: 'draft', options: fixed(depth) }]),
    ['input lookup, its defaults', { predictor: 'lookup' }],
  ];
  return settings.map(([setting, how]) => ({
    name: NODE,
    setting,
    run: (prompts) =>
      runWorker('peer-node-llama-cpp.mjs', folder, { ...work, prompts, library, setting: how }),
  }));
}

/** The sample with its kind; throws where the engine did not do the work that it was asked for. */
function checked(sample, prompts, maxTokens) {
  const { kind, ids } = prompts.find(({ id }) => id === sample.promptId);
  if (sample.promptTokens !== ids.length)
    throw new Error(`${sample.name} read ${sample.promptTokens} prompt tokens of ${ids.length}`);
  // llama-speculative-simple ends after the step in which the limit is passed.
  if (sample.emitted < maxTokens)
    throw new Error(`${sample.name} emitted ${sample.emitted} tokens of ${maxTokens} (${sample.promptId})`);
  return { ...sample, kind };
}

function summarise(samples, controller, builds, types, skipped) {
  const remark = ({ name, setting }) => (name === NODE && setting !== PLAIN ? CAPPED : undefined);
  const isFixed = (setting) => setting.startsWith('fixed');
  const ours = { name: OURS, setting: controller };
  const opponents = [
    { name: OURS, setting: PLAIN },
    { name: OURS, setting: bestSetting(samples, OURS, isFixed) },
    // Each peer's best, and its best with a draft where plain decoding is its best; of the server, each drafter's best.
    ...PEERS.flatMap((name) =>
      [
        ...new Set([
          bestSetting(samples, name),
          bestSetting(samples, name, (each) => !each.startsWith(PLAIN)),
          ...(name === SERVER
            ? types.map((type) => bestSetting(samples, name, (each) => each.startsWith(`${type},`)))
            : []),
        ]),
      ]
        .filter((setting) => setting !== undefined)
        .map((setting) => ({ name, setting })),
    ),
  ];
  const plain = { name: SERVER, setting: builds.length > 1 ? `${PLAIN}, ${builds[0]} build` : PLAIN };
  return {
    peers: rows(samples, remark),
    ratios: opponents.map((opponent) => comparison(samples, ours, opponent)),
    byKind: PEERS.flatMap((name) => byKind(samples, ours, name)),
    agreement: {
      withOurPlain: agreement(samples, { name: OURS, setting: PLAIN }),
      withLlamaServerPlain: agreement(samples, plain),
      withNodeLlamaCppPlain: agreement(samples, { name: NODE, setting: PLAIN }).filter(
        ({ name }) => name === NODE,
      ),
    },
    skipped,
    remarks: samples.some(({ name }) => name === NODE) ? [CAPPED] : [],
  };
}

function print({ peers, ratios, byKind: kinds, agreement: agreed, skipped, remarks }) {
  for (const { name, setting, kind, tokensPerSecond, note } of peers)
    if (kind === 'all') console.log(`${name}, ${setting}: ${tokensPerSecond.toFixed(1)} t/s (${note})`);
  for (const { ours, peer, ratio } of ratios) {
    const interval = `${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}`;
    console.log(
      `${ours.name}, ${ours.setting} / ${peer.name}, ${peer.setting} = ${ratio.value.toFixed(3)} (${interval})`,
    );
  }
  for (const { kind, ours, peer, ratio } of kinds)
    console.log(
      `${kind}: ${ours.name}, ${ours.setting} / ${peer.name}'s fastest there, ${peer.setting} = ${ratio.value.toFixed(3)}`,
    );
  for (const [reference, list] of Object.entries(agreed))
    for (const { name, setting, compared, equal } of list)
      if (equal < compared)
        console.log(`${name}, ${setting}: ${equal} of ${compared} outputs equal ${reference}`);
  for (const { name, problem } of skipped) console.log(`${name} was not measured: ${problem}`);
  for (const line of remarks) console.log(line);
}

async function makeTwin(folder, { target, draft }) {
  const out = join(folder, 'twin.gguf');
  const script = join(root, 'bench/full-vocabulary-twin.mjs');
  await runToEnd(process.execPath, [script, '--draft', draft, '--target', target, '--out', out]);
  return out;
}

async function promptsWithFiles(folder, model) {
  const count = whole('prompts', 1, 10_000);
  const prompts = await chatPrompts({ file: options['prompts-file'], count, model });
  return prompts.map((prompt, i) => {
    const file = join(folder, `prompt-${i}.txt`);
    writeFileSync(file, prompt.text);
    return { ...prompt, file };
  });
}

function whole(name, min, max) {
  return within(name, options[name], min, max);
}

function within(name, text, min, max) {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw new StepFailure(
      `--${name} has ${JSON.stringify(text)}.`,
      `give whole numbers from ${min} to ${max}`,
    );
  return value;
}

function listed(name, known) {
  const names = options[name].split(',').filter(Boolean);
  const unknown = names.find((each) => !known.includes(each));
  if (unknown !== undefined || names.length === 0)
    throw new StepFailure(
      `--${name} has ${JSON.stringify(unknown ?? '')}.`,
      `choose among ${known.join(',')}`,
    );
  return names;
}
