// Trace files: what is written is what is read, and nothing else is.

import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shortestFloat32 } from '../../lib/observe/float32.js';
import { readTrace } from '../../lib/observe/trace-file.js';
import type { TraceLine, TraceStep } from '../../lib/observe/trace-format.js';
import { TraceWriter } from '../../lib/observe/trace-writer.js';
import { linesOf, mixedTrace, syntheticGeneration, traceHeader } from './synthetic-trace.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-trace-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const header = traceHeader();
const short = syntheticGeneration({ length: 12, maxTokens: 20 });
const lines = linesOf(header, [short]);
const invalid = (message: string) =>
  expect.objectContaining({ code: 'TRACE_INVALID', message: expect.stringContaining(message) });

async function write(path: string, all: readonly TraceLine[]): Promise<void> {
  const [first, ...others] = all;
  const writer = new TraceWriter(path, first as typeof header);
  for (const line of others) {
    writer.write(line);
    if ('end' in line) await writer.flush();
  }
  await writer.close();
}

/** Writes text as it is and reads it as a trace. */
function readText(text: string | Buffer, name = 'hand.jsonl') {
  const path = join(folder, name);
  writeFileSync(path, text);
  return readTrace(path);
}

const textOf = (all: readonly unknown[]) => all.map((line) => `${JSON.stringify(line)}\n`).join('');
/** The short trace with some fields of one line changed. */
const changed = (index: number, fields: object) =>
  textOf(lines.map((line, i) => (i === index ? { ...line, ...fields } : line)));

describe('shortestFloat32', () => {
  it('gives back the same float32, and never more digits than are needed', () => {
    expect(shortestFloat32(Math.fround(0.1))).toBe(0.1);
    expect(shortestFloat32(Math.fround(1 / 3))).toBe(0.33333334);
    expect(String(shortestFloat32(Math.fround(3e-45)))).toBe('3e-45');
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const decimal = shortestFloat32(value);
        expect(Math.fround(decimal)).toBe(value);
        const digits = decimal.toExponential().split('e')[0]!.replace(/\D/g, '').length;
        if (Number.isInteger(value) || digits === 1) return;
        expect(Math.fround(Number(value.toPrecision(digits - 1)))).not.toBe(value);
      }),
    );
  });
});

describe('TraceWriter and readTrace', () => {
  it.each(['round.jsonl', 'round.jsonl.gz'])('read back what was written to %s', async (name) => {
    const path = join(folder, 'made', name);
    const generations = mixedTrace(2, 40);
    await write(path, linesOf(header, generations));
    const trace = await readTrace(path);
    expect(trace.header).toEqual(header);
    expect(trace.torn).toBe(false);
    expect(trace.generations).toHaveLength(generations.length);
    for (const [g, { info, positions, end }] of trace.generations.entries()) {
      expect(info).toEqual(generations[g]!.info);
      expect(end).toEqual(generations[g]!.end);
      positions.forEach((position, i) => {
        const original = generations[g]!.positions[i]!;
        for (const signal of ['p', 'm', 'h'] as const) {
          expect(position[signal].map(Math.fround)).toEqual(original[signal]);
          position[signal] = original[signal];
        }
        expect(position).toEqual(original);
      });
    }
  });

  it('compresses where the name says so', async () => {
    const generations = mixedTrace(1, 60);
    await write(join(folder, 'a.jsonl'), linesOf(header, generations));
    await write(join(folder, 'a.jsonl.gz'), linesOf(header, generations));
    const plain = readFileSync(join(folder, 'a.jsonl'));
    expect(gunzipSync(readFileSync(join(folder, 'a.jsonl.gz')))).toEqual(plain);
    expect(statSync(join(folder, 'a.jsonl.gz')).size).toBeLessThan(plain.length / 2);
  });

  it('has a finished generation in the file after flush, without being closed', async () => {
    const path = join(folder, 'flushed.jsonl.gz');
    const writer = new TraceWriter(path, header);
    for (const line of lines.slice(1)) writer.write(line);
    await writer.flush();
    const trace = await readTrace(path);
    expect(trace.torn).toBe(false);
    expect(trace.generations[0]!.end).toEqual(short.end);
    await writer.close();
    await writer.close();
    expect(() => writer.write(lines[1]!)).toThrow(expect.objectContaining({ code: 'TRACE_FAILED' }));
  });

  it('keeps steps too', async () => {
    const step: TraceStep = {
      ...{ step: 0, position: 0, depth: 0, drafted: 0, verified: 0, accepted: 0, tokens: [], text: '' },
      ...{ draft: [], p: [], m: [], h: [], draftMs: 0, verifyMs: 5, catchUpMs: 0, otherMs: 0, rows: 0 },
      ...{ contextLength: 9, drafter: '', drafterLag: 1, late: false, running: 1, waiting: 0, asked: true },
    };
    const second: TraceStep = {
      ...step,
      ...{ step: 1, position: 2, depth: 4, drafted: 2, verified: 2, accepted: 1, tokens: [5, 6], rows: 3 },
      ...{ draft: [5, 7], p: [0.9, 0.1], m: [0.8, 0.05], h: [0.2, 2], drafter: 'model' },
    };
    const end = { tokens: 2, finishReason: 'length' };
    const path = join(folder, 'steps.jsonl');
    const info = { ...short.info, controller: 'auto' };
    await write(
      path,
      linesOf(traceHeader({ mode: 'steps' }), [{ info, positions: [], steps: [step, second], end }]),
    );
    const { generations } = await readTrace(path);
    expect(generations).toEqual([{ info, positions: [], steps: [step, second], end }]);
    const text = (steps: TraceStep[]) =>
      readText(textOf(linesOf(traceHeader({ mode: 'steps' }), [{ info, positions: [], steps, end }])));
    await expect(text([step, { ...second, step: 2 }])).rejects.toEqual(invalid('missing before'));
    await expect(text([step, { ...second, accepted: 3 }])).rejects.toEqual(invalid('accepted <= verified'));
    await expect(text([step])).rejects.toEqual(invalid('2 tokens, and 0 are recorded'));
  });

  it('refuses to write what no reader would take', async () => {
    const writer = new TraceWriter(join(folder, 'refused.jsonl'), header);
    const wrong = { ...short.positions[0]!, p: short.positions[0]!.p.map(() => Number.NaN) };
    expect(() => writer.write(wrong)).toThrow(invalid('is wrong: p'));
    await writer.close();
  });

  it('says that a path cannot be written', () => {
    writeFileSync(join(folder, 'file'), '');
    expect(() => new TraceWriter(join(folder, 'file', 'x.jsonl'), header)).toThrow(
      expect.objectContaining({ code: 'TRACE_FAILED', hint: expect.stringContaining('path') }),
    );
  });

  it.skipIf(!existsSync('/dev/full'))('says that the disk is full', async () => {
    const writer = new TraceWriter('/dev/full', header);
    for (const line of lines.slice(1)) writer.write(line);
    const full = expect.objectContaining({
      code: 'TRACE_FAILED',
      message: expect.stringContaining('ENOSPC'),
    });
    await expect(writer.flush()).rejects.toEqual(full);
    expect(() => writer.write(lines[1]!)).toThrow(full);
    await expect(writer.close()).rejects.toEqual(full);
  });
});

describe('readTrace', () => {
  it('takes a torn last line for the end of a crashed recording', async () => {
    const text = textOf(lines);
    const { torn, generations } = await readText(text.slice(0, text.length - 40));
    expect(torn).toBe(true);
    expect(generations[0]!.end).toBeUndefined();
    expect(generations[0]!.positions.length).toBeGreaterThan(8);
  });

  it('takes a cut gzip file likewise', async () => {
    const long = linesOf(header, mixedTrace(4));
    const bytes = gzipSync(textOf(long));
    const { torn, generations } = await readText(bytes.subarray(0, bytes.length / 2), 'cut.jsonl.gz');
    expect(torn).toBe(true);
    expect(generations.length).toBeGreaterThan(1);
    expect(generations.at(-1)!.end).toBeUndefined();
  });

  it('needs no last newline', async () => {
    const { torn, generations } = await readText(textOf(lines).trimEnd());
    expect(torn).toBe(false);
    expect(generations[0]!.end).toEqual(short.end);
  });

  it.each([
    ['an empty file', '', 'no header'],
    ['another format', textOf([{ format: 'other', version: 1 }]), 'no trace file'],
    ['a log', textOf([{ ts: '2026' }]), 'no trace file'],
    ['another version', textOf([{ ...header, version: 2 }]), 'its version is 2'],
    ['a missing header', textOf(lines.slice(1)), 'no trace file'],
    ['a second header', textOf([header, header]), 'Line 2'],
    ['a broken line', `${textOf([header])}{"i":\n${textOf(lines.slice(1))}`, 'Line 2'],
    ['an array', `${textOf([header])}[1]\n`, 'no object'],
    ['an unknown line', textOf([header, { note: 1 }]), 'no known kind'],
    ['a position of no generation', textOf([header, lines[2]]), 'no generation'],
    ['a missing position', textOf(lines.filter((_, i) => i !== 4)), 'is missing before position 3'],
    ['too few positions', textOf(lines.filter((_, i) => i !== lines.length - 2)), 'and 11 are recorded'],
    ['signals of another length', changed(4, { p: [0.5] }), 'as long as draft'],
    ['more right than drafted', changed(4, { right: 40 }), 'right'],
    [
      'right drafts that are not',
      changed(4, { draft: short.positions[2]!.draft.map(() => 3), right: 2 }),
      'position 2',
    ],
    ['an endless depth', changed(4, { draft: Array(1e5).fill(1) }), 'draft'],
    ['a draft beyond maxDepth', changed(0, { maxDepth: 3 }), "header's maxDepth"],
    ['a number as text', changed(4, { draft: short.positions[2]!.draft.map(String) }), 'draft'],
    ['a negative token', changed(4, { token: -1 }), 'token'],
    ['half a token', changed(4, { token: 1.5 }), 'token'],
    ['a probability above 1', changed(4, { p: short.positions[2]!.p.map(() => 2) }), 'p'],
    ['time that runs back', changed(4, { draftMs: -1 }), 'draftMs'],
    ['a huge context', changed(4, { contextLength: 1e300 }), 'contextLength'],
    ['null', changed(4, { text: null }), 'text'],
    ['costs without rows', changed(0, { costs: { target: [] } }), 'costs.target'],
    ['a step in an exhaustive trace', changed(0, { mode: 'steps' }), 'output position'],
  ])('refuses %s', async (_, text, message) => {
    await expect(readText(text)).rejects.toEqual(invalid(message));
  });

  it('refuses what is not gzipped, and a file that is not there', async () => {
    await expect(readText(textOf(lines), 'plain.jsonl.gz')).rejects.toEqual(invalid('not gzipped'));
    const missing = expect.objectContaining({
      code: 'TRACE_FAILED',
      message: expect.stringContaining('ENOENT'),
    });
    await expect(readTrace(join(folder, 'nowhere.jsonl'))).rejects.toEqual(missing);
    await expect(readTrace(join(folder, 'nowhere.jsonl.gz'))).rejects.toEqual(missing);
  });

  it('answers any damage with a trace or a TRACE error, never with another one', async () => {
    const bytes = Buffer.from(textOf(lines));
    const damage = fc.array(
      fc.tuple(
        fc.nat(bytes.length - 1),
        fc.oneof(fc.constantFrom(...Buffer.from('{}[],:"-e9\n')), fc.nat(255)),
      ),
      { minLength: 1, maxLength: 3 },
    );
    await fc.assert(
      fc.asyncProperty(damage, fc.boolean(), async (places, packed) => {
        const damaged = Buffer.from(packed ? gzipSync(bytes) : bytes);
        for (const [place, byte] of places) damaged[place % damaged.length] = byte;
        try {
          const { generations } = await readText(damaged, packed ? 'damaged.jsonl.gz' : 'damaged.jsonl');
          for (const { positions } of generations) {
            for (const { right, draft } of positions) expect(right).toBeLessThanOrEqual(draft.length);
          }
        } catch (error) {
          expect(['TRACE_INVALID', 'TRACE_FAILED']).toContain((error as { code?: string }).code);
        }
      }),
      { numRuns: 300 },
    );
  });
});
