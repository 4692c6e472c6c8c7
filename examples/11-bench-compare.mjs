// Bench and compare, as a CI job does: the speeds of two arms are kept as a baseline, and a later run is held against it.
// Small enough to be over in seconds, and so no measurement: for one leave out the flags in `few`, on a quiet machine.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), 'bench-'));
const prompts = join(folder, 'prompts.jsonl');
const baseline = join(folder, 'baseline.json');
const asked = { code: 'Write a Python function that adds two numbers.', list: 'List the planets.' };
const lines = Object.entries(asked).map(([context, prompt]) => ({ id: context, context, prompt }));
writeFileSync(prompts, lines.map((line) => JSON.stringify(line)).join('\n'));

// On a command line: npx adaptive-spec bench …
const program = new URL('dist/cli/main.js', import.meta.resolve('adaptive-spec/package.json'));
const few = ['--profile', 'smoke', '--prompts', prompts, '--max-tokens', '24', '--allow-unfit'];
function bench(...flags) {
  const args = [fileURLToPath(program), 'bench', '--arms', 'fixed:2,auto', ...few, ...flags];
  return spawnSync(process.execPath, args, { encoding: 'utf8' });
}

const before = bench('--save-baseline', baseline);
if (before.status !== 0) throw new Error(before.stderr);
console.log(before.stdout);

const after = bench('--compare', baseline);
for (const line of after.stderr.split('\n')) if (line.includes('of the baseline')) console.log(line);
// 3 is a text that isn't plain decoding's: no speed is worth that.
const verdicts = { 0: 'no regression', 4: 'a regression', 5: 'not to be compared' };
if (!(after.status in verdicts)) throw new Error(after.stderr);
console.log(`exit code ${after.status}: ${verdicts[after.status]}`);

rmSync(folder, { recursive: true });
