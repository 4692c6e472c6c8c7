// Figures as a reader of a report sees them.

import { change, isNumber } from '../../percent.js';
import type { Interval } from '../bench-result.js';

/** A number with so many decimals; – where there is none. */
export function number(value: number | null | undefined, decimals = 1): string {
  return isNumber(value) ? value.toFixed(decimals) : '–';
}

/** '12.3 (11.8 to 12.9)'; only the value where one prompt gives no interval. */
export function interval({ value, low, high, prompts }: Interval, decimals = 1): string {
  if (prompts === 1) return number(value, decimals);
  return `${number(value, decimals)} (${number(low, decimals)} to ${number(high, decimals)})`;
}

/** '+12.3 % (+8.1 % to +16.4 %)' of an interval of changes. */
export function changeInterval({ value, low, high, prompts }: Interval): string {
  if (prompts === 1) return change(value);
  return `${change(value)} (${change(low)} to ${change(high)})`;
}

/** Seconds as '41 s' or '7 min 11 s'. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
