// The audit log under crashes, full disks, bad paths and several writers.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openAuditLog, readAuditLog } from '../../lib/observe/audit-log.js';

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  return { ...fs, writeSync: vi.fn(fs.writeSync) };
});
const realWrite = vi.mocked(writeSync).getMockImplementation()!;

const change = { from: 8, to: 12, acceptance: 0.6789, reason: 'high acceptance' };
const auditFailed = expect.objectContaining({ code: 'AUDIT_FAILED', hint: expect.stringContaining('drop') });

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'audit-log-'));
  path = join(folder, 'audit.jsonl');
});
afterEach(() => {
  vi.mocked(writeSync).mockReset().mockImplementation(realWrite);
  rmSync(folder, { recursive: true, force: true });
});

function open(options: Parameters<typeof openAuditLog>[0] = {}) {
  const warnings: { code: string; message: string }[] = [];
  const log = openAuditLog({ path, onWarning: (warning) => warnings.push(warning), ...options }, {})!;
  return { log, warnings };
}

describe('lines', () => {
  it('have exactly the promised keys, order and format', () => {
    const { log } = open();
    log.kChanged(change);
    log.kChanged({ from: 12, to: 4, acceptance: 0, reason: 'a "quote"\nand a new line' });
    log.close();
    const lines = readFileSync(path, 'utf8').split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(
      /^\{"ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","session":"adaptive_spec","level":"INFO","cat":"SPEC_ADJUST","msg":"K: 8 -> 12","details":"acceptance=0\.68, reason=high acceptance"\}$/,
    );
    expect(JSON.parse(lines[1]!).details).toBe('acceptance=0.00, reason=a "quote"\nand a new line');
    expect(lines[2]).toBe('');
  });

  it('are one write each, and short', () => {
    const { log } = open();
    for (let i = 0; i < 5; i++) log.kChanged({ ...change, reason: '🙂'.repeat(1e5) });
    expect(writeSync).toHaveBeenCalledTimes(5);
    expect(readAuditLog(path).entries).toHaveLength(5);
    expect(statSync(path).size).toBeLessThan(5 * 1024);
    log.close();
  });

  it('are added to what is there', () => {
    for (let i = 0; i < 3; i++) {
      const { log } = open();
      log.kChanged({ ...change, from: i });
      log.close();
    }
    expect(readAuditLog(path).entries.map(({ msg }) => msg)).toEqual([
      'K: 0 -> 12',
      'K: 1 -> 12',
      'K: 2 -> 12',
    ]);
    expect(readFileSync(path, 'utf8')).not.toContain('\n\n');
  });

  it('do not join a line that a crash has torn', () => {
    const { log } = open();
    log.kChanged(change);
    log.close();
    appendFileSync(path, '{"ts":"20');
    const later = open();
    later.log.kChanged(change);
    later.log.kChanged(change);
    later.log.close();
    expect(readAuditLog(path)).toEqual({
      entries: [expect.anything(), expect.anything(), expect.anything()],
      torn: 1,
    });
    expect(readFileSync(path, 'utf8')).not.toContain('\n\n');
  });

  it('leave a file alone while K does not change', () => {
    writeFileSync(path, '{"ts":"20');
    open().log.close();
    expect(readFileSync(path, 'utf8')).toBe('{"ts":"20');
  });
});

describe('where the log goes', () => {
  it('is nowhere by default', () => {
    expect(openAuditLog({}, {})).toBeUndefined();
    expect(openAuditLog({}, { ADAPTIVE_SPEC_AUDIT: '' })).toBeUndefined();
  });

  it('is said by the environment, and the option wins', () => {
    const other = join(folder, 'other.jsonl');
    openAuditLog({}, { ADAPTIVE_SPEC_AUDIT: other })!.close();
    expect(existsSync(other)).toBe(true);
    expect(openAuditLog({ path }, { ADAPTIVE_SPEC_AUDIT: other })!.path).toBe(path);
  });

  it('may be a folder that is not there yet', () => {
    path = join(folder, 'a', 'b', 'audit.jsonl');
    const { log } = open({ onError: 'fail' });
    log.kChanged(change);
    expect(readAuditLog(path).entries).toHaveLength(1);
  });

  it.each([
    [{ path: '' }],
    [{ path: 'a\0b' }],
    [{ path: 5 }],
    [{ path: null, onError: 'sometimes' }],
    [{ onError: 'ignore' }],
  ])('is refused as %j', (options) => {
    expect(() => openAuditLog(options as never, {})).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

describe('a log that cannot be opened', () => {
  const badPaths: [string, () => string][] = [
    ['a directory', () => folder],
    [
      'a path under a file, as in a read-only folder',
      () => {
        writeFileSync(join(folder, 'file'), '');
        return join(folder, 'file', 'audit.jsonl');
      },
    ],
    [
      'a path two levels under a file',
      () => {
        writeFileSync(join(folder, 'file'), '');
        return join(folder, 'file', 'more', 'audit.jsonl');
      },
    ],
  ];

  it.each(badPaths)('drops its lines: %s', (_, bad) => {
    const { log, warnings } = open({ path: bad() });
    expect(warnings).toEqual([
      { code: 'AUDIT_FAILED', message: expect.stringMatching(/E(ISDIR|NOTDIR|EXIST)/) },
    ]);
    log.kChanged(change);
    log.kChanged(change);
    log.close();
    expect(log.dropped).toBe(2);
    expect(warnings).toHaveLength(1);
  });

  it.each(badPaths)("fails under 'fail': %s", (_, bad) => {
    expect(() => open({ path: bad(), onError: 'fail' })).toThrow(auditFailed);
  });

  it('is a named pipe that nobody reads, rather than a wait for ever', async () => {
    await once(spawn('mkfifo', [path]), 'exit');
    const { log, warnings } = open();
    log.kChanged(change);
    expect(log.dropped).toBe(1);
    expect(warnings[0]!.message).toContain('ENXIO');
  });
});

describe('a full disk', () => {
  it('loses lines, counts them and warns once', () => {
    const { log, warnings } = open({ path: '/dev/full' });
    for (let i = 0; i < 3; i++) log.kChanged(change);
    log.close();
    expect(log.dropped).toBe(3);
    expect(warnings).toEqual([{ code: 'AUDIT_FAILED', message: expect.stringContaining('ENOSPC') }]);
  });

  it("throws under 'fail', with the system's error as cause", () => {
    const { log, warnings } = open({ path: '/dev/full', onError: 'fail' });
    expect(() => log.kChanged(change)).toThrow(auditFailed);
    expect(() => log.kChanged(change)).toThrow(
      expect.objectContaining({ cause: expect.objectContaining({ code: 'ENOSPC' }) }),
    );
    expect(log.dropped).toBe(2);
    expect(warnings).toEqual([]);
  });

  it('that takes half a line loses this one only', () => {
    const { log, warnings } = open();
    vi.mocked(writeSync).mockImplementationOnce(((file: number, line: Buffer) =>
      realWrite(file, line.subarray(0, line.length >> 1) as never)) as never);
    log.kChanged({ ...change, from: 1 });
    vi.mocked(writeSync).mockImplementationOnce(() => {
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    });
    log.kChanged({ ...change, from: 2 });
    log.kChanged({ ...change, from: 3 });
    log.kChanged({ ...change, from: 4 });
    const { entries, torn } = readAuditLog(path);
    expect(entries.map(({ msg }) => msg)).toEqual(['K: 3 -> 12', 'K: 4 -> 12']);
    expect(torn).toBe(1);
    expect(log.dropped).toBe(2);
    expect(warnings).toHaveLength(1);
  });

  it('survives a listener that throws', () => {
    const onWarning = () => {
      throw new Error('listener');
    };
    const { log } = open({ path: '/dev/full', onWarning });
    log.kChanged(change);
    expect(log.dropped).toBe(1);
  });
});

describe('a closed log', () => {
  it('may be closed again, and counts what comes too late', () => {
    const { log, warnings } = open();
    log.close();
    log.close();
    expect(warnings).toEqual([]);
    log.kChanged(change);
    expect(log.dropped).toBe(1);
    expect(statSync(path).size).toBe(0);
  });

  it("throws under 'fail'", () => {
    const { log } = open({ onError: 'fail' });
    log.close();
    expect(() => log.kChanged(change)).toThrow(auditFailed);
  });
});

describe('readAuditLog', () => {
  it('has a typed error for a file that is not there', () => {
    expect(() => readAuditLog(join(folder, 'none'))).toThrow(
      expect.objectContaining({ code: 'AUDIT_FAILED' }),
    );
  });
});

describe('other processes', () => {
  let program: string;
  let script: string;

  // Children can't run TypeScript: they get the two files as JavaScript.
  beforeAll(() => {
    program = mkdtempSync(join(tmpdir(), 'audit-child-'));
    mkdirSync(join(program, 'lib', 'observe'), { recursive: true });
    writeFileSync(join(program, 'package.json'), '{"type":"module"}');
    for (const file of ['lib/errors', 'lib/observe/audit-log']) {
      const source = readFileSync(new URL(`../../${file}.ts`, import.meta.url), 'utf8');
      const { outputText } = ts.transpileModule(source, {
        compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
      });
      writeFileSync(join(program, `${file}.js`), outputText);
    }
    script = join(program, 'child.js');
    writeFileSync(
      script,
      `import { openAuditLog } from './lib/observe/audit-log.js';
       const [path, lines, name] = process.argv.slice(2);
       const log = openAuditLog({ path, onError: 'fail' });
       for (let i = 0; i < Number(lines); i++) {
         log.kChanged({ from: i, to: i + 1, acceptance: 0.5, reason: name + ' ' + 'x'.repeat(i % 190) });
       }`,
    );
  });
  afterAll(() => rmSync(program, { recursive: true, force: true }));

  const start = (lines: number, name: string): ChildProcess =>
    spawn(process.execPath, [script, path, String(lines), name], { stdio: 'inherit' });

  it('may be killed at any time: complete lines stay, at most one each is torn', async () => {
    const rounds = 5;
    for (let round = 0; round < rounds; round++) {
      const before = round === 0 ? 0 : statSync(path).size;
      const child = start(1e9, `round${round}`);
      const exit = once(child, 'exit');
      while (!existsSync(path) || statSync(path).size < before + 2e4 * (round + 1)) {
        expect(child.exitCode).toBeNull();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      child.kill('SIGKILL');
      expect(await exit).toEqual([null, 'SIGKILL']);
    }
    const { entries, torn } = readAuditLog(path);
    expect(torn).toBeLessThanOrEqual(rounds);
    for (let round = 0; round < rounds; round++) {
      const own = entries.filter(({ details }) => details.includes(`reason=round${round} `));
      expect(own.length).toBeGreaterThan(10);
      expect(own.every(({ msg }, i) => msg === `K: ${i} -> ${i + 1}`)).toBe(true);
    }
  }, 60_000);

  it('may write at the same time', async () => {
    const names = ['a', 'b', 'c'];
    const exits = await Promise.all(names.map((name) => once(start(2000, name), 'exit')));
    expect(exits).toEqual(names.map(() => [0, null]));
    const { entries, torn } = readAuditLog(path);
    expect(torn).toBe(0);
    expect(entries).toHaveLength(6000);
    for (const name of names) {
      const own = entries.filter(({ details }) => details.includes(`reason=${name} `));
      expect(own.every(({ msg }, i) => msg === `K: ${i} -> ${i + 1}`)).toBe(true);
    }
  }, 60_000);
});
