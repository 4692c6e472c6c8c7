// What is left out of llama.cpp's own server tests is there, and has a reason; without Python the command says so.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';

const suite = resolve('test/llama-server-suite');
const unit = resolve('llama.cpp/tools/server/tests/unit');
const groups: Record<string, { reason: string; tests: string[] }> = JSON.parse(
  readFileSync(join(suite, 'left-out.json'), 'utf8'),
);
/** Tests of each file. */
const upstream = new Map(
  readdirSync(unit)
    .filter((file) => file.startsWith('test_') && file.endsWith('.py'))
    .map((file) => {
      const source = readFileSync(join(unit, file), 'utf8');
      return [file, [...source.matchAll(/^(?:async )?def (test_\w+)/gm)].map(([, name]) => name!)] as const;
    }),
);

it('every entry names a file, or a test in it, that upstream has, and none does so twice', () => {
  const entries = Object.values(groups).flatMap(({ tests }) => tests);
  expect(new Set(entries).size).toBe(entries.length);
  const stale = entries.filter((entry) => {
    const [file, test] = entry.split('::') as [string, string | undefined];
    const name = test?.replace(/\[.*$/s, '');
    return !upstream.has(file) || (name !== undefined && !upstream.get(file)!.includes(name));
  });
  expect(stale).toEqual([]);
});

it('every group has a reason in words', () => {
  for (const { reason, tests } of Object.values(groups)) {
    expect(reason).toMatch(/^[A-Z].{20,}\.$/s);
    expect(tests.length).toBeGreaterThan(0);
  }
});

it('no test is left out alone and with its whole file', () => {
  const entries = Object.values(groups).flatMap(({ tests }) => tests);
  const files = entries.filter((entry) => !entry.includes('::'));
  expect(entries.filter((entry) => files.some((file) => entry.startsWith(`${file}::`)))).toEqual([]);
});

it('the page has every reason, and counts that add up', () => {
  const page = readFileSync(resolve('docs/llama-server-tests.md'), 'utf8');
  const rows = new Map(
    [...page.matchAll(/^\| (.*) \| (\d+) \|$/gm)].map(([, reason, count]) => [reason, Number(count)]),
  );
  expect([...rows.keys()]).toEqual(Object.values(groups).map(({ reason }) => reason));
  const [, all, run, left] = /^Of (\d+) tests .* (\d+) run, and pass\. (\d+) are/m.exec(page)!.map(Number);
  expect([...rows.values()].reduce((a, b) => a + b)).toBe(left);
  expect(run! + left!).toBe(all);
});

it('without Python the command says what is missing', () => {
  const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-no-python-'));
  try {
    const env = { PATH: folder, ADAPTIVE_SPEC_CACHE: folder };
    const { status, stderr } = spawnSync(process.execPath, [join(suite, 'run.mjs')], {
      env,
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(stderr).toContain('There is no Python 3');
    expect(stderr).toContain('Next: install python3');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
