// Fills llama.cpp/ with the one version of llama.cpp that this package is built on. Run as a program it prints
// the tree's id. The source is fetched once into the cache; from there a checkout is filled without network.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoot } from './cache.mjs';
import { capture, isMain, main, removeAtExit, root, run, StepFailure, say } from './steps.mjs';

const TREE = 'fd570ef54b10ec5fecb739e7e04c8ce44a6f415a';
const TAG = 'v0.5.0';
// The commit that the gitlink names, byte for byte: it has no parent, so it can be made wherever its tree is.
const CI = 'node-llama-cpp-ci <node-llama-cpp-ci@node-llama-cpp-ci.node-llama-cpp-ci> 1790556072 +0000';
const COMMIT = `tree ${TREE}
author ${CI}
committer ${CI}

## SQUASHED ##

llama.cpp : bump version to 0.5.0 (#29333)
`;
const UPSTREAM = 'https://github.com/ggml-org/llama.cpp';
const PACKAGE = 'node-llama-cpp@3.22.1';
const PACKAGE_SHA512 =
  'bltIipuWmc123H7tMIgDGKSsSrhmhlQYeVUC48XTjVW7XGJJiJJyCdlTMzQ/LiWoPkGDpcL4FviDpgw7qfTiDw==';

/** llama.cpp's folder in the checkout. */
export const sourceFolder = join(root, 'llama.cpp');

/** Fills `llama.cpp/` where it is empty. Returns the tree's id; throws StepFailure where that tree cannot be had. */
export async function ensureSource() {
  const state = stateOf(sourceFolder);
  if (state === 'ready') return TREE;
  if (capture('git', ['--version']) === null) {
    throw new StepFailure("git is not there; llama.cpp's source comes through it.", 'apt-get install git');
  }
  if (state !== 'empty') {
    throw new StepFailure(
      `llama.cpp/ holds ${state}; only tree ${TREE} (${TAG}), unchanged, is used.`,
      `rm -rf ${sourceFolder} and run the command again; it is filled anew from the cache`,
    );
  }
  const cached = await ensureCached();
  say("filling llama.cpp/ with llama.cpp's source");
  const partial = temporaryFolder(root, '.llama.cpp-');
  await git('clone', '--quiet', '--no-checkout', cached, partial);
  const commit = capture('git', ['-C', partial, 'hash-object', '-t', 'commit', '-w', '--stdin'], {
    input: COMMIT,
  });
  await git('-C', partial, 'checkout', '--quiet', '--detach', commit);
  await git('-C', partial, 'remote', 'set-url', 'origin', UPSTREAM);
  moveInto(partial, sourceFolder);
  return TREE;
}

/** The cache's copy of the source, fetched where it isn't there. */
async function ensureCached() {
  const cached = join(cacheRoot(), `llama.cpp-${TREE.slice(0, 12)}`);
  const state = stateOf(cached);
  if (state === 'ready') return cached;
  if (state !== 'empty') {
    say(`the cached source holds ${state}; fetching it again`);
    rmSync(cached, { recursive: true, force: true });
  }
  mkdirSync(cacheRoot(), { recursive: true });
  const tried = [];
  for (const [name, fetchInto] of [
    [`tag ${TAG} of ${UPSTREAM}`, fromUpstream],
    [`the bundle in the npm package ${PACKAGE}`, fromPackage],
  ]) {
    say(`getting llama.cpp's source from ${name}`);
    const partial = temporaryFolder(cacheRoot(), '.llama.cpp-');
    const problem = (await fetchInto(partial)) ?? mismatch(partial);
    if (!problem) {
      moveInto(partial, cached);
      return cached;
    }
    say(`passed over: ${problem}`);
    tried.push(`  ${name}: ${problem}`);
  }
  throw new StepFailure(
    `llama.cpp's source (tree ${TREE}) could not be had. Tried:\n${tried.join('\n')}`,
    'run the command again with access to github.com or the npm registry, or put a clone of ' +
      `${UPSTREAM} at ${TAG} into ${cached}`,
  );
}

/** Clones the tag into `folder`; what went wrong, or undefined. */
async function fromUpstream(folder) {
  const env = { GIT_TERMINAL_PROMPT: '0' };
  // Asked first with a short limit: git itself would wait minutes for a host that doesn't answer.
  const known = await run('git', ['ls-remote', '--exit-code', UPSTREAM, `refs/tags/${TAG}`], {
    env,
    timeout: 15_000,
    stdout: 'ignore',
    stderr: 'ignore',
  });
  if (known !== 0) return 'not reachable';
  const slow = [
    '-c',
    'http.lowSpeedLimit=1000',
    '-c',
    'http.lowSpeedTime=30',
    '-c',
    'advice.detachedHead=false',
  ];
  const cloned = await run('git', [...slow, 'clone', '--depth', '1', '--branch', TAG, UPSTREAM, folder], {
    env,
    stdout: 'stderr',
  });
  return cloned === 0 ? undefined : 'the clone failed';
}

/** Fetches the npm package and checks out its git bundle in `folder`; what went wrong, or undefined. */
async function fromPackage(folder) {
  const download = temporaryFolder(cacheRoot(), '.npm-');
  say(`downloading ${PACKAGE}, 35 MB`);
  const options = [
    '--pack-destination',
    download,
    '--fetch-retries',
    '1',
    '--fetch-retry-mintimeout',
    '2000',
    '--loglevel',
    'error',
  ];
  const packed = await run('npm', ['pack', PACKAGE, ...options], { stdout: 'ignore' });
  const [tarball] = readdirSync(download);
  if (packed !== 0 || !tarball) return 'npm pack failed';
  const digest = createHash('sha512')
    .update(readFileSync(join(download, tarball)))
    .digest('base64');
  if (digest !== PACKAGE_SHA512) return `the package's hash is sha512-${digest}`;
  const bundle = 'package/llama/gitRelease.bundle';
  if ((await run('tar', ['-xzf', tarball, bundle], { cwd: download })) !== 0)
    return 'tar could not read the package';
  await git('init', '--quiet', folder);
  await git('-C', folder, 'fetch', '--quiet', join(download, bundle), 'HEAD');
  await git('-C', folder, 'checkout', '--quiet', '--detach', 'FETCH_HEAD');
  rmSync(download, { recursive: true, force: true });
}

/** What is in `folder`: 'ready', 'empty', or words for what else it holds. */
function stateOf(folder) {
  if (!existsSync(folder) || readdirSync(folder).length === 0) return 'empty';
  // Without this, git would answer for the repository around an unpacked folder.
  if (!existsSync(join(folder, '.git'))) return 'files that are no git checkout';
  const problem = mismatch(folder);
  if (problem) return problem;
  const changed = capture('git', [
    ...anyOwner,
    '-C',
    folder,
    'status',
    '--porcelain',
    '--untracked-files=no',
  ]);
  return changed === '' ? 'ready' : 'changed files';
}

function mismatch(folder) {
  const tree = capture('git', [...anyOwner, '-C', folder, 'rev-parse', 'HEAD^{tree}']);
  return tree === TREE ? undefined : `tree ${tree ?? 'unknown'}`;
}

// A cache or checkout that another user owns (a mounted volume, say) is judged by its tree like any other.
const anyOwner = ['-c', 'safe.directory=*'];

async function git(...args) {
  const code = await run('git', [...anyOwner, ...args], { stdout: 'stderr' });
  if (code !== 0)
    throw new StepFailure(`git ${args.join(' ')} failed.`, 'mend what git says above, and run again');
}

function temporaryFolder(parent, prefix) {
  return removeAtExit(mkdtempSync(join(parent, prefix)));
}

/** Puts a finished folder in its place in one move; another process may have been there first. */
function moveInto(finished, folder) {
  try {
    renameSync(finished, folder);
  } catch (error) {
    if (stateOf(folder) !== 'ready') throw error;
  }
}

if (isMain(import.meta.url)) await main(async () => process.stdout.write(`${await ensureSource()}\n`));
