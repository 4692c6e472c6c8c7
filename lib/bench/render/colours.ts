// Colours of arms and kinds: names of CSS variables, which differ between light and dark pages.

import { roleOf } from './arms.js';

// Both palettes follow Okabe and Ito, "Color Universal Design" (2008), made for all kinds of colour vision.
const KINDS = ['code', 'prose', 'math', 'json', 'list', 'edit'];
const ADAPTIVE = ['auto', 'adaptive'];
const FURTHER = 3;

/** The colour of a kind of text; grey for none and for others than the usual ones. */
export function kindColour(kind: string): string {
  const i = KINDS.indexOf(kind);
  return i < 0 ? 'var(--kind-other)' : `var(--kind-${i + 1})`;
}

/** The colour of an arm: grey for plain and fixed depths, so that what adapts stands out. */
export function armColour(arm: string, arms: readonly string[]): string {
  const role = roleOf(arm);
  if (role !== 'adaptive') return `var(--arm-${role})`;
  const known = ADAPTIVE.indexOf(arm);
  if (known >= 0) return `var(--arm-${known + 1})`;
  const others = arms.filter((other) => roleOf(other) === 'adaptive' && !ADAPTIVE.includes(other));
  return `var(--arm-${ADAPTIVE.length + 1 + (others.indexOf(arm) % FURTHER)})`;
}
