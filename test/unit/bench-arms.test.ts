// Arms of a benchmark by name, and profiles made of them.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { armOf, armOfController, completeArms } from '../../lib/bench/arms.js';
import { PROFILES, type Profile } from '../../lib/bench/profiles.js';
import { defaultPrompts } from '../../lib/bench/prompts.js';
import { nativeDepthOf } from '../../lib/control/fixed-depth.js';

describe('an arm', () => {
  it('is plain decoding or a fixed depth, run natively', () => {
    expect(nativeDepthOf(armOf('plain').make())).toBe(0);
    expect(armOf('fixed:16')).toMatchObject({ name: 'fixed:16', depth: 16 });
    expect(nativeDepthOf(armOf('fixed:16').make())).toBe(16);
  });

  it('is a controller by name, a new one for each request', () => {
    const arm = armOf('adaptive');
    expect(arm.depth).toBeUndefined();
    expect(arm.make()).not.toBe(arm.make());
  });

  it('has a tree where its name says so, and then no depth of its own', () => {
    const arm = armOf('fixed:4@hybrid+tree:8');
    expect(arm).toMatchObject({ name: 'fixed:4@hybrid+tree:8', drafter: 'hybrid', tree: 8 });
    expect(arm.depth).toBeUndefined();
    expect(nativeDepthOf(arm.make())).toBe(4);
    expect(armOf('auto+tree:24')).toMatchObject({ name: 'auto+tree:24', tree: 24 });
  });

  it("is a caller's controller, named after its file", () => {
    const controller = () => 3;
    expect(armOfController('./folder/mine.mjs', controller).name).toBe('mine.mjs');
    expect(armOfController('./mine.mjs', controller).make()).toBe(controller);
    expect(() => armOfController('./mine.mjs', 7 as never)).toThrow(/neither a name/);
  });

  it.each([
    'adaptiv',
    'fixed',
    'fixed:',
    'fixed:x',
    'fixed:0',
    'fixed:65',
    'off',
    '',
    'plain+tree:4',
    'fixed:4+tree:0',
    'fixed:4+tree:65',
    'fixed:4+tree:',
    '+tree:4',
  ])('is not %o', (name) => {
    expect(() => armOf(name)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('is there once, and plain decoding always', () => {
    expect(completeArms([armOf('fixed:8')]).map(({ name }) => name)).toEqual(['plain', 'fixed:8']);
    expect(() => completeArms([armOf('plain'), armOf('fixed:8'), armOf('fixed:8')])).toThrow(/twice/);
  });
});

describe('a profile', () => {
  it.each(Object.entries(PROFILES))('%s has arms that exist, K = 8 and 16 among them', (_, { arms }) => {
    expect(arms).toEqual(expect.arrayContaining(['plain', 'fixed:8', 'fixed:16', 'adaptive', 'auto']));
    for (const arm of arms) expect(armOf(arm).name).toBe(arm);
  });

  it('is what the documentation says that it is', () => {
    const page = readFileSync(new URL('../../docs/bench.md', import.meta.url), 'utf8');
    const profiles = Object.values(PROFILES);
    const depths = (arms: readonly string[], name: RegExp) =>
      arms.flatMap((arm) => name.exec(arm)?.[1] ?? []).join(', ');
    const armsOf = ({ arms }: Profile) => {
      const others = arms.filter((arm) => arm !== 'plain' && !arm.startsWith('fixed:'));
      const fixed = `\`fixed:\` ${depths(arms, /^fixed:(\d+)$/)}; \`@hybrid\` ${depths(arms, /^fixed:(\d+)@hybrid$/)}`;
      return `\`plain\`; ${fixed}; ${others.map((arm) => `\`${arm}\``).join(', ')}`;
    };
    const perKind = defaultPrompts().filter(({ kind }) => kind === 'code').length;
    const orElse = (value: number, otherwise: string) => (Number.isFinite(value) ? String(value) : otherwise);
    const rows: Record<string, string[]> = {
      '--arms': profiles.map(armsOf),
      '--prompts-per-kind': profiles.map(({ promptsPerKind }) => orElse(promptsPerKind, `all (${perKind})`)),
      '--max-tokens': profiles.map(({ maxTokens }) => String(maxTokens)),
      '--blocks': profiles.map(({ blocks }) => String(blocks)),
      '--temperature': profiles.map(({ temperatures }) => temperatures.join(', ')),
      '--time-limit': profiles.map(({ timeLimit }) => orElse(timeLimit, 'none')),
    };
    expect(page).toContain(`| option | meaning | ${Object.keys(PROFILES).join(' | ')} |`);
    for (const [option, cells] of Object.entries(rows)) {
      const line = page.split('\n').find((text) => text.startsWith(`| \`${option}\` |`))!;
      expect(
        line
          .split('|')
          .slice(3, -1)
          .map((cell) => cell.trim()),
      ).toEqual(cells);
    }
  });
});
