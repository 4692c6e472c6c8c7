// The server's door: who finds no place is told so before those ahead are worked on, and nobody is let in twice.
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Intake } from '../../lib/serve/intake.js';

/** A door with so many places, and what it did in order. */
function door(places: number) {
  const did: string[] = [];
  let taken = 0;
  const intake = new Intake((ahead) => {
    if (taken + ahead >= places) throw new Error('full');
  });
  const come = (name: string, isLate = false) => {
    try {
      intake.admit(() => {
        did.push(`${name} begins`);
        if (!isLate) taken++;
      });
    } catch {
      did.push(`${name} is refused`);
    }
  };
  return { did, come };
}

it('refuses who comes with others and finds no place, before the first of them begins', async () => {
  const { did, come } = door(2);
  for (const name of ['a', 'b', 'c', 'd']) come(name);
  expect(did).toEqual(['c is refused', 'd is refused']);
  await turn();
  await turn();
  expect(did.slice(2)).toEqual(['a begins', 'b begins']);
});

it('lets one in at a turn, so that those who come meanwhile are judged in between', async () => {
  const { did, come } = door(2);
  come('a');
  come('b');
  await turn();
  come('c');
  expect(did).toEqual(['a begins', 'c is refused']);
  await turn();
  expect(did).toEqual(['a begins', 'c is refused', 'b begins']);
});

it('keeps no place for who began and took none', async () => {
  const { did, come } = door(1);
  come('late', true);
  come('b');
  await turn();
  come('c');
  await turn();
  expect(did).toEqual(['b is refused', 'late begins', 'c begins']);
});
