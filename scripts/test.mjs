// `npm test`: everything that the tests need, then the tests. Arguments go to vitest; the last line counts.
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePrebuild } from './prebuild.mjs';
import { prepare } from './prepare.mjs';
import { isMain, main, removeAtExit, root, run } from './steps.mjs';

/** Numbers of single tests. A file that didn't load, an error outside of tests, and no test at all count as failed. */
export function count(report, code) {
  let results;
  try {
    results = JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    return { passed: 0, failed: 1 };
  }
  const passed = results.numPassedTests;
  const unloaded = results.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  const failed = results.numFailedTests + unloaded.length;
  const wrongElsewhere = failed === 0 && (code !== 0 || passed === 0);
  return { passed, failed: wrongElsewhere ? 1 : failed };
}

if (isMain(import.meta.url)) {
  await main(async () => {
    await prepare();
    await ensurePrebuild();

    const report = join(removeAtExit(mkdtempSync(join(tmpdir(), 'adaptive-spec-test-'))), 'report.json');
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const code = await run(process.execPath, [vitest, 'run', ...reporters, ...process.argv.slice(2)]);
    const { passed, failed } = count(report, code);
    process.stdout.write(`${passed} passed, ${failed} failed\n`);
    process.exitCode = failed === 0 ? 0 : 1;
  });
}
