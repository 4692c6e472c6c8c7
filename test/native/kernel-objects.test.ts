// Files that are built for an instruction set may give the linker no function that another file has too: it keeps one
// of the copies, and a CPU without those instructions dies of it. Looked up in what the compiler made of them.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildTargets, cmakeFolder, cmakeSetting, command, root } from './cmake.js';

/** What each of these files has for others to link. AMX's is left out where the compiler doesn't know AMX. */
const EXPECTED: Record<string, RegExp[]> = {
  'avx2.cc.o': [/fill_avx2\b/],
  'avx2_vnni.cc.o': [/fill_avx2_vnni\b/],
  'avx512.cc.o': [/fill_avx512\b/],
  'avx512_bf16.cc.o': [/fill_avx512_bf16\b/],
  'amx.cc.o': [/fill_amx\b/, /fill_amx_bf16\b/],
  'logits_avx2.cc.o': [/kAvx2Logits\b/],
  'logits_avx512.cc.o': [/kAvx512Logits\b/],
};
const kernels = join(cmakeFolder, 'CMakeFiles/adaptive_spec_core.dir/native/kernels');

interface Symbol {
  /** As nm has it: capital letters, and u and v, are seen by other files. */
  kind: string;
  name: string;
}

/** What an object defines for others, but for a word of data that each file with a destructor has. */
function offered(object: string): Symbol[] {
  const lines = command(cmakeSetting('CMAKE_NM') ?? 'nm', ['-C', '--defined-only', object])
    .trim()
    .split('\n');
  return lines
    .map((line) => line.match(/^[0-9a-f]* *([A-Za-z]) (.+)$/)!)
    .map(([, kind, name]) => ({ kind: kind!, name: name! }))
    .filter(({ kind, name }) => /[A-Zuvw]/.test(kind) && name !== 'DW.ref.__gxx_personality_v0');
}

/** Names of the functions of an object or addon that only some CPUs can run: of 512 bits, or with AMX's tiles. */
function wideFunctions(file: string): Set<string> {
  const options = ['-d', '-C', '--no-show-raw-insn', '--no-addresses', file];
  const functions = command(cmakeSetting('CMAKE_OBJDUMP') ?? 'objdump', options).split(/^(?=<.*>:$)/m);
  const wide = functions.filter((body) => /%zmm|%tmm|\b(ld|st)tilecfg\b/.test(body));
  return new Set(wide.map((body) => body.match(/^<(.*)>:$/m)?.[1] ?? ''));
}

/** Weak functions of that kind: copies that the linker may take for every file that has one. */
function dangers(object: string): string[] {
  const wide = wideFunctions(object);
  return offered(object)
    .filter(({ kind, name }) => /[WVuvw]/.test(kind) && wide.has(name))
    .map(({ name }) => name);
}

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('objects of the kernels', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-objects-'));
    buildTargets('adaptive_spec_core');
  }, 900_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(Object.keys(EXPECTED))('offer their table to the linker and nothing else: %s', (name) => {
    if (!existsSync(join(kernels, name))) {
      expect(name, 'only a compiler without AMX leaves a file out').toBe('amx.cc.o');
      return;
    }
    const symbols = offered(join(kernels, name));
    const expected = EXPECTED[name]!;
    expect(
      symbols.filter(({ kind, name }) => !/[TDRB]/.test(kind) || !expected.some((one) => one.test(name))),
    ).toEqual([]);
    expect(symbols).toHaveLength(expected.length);
  });

  it('are those above: no other file is built for more than the rest', () => {
    const commands: { file: string; command: string }[] = JSON.parse(
      readFileSync(join(cmakeFolder, 'compile_commands.json'), 'utf8'),
    );
    const special = commands
      .filter(
        ({ file }) => file.startsWith(join(root, 'native')) && !file.startsWith(join(root, 'native/test')),
      )
      .filter(({ command }) => / -m(avx|amx)/.test(command) || command.match(/ -march=/g)!.length > 1)
      .map(({ file }) => `${basename(file)}.o`);
    expect(special.filter((name) => !(name in EXPECTED))).toEqual([]);
    expect(special.length).toBeGreaterThanOrEqual(Object.keys(EXPECTED).length - 1);
  });

  it.each(['avx512.cc.o', 'avx512_bf16.cc.o', 'logits_avx512.cc.o'])(
    'have their wide code, and none of it in a function that the linker may take for another: %s',
    (name) => {
      expect(wideFunctions(join(kernels, name)).size).toBeGreaterThan(0);
      expect(dangers(join(kernels, name))).toEqual([]);
    },
  );

  it('would be found out with an inline function that others have too', () => {
    const source = join(folder, 'bad.cc');
    const object = join(folder, 'bad.o');
    writeFileSync(
      source,
      `#include <immintrin.h>
      __attribute__((noinline)) inline float shared(const float* x) { return _mm512_reduce_add_ps(_mm512_loadu_ps(x)); }
      float fill_avx512(const float* x) { return shared(x); }`,
    );
    command(cmakeSetting('CMAKE_CXX_COMPILER') ?? 'c++', [
      '-O1',
      '-mavx512f',
      '-w',
      '-c',
      source,
      '-o',
      object,
    ]);
    expect(dangers(object)).toEqual(['shared(float const*)']);
    expect(offered(object).map(({ kind }) => kind)).toContain('W');
  });

  // Where all is built for this machine's CPU, wide code is everywhere.
  it.skipIf(cmakeSetting('ADAPTIVE_SPEC_PORTABLE') !== 'ON')(
    'alone bring wide code into a portable addon',
    () => {
      buildTargets('adaptive_spec');
      const known = new Set(Object.keys(EXPECTED).flatMap((name) => [...wideFunctions(join(kernels, name))]));
      const found = [...wideFunctions(join(root, 'build/Release/adaptive_spec.node'))];
      expect(found.length).toBeGreaterThan(0);
      expect(found.filter((name) => !known.has(name))).toEqual([]);
    },
  );
});
