// Shares as percentages, as a reader sees them.

/** A share as a percentage: 0.123 is 12 %; – where there is none. */
export function percent(share: number | null | undefined, decimals = 0): string {
  return isNumber(share) ? `${(100 * share).toFixed(decimals)} %` : '–';
}

/** A change with its sign: 0.123 is +12.3 %. */
export function change(share: number | null | undefined, decimals = 1): string {
  if (!isNumber(share)) return '–';
  const rounded = Number((100 * share).toFixed(decimals));
  const sign = rounded > 0 ? '+' : rounded < 0 ? '−' : '±';
  return `${sign}${Math.abs(rounded).toFixed(decimals)} %`;
}

export function isNumber(value: number | null | undefined): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
