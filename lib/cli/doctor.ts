// `adaptive-spec doctor`: what is in place, what is missing, and the command that mends it.

import { existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import type { Command } from 'commander';
import { bindingPath, loadBinding, type NativeBinding, packageRoot } from '../binding.js';
import { createEngine, type Engine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import { defaultPairPaths } from '../models/download.js';
import { checkGguf } from '../models/gguf-check.js';
import { estimateMemory, memoryAvailable } from '../models/memory.js';
import { type EngineOptions, threadLimit } from '../options.js';
import { coloursFor, print, size } from './console.js';
import { addEngineFlags, type EngineFlags, engineOptionsOf } from './engine-flags.js';
import { bytesOf, placement, placementFacts } from './placement.js';

type Status = 'ok' | 'advice' | 'failed';

interface Finding {
  check: string;
  status: Status;
  detail: string;
  hint?: string;
}

export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description('check the addon, the CPU, memory and the models, and generate eight tokens as a test')
    .option('--json', 'as JSON');
  addEngineFlags(command).action(async (flags: EngineFlags & { json?: boolean }) => {
    const findings: Finding[] = [];
    for await (const finding of examine(engineOptionsOf(flags))) {
      findings.push(finding);
      if (!flags.json) show(finding);
    }
    if (flags.json) print(JSON.stringify(findings));
    if (findings.some(({ status }) => status === 'failed')) process.exitCode = 1;
  });
}

async function* examine(options: EngineOptions): AsyncGenerator<Finding, void, undefined> {
  yield found('node', 'ok', `${process.version}, ${process.platform}-${process.arch}`);
  let binding: NativeBinding;
  try {
    binding = loadBinding();
    yield found('addon', 'ok', `${binding.variant}, llama.cpp ${binding.llamaVersion}, ${bindingPath()}`);
  } catch (error) {
    yield failed('addon', error);
    return;
  }
  yield cpuFinding(binding);

  const model = options.model ?? defaultPairPaths().target;
  const { detail, hints } = placement(options, placementFacts(), bytesOf(model));
  yield found(
    'threads',
    hints.length > 0 ? 'advice' : 'ok',
    detail,
    hints.length > 0 ? hints.join(' ') : undefined,
  );
  if (options.model === undefined && !existsSync(model)) {
    yield found('models', 'advice', 'the default target is not downloaded', 'Run: adaptive-spec models pull');
    return;
  }
  if (existsSync(model)) {
    try {
      yield memoryFinding(model, options);
    } catch (error) {
      yield failed('model', error);
      return;
    }
  }
  let engine: Engine;
  try {
    engine = await createEngine(options);
  } catch (error) {
    yield failed('pair', error);
    return;
  }
  try {
    const { description, draft, drafters, threads, kernels } = engine.info;
    const drafting = draft === undefined ? 'no draft model' : `draft ${draft}`;
    if (draft !== undefined && drafters.length === 0)
      yield found('pair', 'advice', `${description}; ${drafting} can't be used with it`);
    else
      yield found(
        'pair',
        'ok',
        `${description}, ${drafting}, ${threads} threads, ${kernels} kernels, ${costsAge(engine)}`,
      );
    yield await selfTest(engine);
  } catch (error) {
    yield failed('self-test', error);
  } finally {
    await engine.close();
  }
}

/** What the addon uses of this CPU, and whether one built here would use more. */
function cpuFinding(binding: NativeBinding): Finding {
  const kernels = binding.availableKernels();
  const name = `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${threadLimit()} threads usable; kernels ${kernels.join(', ')}`;
  const unused = binding.variant === 'portable' ? beyondBaseline() : [];
  if (unused.length === 0) return found('cpu', 'ok', `${name}; ggml uses ${usedFeatures(binding)}`);
  // Our kernels take what the CPU has in every build; what they leave to ggml is little of the time.
  return found(
    'cpu',
    kernels.length > 1 ? 'ok' : 'advice',
    `${name}; ggml's part of the prebuilt addon leaves ${unused.join(', ')} unused`,
    `A build for this CPU may be faster: cd ${packageRoot} && npm install && npm run build`,
  );
}

/** Features that ggml has kernels for and that x86-64-v3 does not include. */
function beyondBaseline(): string[] {
  try {
    const flags = new Set(
      /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.trim().split(/\s+/),
    );
    return ['avx512f', 'avx512_vnni', 'avx512_bf16', 'avx_vnni', 'amx_int8'].filter((name) =>
      flags.has(name),
    );
  } catch {
    return [];
  }
}

function usedFeatures(binding: NativeBinding): string {
  return [...binding.systemInfo().matchAll(/(\w+) = 1/g)].map(([, feature]) => feature).join(' ');
}

function memoryFinding(model: string, options: EngineOptions): Finding {
  const info = checkGguf(model);
  const contextSize = options.contextSize ?? Math.min(4096, info.contextLength);
  const { total } = estimateMemory(info, {
    contextSize,
    parallel: options.parallel ?? 1,
    kvCacheType: options.kvCacheType ?? 'f16',
    rows: 33,
    repacked: options.kernels !== 'ggml',
  });
  const available = memoryAvailable();
  const detail = `${size(total)} for the target at ${contextSize} tokens, ${size(available)} available`;
  if (total <= available) return found('memory', 'ok', detail);
  return found(
    'memory',
    'advice',
    detail,
    'Use a smaller context, a smaller KV cache type or a smaller model.',
  );
}

/** Whether controllers know what a step costs, and since when. */
function costsAge({ costsOrigin }: Engine): string {
  if (!costsOrigin) return 'costs not measured yet (adaptive-spec calibrate)';
  const days = Math.floor((Date.now() - Date.parse(costsOrigin.measuredAt)) / 86_400_000);
  const age = days < 1 ? 'today' : days === 1 ? 'a day ago' : `${days} days ago`;
  return costsOrigin.source === 'live' ? `costs learned ${age}` : `costs measured ${age}`;
}

/** Eight tokens, drafted and plain: they must be the same. */
async function selfTest(engine: Engine): Promise<Finding> {
  const request = { prompt: 'The capital of France is', maxTokens: 8, ignoreEos: true };
  const plain = await engine.generate({ ...request, controller: 'off' });
  const drafted = await engine.generate({ ...request, controller: () => 4 });
  const equal = plain.tokens.join() === drafted.tokens.join();
  const speed = `${plain.stats.tokensPerSecond.toFixed(1)} t/s plain`;
  if (equal) return found('self-test', 'ok', `eight tokens, drafted as plain; ${speed}`);
  return found(
    'self-test',
    'failed',
    `drafted tokens ${drafted.tokens.join(' ')} are not the plain ones ${plain.tokens.join(' ')}`,
    'Please report this with the output of `adaptive-spec doctor --json`.',
  );
}

function found(check: string, status: Status, detail: string, hint?: string): Finding {
  return { check, status, detail, ...(hint === undefined ? {} : { hint }) };
}

function failed(check: string, error: unknown): Finding {
  if (error instanceof AdaptiveSpecError)
    return found(check, 'failed', `${error.code}: ${error.message}`, error.hint);
  return found(check, 'failed', error instanceof Error ? error.message : String(error));
}

function show({ check, status, detail, hint }: Finding): void {
  const { green, yellow, red } = coloursFor(process.stdout);
  const mark = { ok: green('ok    '), advice: yellow('advice'), failed: red('failed') }[status];
  print(`${mark}  ${check}: ${detail}`);
  if (hint !== undefined) print(`        ${hint}`);
}
