// Every built-in controller has a page, the pages' examples can be made, and their options and defaults are the real ones.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { controllerNames, controllers } from '../../../lib/control/controllers.js';

const folder = new URL('../../../docs/controllers/', import.meta.url);
const read = (name: string) => readFileSync(new URL(name, folder), 'utf8');
const index = read('README.md');
const pages = readdirSync(folder).filter((name) => name !== 'README.md');

/** The settings that a controller knows: its error for a wrong one lists them. */
function settingsOf(name: string): string[] {
  const make = controllers[name as keyof typeof controllers] as (config: object) => unknown;
  try {
    make({ '': 0 });
  } catch (error) {
    return ((error as { hint: string }).hint.match(/Known: (.*)\.$/)?.[1] ?? '').split(', ');
  }
  throw new Error(`${name} takes anything`);
}

describe('docs/controllers', () => {
  it.each(controllerNames)('has a page for %s, which the index leads to', (name) => {
    const [, page] = index.match(`\\[\`${name.replaceAll('+', '\\+')}\`\\]\\(([a-z]+\\.md)\\)`) ?? [];
    expect(pages).toContain(page);
    expect(read(page!)).toMatch(new RegExp(`^# ${name.replaceAll('+', '\\+')}$`, 'm'));
  });

  it('has no page that the index does not lead to', () => {
    for (const page of pages) expect(index).toContain(`(${page})`);
  });

  it.each(pages)('%s has an example whose settings are accepted', (page) => {
    const [, example] = read(page).match(/^```js\n(controllers.*;)\n```$/m) ?? [];
    expect(example).toBeDefined();
    const made = new Function('controllers', `return ${example}`)(controllers);
    expect(read(page)).toMatch(new RegExp(`^# ${made.name.replaceAll('+', '\\+')}$`, 'm'));
  });

  const configurable = controllerNames.filter((name) => name !== 'fixed' && name !== 'off');
  it.each(configurable)('names all options of %s and no others', (name) => {
    const [, page] = index.match(`\\[\`${name.replaceAll('+', '\\+')}\`\\]\\(([a-z]+\\.md)\\)`)!;
    const [, table] = read(page!).match(/^\| option \|.*\n\|---.*\n((?:\|.*\n)+)/m)!;
    const named = table!.split('\n').flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`(\w+)`/g)]);
    expect(named.map(([, option]) => option).sort()).toEqual(settingsOf(name).sort());
  });
});
