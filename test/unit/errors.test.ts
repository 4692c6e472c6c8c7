// Every error code is documented, and nothing else is.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const read = (path: string) => readFileSync(join(import.meta.dirname, '../..', path), 'utf8');
const codes = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1]).sort();

it('the page on errors has a row for each code, with cause and remedy', () => {
  const documented = codes(read('docs/errors.md'), /^\| `([A-Z_]+)` \| .+ \| .+ \|$/gm);
  expect(documented).toEqual(codes(read('lib/errors.ts'), /^ {2}\| '([A-Z_]+)'/gm));
});
