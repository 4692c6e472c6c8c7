// llama.cpp's source from an upstream whose commit is another one, as the real one's is.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-source-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function git(repository: string, ...args: string[]) {
  const who = ['-c', 'user.name=test', '-c', 'user.email=test@localhost', '-c', 'safe.directory=*'];
  return execFileSync('git', [...who, '-C', repository, ...args], { encoding: 'utf8', stdio: 'pipe' }).trim();
}

it('gets the commit that the gitlink names from an upstream that has only its tree', () => {
  const upstream = join(folder, 'upstream');
  git(folder, 'clone', '--quiet', '--bare', resolve('llama.cpp'), upstream);
  const commit = git(upstream, 'commit-tree', 'HEAD^{tree}', '-m', 'release');
  git(upstream, 'tag', 'v0.5.0', commit);

  const checkout = join(folder, 'checkout');
  mkdirSync(checkout);
  cpSync(resolve('scripts'), join(checkout, 'scripts'), { recursive: true });
  const env = {
    ...process.env,
    ADAPTIVE_SPEC_CACHE: join(folder, 'cache'),
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: `url.file://${upstream}.insteadOf`,
    GIT_CONFIG_VALUE_0: 'https://github.com/ggml-org/llama.cpp',
  };
  const fill = () => {
    const options = { env, encoding: 'utf8', stdio: 'pipe' } as const;
    return execFileSync(process.execPath, [join(checkout, 'scripts/source.mjs')], options).trim();
  };
  expect(fill()).toBe('fd570ef54b10ec5fecb739e7e04c8ce44a6f415a');
  expect(git(join(folder, 'cache/llama.cpp-fd570ef54b10'), 'rev-parse', 'HEAD')).toBe(commit);
  expect(git(join(checkout, 'llama.cpp'), 'rev-parse', 'HEAD')).toBe(
    'de3ff815ea7d559ee917f063901b8986f038abc6',
  );
  expect(git(join(checkout, 'llama.cpp'), 'status', '--porcelain')).toBe('');

  // Once more, with the folder emptied and no upstream: from the cache, without network.
  rmSync(join(checkout, 'llama.cpp'), { recursive: true });
  rmSync(upstream, { recursive: true });
  expect(fill()).toBe('fd570ef54b10ec5fecb739e7e04c8ce44a6f415a');
});
