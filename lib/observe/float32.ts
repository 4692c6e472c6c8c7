// Float32 numbers in the fewest decimal digits that give back the same float32: a third of the size of a double's.

/** The shortest decimal that rounds to the float32 nearest to `value`. Numbers beyond float32 become infinite. */
export function shortestFloat32(value: number): number {
  const float = Math.fround(value);
  if (!Number.isFinite(float) || Number.isInteger(float)) return float;
  // Nine digits always do. Digits are taken away for as long as they do; fewer never do where more don't.
  let shortest = float;
  for (let digits = 9; digits >= 1; digits--) {
    const decimal = Number(float.toPrecision(digits));
    if (Math.fround(decimal) !== float) break;
    shortest = decimal;
  }
  return shortest;
}
