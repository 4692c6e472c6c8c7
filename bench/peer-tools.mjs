// llama.cpp's own tools, to measure against: built from the source that the addon links, in the cache, once for each
// way of building. Run as a program it builds all of them and prints the paths.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cacheRoot } from '../scripts/cache.mjs';
import { ensureSource, sourceFolder } from '../scripts/source.mjs';
import { isMain, main, root, run, StepFailure, say } from '../scripts/steps.mjs';

const tileConfig = join(root, 'cmake/tile_config.h');

/** Programs by the names that callers use. */
const TOOLS = {
  bench: 'llama-bench',
  speculative: 'llama-speculative-simple',
  server: 'llama-server',
};

/** Each way of building, and what it sets beside upstream's defaults. */
const BUILDS = {
  /** As upstream builds by itself: shared libraries, OpenMP. */
  upstream: [],
  /** As the addon links it. */
  ours: ['-DBUILD_SHARED_LIBS=OFF', '-DGGML_OPENMP=OFF', '-DGGML_LLAMAFILE=OFF'],
};

/**
 * Builds what is missing of `tools` in `builds`, and nothing else: each build of all of them takes ten minutes. Answers
 * {upstream: {bench, speculative, server}, ours: {…}} with the paths of those that were asked for.
 * @param {{ builds?: string[], tools?: string[] }} [which]
 * @returns {Promise<Record<'upstream' | 'ours', { bench: string, speculative: string, server: string }>>}
 */
export async function peerTools({ builds = Object.keys(BUILDS), tools = Object.keys(TOOLS) } = {}) {
  const tree = await ensureSource();
  const paths = {};
  for (const name of builds) {
    const made = `${tree} ${BUILDS[name]} ${readFileSync(tileConfig)}`;
    const key = createHash('sha256').update(made).digest('hex').slice(0, 12);
    const folder = join(cacheRoot(), `tools-${name}-${key}`);
    const programs = tools.map((tool) => TOOLS[tool]);
    const built = completeIn(folder);
    const missing = programs.filter((program) => !built.includes(program));
    if (missing.length > 0) await build(name, folder, missing, built);
    paths[name] = Object.fromEntries(tools.map((tool) => [tool, join(folder, 'bin', TOOLS[tool])]));
  }
  return paths;
}

/** The programs that a finished build of `folder` has made: the marker names them. */
function completeIn(folder) {
  const marker = join(folder, 'complete');
  return existsSync(marker) ? readFileSync(marker, 'utf8').split(' ') : [];
}

async function build(name, folder, programs, built) {
  say(`building ${programs.join(', ')} (${name}), up to 10 minutes on two cores, once`);
  // CMake refuses a folder that another checkout began.
  const cache = join(folder, 'CMakeCache.txt');
  if (
    existsSync(cache) &&
    !readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${sourceFolder}\n`)
  ) {
    rmSync(folder, { recursive: true });
    built = [];
  }
  mkdirSync(folder, { recursive: true });
  // What no tool here needs: network, user interface, tests. And what the compiler needs to get AMX right.
  const common = [
    '-DCMAKE_BUILD_TYPE=Release',
    `-DCMAKE_CXX_FLAGS=-include "${tileConfig}"`,
    '-DLLAMA_OPENSSL=OFF',
    '-DLLAMA_BUILD_TESTS=OFF',
    '-DLLAMA_BUILD_SERVER=ON',
    '-DLLAMA_BUILD_UI=OFF',
    '-DLLAMA_USE_PREBUILT_UI=OFF',
    '-DLLAMA_BUILD_APP=OFF',
    '-DGGML_CCACHE=OFF',
  ];
  for (const args of [
    ['-S', sourceFolder, '-B', folder, '-G', 'Ninja', '--log-level=WARNING', ...common, ...BUILDS[name]],
    [
      '--build',
      folder,
      '--parallel',
      String(availableParallelism()),
      ...programs.flatMap((program) => ['--target', program]),
    ],
  ]) {
    if ((await run('cmake', args, { stdout: 'stderr' })) !== 0)
      throw new StepFailure(`Building llama.cpp's tools (${name}) failed.`, 'mend what CMake says above');
  }
  writeFileSync(join(folder, 'complete'), [...built, ...programs].join(' '));
}

if (isMain(import.meta.url)) {
  await main(async () => process.stdout.write(`${JSON.stringify(await peerTools(), null, 2)}\n`));
}
