// Makes prebuilds/: the addon for any CPU of this platform's baseline (x86-64-v3), by stock prebuildify.
// Works in a copy of the sources, because node-gyp empties build/, where the addon tuned for this machine is.
import { cpSync, existsSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { addonKey, sourcesKey } from './addon-key.mjs';
import { prebuildFolder, prebuildIsCurrent, withoutNodeHeaders } from './build.mjs';
import { cacheRoot } from './cache.mjs';
import { ensureSource } from './source.mjs';
import { isMain, main, removeAtExit, root, run, StepFailure, say } from './steps.mjs';
import { checkTools } from './tools.mjs';

/** Makes sure that prebuilds/ holds an addon made from these sources. */
export async function ensurePrebuild() {
  if (prebuildIsCurrent()) return;
  const cached = join(cacheRoot(), `addon-${addonKey('portable')}`, basename(prebuildFolder));
  if (!existsSync(cached)) {
    const made = await build();
    copyFolder(made, cached);
  }
  copyFolder(cached, prebuildFolder);
}

/** Runs prebuildify in a copy of what it needs; returns the folder that it made. */
async function build() {
  checkTools({ gyp: true });
  await ensureSource();
  say('building the portable addon');
  const copy = removeAtExit(mkdtempSync(join(tmpdir(), 'adaptive-spec-prebuild-')));
  for (const name of ['package.json', 'binding.gyp', 'CMakeLists.txt', 'cmake', 'native', 'scripts']) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  for (const name of ['node_modules', 'llama.cpp']) symlinkSync(join(root, name), join(copy, name));
  const prebuildify = join(root, 'node_modules/prebuildify/bin.js');
  const target = ['--target', process.versions.node];
  const code = await run(process.execPath, [prebuildify, '--napi', '--strip', '--tag-libc', ...target], {
    cwd: copy,
    env: { ...withoutNodeHeaders, ADAPTIVE_SPEC_PORTABLE: 'ON' },
    stdout: 'stderr',
  });
  if (code !== 0) throw new StepFailure('prebuildify failed.', 'mend what it says above, and run again');

  const made = join(copy, 'prebuilds', basename(prebuildFolder));
  writeFileSync(join(made, 'prebuild.json'), `${JSON.stringify({ sources: sourcesKey() })}\n`);
  const licenses = join(made, 'licenses');
  cpSync(join(root, 'llama.cpp/licenses'), licenses, { recursive: true });
  cpSync(join(root, 'llama.cpp/LICENSE'), join(licenses, 'LICENSE-llama.cpp'));
  cpSync(join(root, 'llama.cpp/vendor/cpp-httplib/LICENSE'), join(licenses, 'LICENSE-cpp-httplib'));
  if (existsSync(join(root, 'NOTICE'))) cpSync(join(root, 'NOTICE'), join(made, 'NOTICE'));
  return made;
}

function copyFolder(from, to) {
  const partial = removeAtExit(`${to}.${process.pid}`);
  cpSync(from, partial, { recursive: true });
  rmSync(to, { recursive: true, force: true });
  renameSync(partial, to);
}

if (isMain(import.meta.url)) {
  await main(async () => {
    await ensurePrebuild();
    say(`${prebuildFolder} is up to date`);
  });
}
