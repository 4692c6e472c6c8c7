// llama.cpp's own tools, to measure against: built from the source that the addon links, in the cache, once for each
// way of building. Run as a program it builds them and prints the folders.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cacheRoot } from '../scripts/cache.mjs';
import { ensureSource, sourceFolder } from '../scripts/source.mjs';
import { isMain, main, run, StepFailure, say } from '../scripts/steps.mjs';

const TOOLS = ['llama-bench', 'llama-speculative-simple', 'llama-server'];

/** Each way of building, and what it sets beside upstream's defaults. */
const BUILDS = {
  /** As upstream builds by itself: shared libraries, OpenMP. */
  upstream: [],
  /** As the addon links it. */
  ours: ['-DBUILD_SHARED_LIBS=OFF', '-DGGML_OPENMP=OFF', '-DGGML_LLAMAFILE=OFF'],
};

/**
 * Builds what is missing. Answers {upstream: {bench, speculative, server}, ours: {…}}, paths of programs.
 * @returns {Promise<Record<'upstream' | 'ours', { bench: string, speculative: string, server: string }>>}
 */
export async function peerTools() {
  const tree = await ensureSource();
  const paths = {};
  for (const [name, options] of Object.entries(BUILDS)) {
    const key = createHash('sha256').update(`${tree} ${options}`).digest('hex').slice(0, 12);
    const folder = join(cacheRoot(), `tools-${name}-${key}`);
    if (!isComplete(folder)) await build(name, options, folder);
    const [bench, speculative, server] = TOOLS.map((tool) => join(folder, 'bin', tool));
    paths[name] = { bench, speculative, server };
  }
  return paths;
}

/** Whether every tool is there; the marker names those that were built. */
function isComplete(folder) {
  const marker = join(folder, 'complete');
  return existsSync(marker) && readFileSync(marker, 'utf8') === TOOLS.join(' ');
}

async function build(name, options, folder) {
  say(`building ${TOOLS.join(', ')} (${name}), about 10 minutes on two cores, once`);
  // CMake refuses a folder that another checkout began.
  const cache = join(folder, 'CMakeCache.txt');
  if (
    existsSync(cache) &&
    !readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${sourceFolder}\n`)
  )
    rmSync(folder, { recursive: true });
  mkdirSync(folder, { recursive: true });
  // What no tool here needs: network, user interface, tests.
  const common = [
    '-DCMAKE_BUILD_TYPE=Release',
    '-DLLAMA_OPENSSL=OFF',
    '-DLLAMA_BUILD_TESTS=OFF',
    '-DLLAMA_BUILD_SERVER=ON',
    '-DLLAMA_BUILD_UI=OFF',
    '-DLLAMA_USE_PREBUILT_UI=OFF',
    '-DLLAMA_BUILD_APP=OFF',
    '-DGGML_CCACHE=OFF',
  ];
  for (const args of [
    ['-S', sourceFolder, '-B', folder, '-G', 'Ninja', '--log-level=WARNING', ...common, ...options],
    [
      '--build',
      folder,
      '--parallel',
      String(availableParallelism()),
      ...TOOLS.flatMap((tool) => ['--target', tool]),
    ],
  ]) {
    if ((await run('cmake', args, { stdout: 'stderr' })) !== 0)
      throw new StepFailure(`Building llama.cpp's tools (${name}) failed.`, 'mend what CMake says above');
  }
  writeFileSync(join(folder, 'complete'), TOOLS.join(' '));
}

if (isMain(import.meta.url)) {
  await main(async () => process.stdout.write(`${JSON.stringify(await peerTools(), null, 2)}\n`));
}
