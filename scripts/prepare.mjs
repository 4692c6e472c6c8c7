// Brings a checkout from nothing to usable: packages, llama.cpp's source, addon, compiled TypeScript, models.
// Every step looks first whether its work is done, so that a second run takes a second. Node's own modules only.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { hashFiles } from './addon-key.mjs';
import { ensureAddon } from './build.mjs';
import { ensureSource } from './source.mjs';
import { root, run, StepFailure, say } from './steps.mjs';

/** Does all of it. Throws StepFailure with the next command where a step cannot be done. */
export async function prepare() {
  checkNode();
  await ensurePackages();
  await ensureSource();
  await ensureAddon();
  await ensureCompiled();
  await ensureModels();
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const enough = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22;
  if (!enough) {
    throw new StepFailure(`Node ${process.versions.node} is too old.`, 'install Node 20.19, 22.12 or newer');
  }
}

/** Installs from the lockfile, unless node_modules has what it names already. */
async function ensurePackages() {
  const wanted = readJson(join(root, 'package-lock.json')).packages;
  // npm writes this list last, so an interrupted install is not mistaken for a whole one.
  const installed = readJson(join(root, 'node_modules/.package-lock.json'))?.packages ?? {};
  const complete = Object.entries(wanted).every(
    ([path, entry]) => path === '' || installed[path]?.version === entry.version || entry.optional,
  );
  if (complete) return;
  say('installing the packages that the lockfile names');
  const code = await run('npm', ['ci', '--no-audit', '--no-fund'], { stdout: 'stderr' });
  if (code !== 0) throw new StepFailure('npm ci failed.', 'run npm ci, and mend what it says');
}

/** Compiles lib/ to dist/, unless dist/ was made from these very files. */
async function ensureCompiled() {
  const compiler = readJson(join(root, 'node_modules/typescript/package.json')).version;
  const key = hashFiles(['lib', 'tsconfig.json'], compiler);
  const dist = join(root, 'dist');
  const stamp = join(root, 'node_modules/.adaptive-spec-dist');
  if (existsSync(dist) && existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
  say('compiling TypeScript');
  rmSync(dist, { recursive: true, force: true });
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const code = await run(process.execPath, [tsc], { stdout: 'stderr' });
  if (code !== 0) throw new StepFailure('TypeScript could not be compiled.', 'mend what tsc says above');
  writeFileSync(stamp, key);
}

/** Gets the default pair of models into the cache. */
async function ensureModels() {
  const { defaultPair } = await import(pathToFileURL(join(root, 'dist/models/download.js')).href);
  await defaultPair();
}

function readJson(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}
