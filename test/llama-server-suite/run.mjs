// `npm run test:llama-server`: llama.cpp's own tests of its server, against `adaptive-spec serve` on the default pair.
// Arguments go to pytest, such as -k tokenize; without any, a report is written. The last line counts.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheRoot } from '../../scripts/cache.mjs';
import { prepare } from '../../scripts/prepare.mjs';
import { capture, main, removeAtExit, root, run, StepFailure, say } from '../../scripts/steps.mjs';

const suite = join(root, 'test/llama-server-suite');
const upstream = join(root, 'llama.cpp/tools/server/tests');
/** A draft that a test module would download before its tests are asked for; the server takes its own. */
const DRAFT = 'stories15M-q4_0.gguf';

/** A Python with what the tests import, made anew for other requirements. */
async function ensurePython() {
  const requirements = join(suite, 'requirements.txt');
  const key = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
  const folder = join(cacheRoot(), `llama-server-suite-${key}`);
  const python = join(folder, 'bin/python');
  if (existsSync(python)) return python;
  const system = ['python3', 'python'].find((name) => capture(name, ['--version'])?.startsWith('Python 3'));
  if (!system)
    throw new StepFailure('There is no Python 3, which these tests are written in.', 'install python3');
  say('installing what the tests import');
  mkdirSync(cacheRoot(), { recursive: true });
  const made = removeAtExit(mkdtempSync(`${folder}-`));
  if ((await run(system, ['-m', 'venv', made], { stdout: 'stderr' })) !== 0) {
    throw new StepFailure('Python can make no virtual environment.', 'install python3-venv');
  }
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements];
  if ((await run(join(made, 'bin/python'), install, { stdout: 'stderr' })) !== 0) {
    throw new StepFailure("pip can't install what the tests import.", 'see what it says above');
  }
  try {
    renameSync(made, folder);
  } catch (error) {
    // Another run may have been faster.
    if (!existsSync(python)) throw error;
  }
  return python;
}

await main(async () => {
  const python = await ensurePython();
  await prepare();
  const folder = removeAtExit(mkdtempSync(join(tmpdir(), 'adaptive-spec-suite-')));
  mkdirSync(join(folder, 'tmp'));
  writeFileSync(join(folder, 'tmp', DRAFT), '');
  const report = join(folder, 'report.json');
  const asked = process.argv.slice(2);
  const [loadBefore] = loadavg();
  const began = performance.now();
  const code = await run(
    python,
    [
      ...['-m', 'pytest', '--noconftest', '-p', 'adaptive_spec_suite', '-p', 'no:cacheprovider'],
      ...[`--rootdir=${upstream}`, '-c', join(upstream, 'pytest.ini'), '--tb=short', ...asked],
      ...(asked.some((argument) => argument.includes('.py')) ? [] : [join(upstream, 'unit')]),
    ],
    {
      cwd: folder,
      stdout: 'stderr',
      env: {
        PYTHONPATH: `${suite}:${upstream}`,
        // Nothing is written into llama.cpp's tree.
        PYTHONDONTWRITEBYTECODE: '1',
        LLAMA_SERVER_BIN_PATH: join(suite, 'llama-server.mjs'),
        ADAPTIVE_SPEC_SUITE_REPORT: report,
      },
    },
  );
  if (!existsSync(report)) throw new StepFailure('pytest has not run.', 'see what it says above');
  const { passed, failed, inPart, leftOut, collected, groups, files } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  const reasons = JSON.parse(readFileSync(join(suite, 'left-out.json'), 'utf8'));
  for (const [name, count] of Object.entries(groups)) {
    process.stdout.write(`left out: ${count} (${name}): ${reasons[name].reason}\n`);
  }
  // The environment may have narrowed it too.
  if (asked.length === 0 && passed + failed + leftOut >= collected) {
    // What they import is compiled by now.
    const { writeReport } = await import('../../bench/report.mjs');
    const { defaultPairPaths } = await import('../../dist/models/download.js');
    const { target, draft } = defaultPairPaths();
    writeReport(join(root, 'bench/results/llama-server-tests.json'), {
      what: "llama.cpp's own tests of its server, against adaptive-spec serve on the default pair",
      command: 'npm run test:llama-server',
      models: [target, draft],
      loadBefore,
      minutes: Math.round((performance.now() - began) / 6000) / 10,
      counts: { collected, passed, inPart, failed, leftOut },
      files: Object.fromEntries(Object.entries(files).sort()),
      leftOut: groups,
    });
  }
  process.stdout.write(
    `${passed} passed (${inPart} of them in part), ${failed} failed, ${leftOut} left out, of ${collected}\n`,
  );
  process.exitCode = code === 0 && failed === 0 && passed > 0 ? 0 : 1;
});
