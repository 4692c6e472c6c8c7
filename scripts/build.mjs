// Gets the addon into build/Release: what is there already, what the cache has, or what CMake builds.
// Run as a program (`npm run build`) it always builds, through node-gyp as a package manager would.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { addonKey, cpuFlags, sourcesKey, variantAsked } from './addon-key.mjs';
import { cacheRoot } from './cache.mjs';
import { ensureSource } from './source.mjs';
import { isMain, main, root, run, StepFailure, say } from './steps.mjs';
import { checkTools } from './tools.mjs';

const cmakeFolder = join(root, 'build/cmake');
const FAILED = 'mend what the compiler says above, or report it with the lines above';

/** Where prebuilds for this platform are. */
export const prebuildFolder = join(root, 'prebuilds', `${process.platform}-${process.arch}`);

/** What node-gyp needs so that it fetches no Node headers: the addon takes Node-API's from npm. */
export const withoutNodeHeaders = {
  npm_config_nodedir: join(root, 'cmake/node-gyp'),
  npm_config_force_process_config: 'true',
};

/** Makes sure that a load of this package finds an addon that was made from these sources. */
export async function ensureAddon() {
  const built = join(root, 'build/Release/adaptive_spec.node');
  const tuned = isBuilt(built) || existsSync(cachedFor(built));
  if (!tuned && process.env.ADAPTIVE_SPEC_BUILD !== '1' && prebuildFits()) {
    say('using the prebuilt addon; ADAPTIVE_SPEC_BUILD=1 builds one tuned for this CPU');
    rmSync(built, { force: true }); // it would be found before the prebuild, and is stale
    return;
  }
  await ensureBuilt(built, 'adaptive_spec');
}

/** True where `prebuilds/` holds an addon made from these sources. */
export function prebuildIsCurrent() {
  const made = readText(join(prebuildFolder, 'prebuild.json'));
  return made !== undefined && JSON.parse(made).sources === sourcesKey();
}

function prebuildFits() {
  if (!prebuildIsCurrent()) return false;
  if (process.platform !== 'linux' || process.arch !== 'x64') return true;
  const flags = new Set(cpuFlags().split(' '));
  return ['avx2', 'fma', 'bmi1', 'bmi2', 'f16c', 'movbe', 'abm'].every((flag) => flags.has(flag));
}

async function ensureBuilt(file, target) {
  if (isBuilt(file)) return;
  const cached = cachedFor(file);
  if (existsSync(cached)) {
    moveCopy(cached, file);
    stamp(file);
    return;
  }
  checkTools();
  await ensureSource();
  await buildTarget(target);
  store(file);
}

/** Configures and builds one target of CMakeLists.txt in build/cmake; what is up to date there is left alone. */
export async function buildTarget(target) {
  say(`building ${target}`);
  const home = readText(join(cmakeFolder, 'CMakeCache.txt'))?.match(
    /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m,
  )?.[1];
  if (home !== undefined && home !== root) rmSync(cmakeFolder, { recursive: true }); // CMake refuses a moved one
  const cmakeJs = [
    join(root, 'node_modules/cmake-js/bin/cmake-js'),
    '--out',
    cmakeFolder,
    '--log-level',
    'warn',
  ];
  const portable = variantAsked() === 'portable' ? 'ON' : 'OFF';
  for (const step of [
    ['configure', `--CDADAPTIVE_SPEC_PORTABLE=${portable}`],
    ['build', '--target', target],
  ]) {
    const code = await run(process.execPath, [...cmakeJs, ...step], { stdout: 'stderr' });
    if (code !== 0) throw new StepFailure(`Building ${target} failed.`, FAILED);
  }
}

function cachedFor(file) {
  return join(cacheRoot(), `addon-${addonKey(variantAsked())}`, basename(file));
}

/** Puts a fresh build into the cache, and notes beside it what it was made from. */
function store(file) {
  moveCopy(file, cachedFor(file));
  stamp(file);
}

/** Copies in one move, so that a process that has the old file open keeps it, and none sees half of the new. */
function moveCopy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  const partial = `${to}.${process.pid}`;
  copyFileSync(from, partial);
  renameSync(partial, to);
}

// The stamp holds size and time too: a build by hand in between must not pass as this one.
function stampOf(file) {
  const { size, mtimeMs } = statSync(file);
  return { key: addonKey(variantAsked()), size, mtimeMs };
}

function stamp(file) {
  writeFileSync(`${file}.json`, JSON.stringify(stampOf(file)));
}

function isBuilt(file) {
  return existsSync(file) && readText(`${file}.json`) === JSON.stringify(stampOf(file));
}

function readText(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

if (isMain(import.meta.url)) {
  await main(async () => {
    checkTools({ gyp: true });
    await ensureSource();
    const nodeGyp = join(root, 'node_modules/node-gyp/bin/node-gyp.js');
    const code = await run(process.execPath, [nodeGyp, 'rebuild'], { env: withoutNodeHeaders });
    if (code !== 0) throw new StepFailure('Building the addon failed.', FAILED);
    store(join(root, 'build/Release/adaptive_spec.node'));
    say('built build/Release/adaptive_spec.node');
  });
}
