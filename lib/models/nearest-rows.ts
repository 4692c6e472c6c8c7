// For each row of a table, the row of another one that points in the direction nearest to its own.

/** So many products of random signs stand for a row where candidates are looked for. */
const SKETCH = 64;
/** So many candidates are compared in full. */
const CANDIDATES = 8;

/** Rows of one length: `row(i)` is the i-th, which may be a new array at every call. */
export interface Rows {
  count: number;
  row(index: number): Float32Array;
}

/**
 * Index in `among` of the row with the largest cosine to each row of `rows`; the lowest of equals. Candidates are found by
 * sketches, which are 64 sums of the row's numbers under signs from a fixed seed, so the answer may be the second or third
 * nearest, and is the same on every machine. Comparing all rows in full would take minutes for a vocabulary.
 */
export function nearestRows(rows: Rows, among: Rows): Int32Array {
  const width = among.row(0).length;
  const signs = randomSigns(SKETCH * width);
  const sketches = new Float32Array(among.count * SKETCH);
  for (let i = 0; i < among.count; i++) sketches.set(sketchOf(direction(among.row(i)), signs), i * SKETCH);
  return Int32Array.from({ length: rows.count }, (_, i) => {
    const row = direction(rows.row(i));
    let best = -1;
    let most = Number.NEGATIVE_INFINITY;
    for (const candidate of candidatesOf(sketchOf(row, signs), sketches).sort((a, b) => a - b)) {
      const cosine = dot(row, direction(among.row(candidate)));
      if (cosine > most) [best, most] = [candidate, cosine];
    }
    return best;
  });
}

/** Indices of the sketches with the largest products with `sketch`. */
function candidatesOf(sketch: Float32Array, sketches: Float32Array): number[] {
  const best: { index: number; product: number }[] = [];
  let least = Number.NEGATIVE_INFINITY;
  for (let index = 0, at = 0; at < sketches.length; index++, at += SKETCH) {
    // Four sums at a time: one alone would wait for each addition to end.
    let [a, b, c, d] = [0, 0, 0, 0];
    for (let i = 0; i < SKETCH; i += 4) {
      a += sketch[i]! * sketches[at + i]!;
      b += sketch[i + 1]! * sketches[at + i + 1]!;
      c += sketch[i + 2]! * sketches[at + i + 2]!;
      d += sketch[i + 3]! * sketches[at + i + 3]!;
    }
    const product = a + b + c + d;
    if (best.length === CANDIDATES && product <= least) continue;
    if (best.length === CANDIDATES) best.pop();
    const place = best.findIndex((other) => other.product < product);
    best.splice(place < 0 ? best.length : place, 0, { index, product });
    least = best.at(-1)!.product;
  }
  return best.map(({ index }) => index);
}

function sketchOf(row: Float32Array, signs: Int8Array): Float32Array {
  const sketch = new Float32Array(SKETCH);
  for (let k = 0; k < SKETCH; k++) {
    let sum = 0;
    for (let i = 0, at = k * row.length; i < row.length; i++, at++) sum += row[i]! * signs[at]!;
    sketch[k] = sum;
  }
  return sketch;
}

/** The row at length 1; a row of zeros stays one. */
function direction(row: Float32Array): Float32Array {
  const length = Math.sqrt(dot(row, row));
  return length > 0 ? row.map((value) => value / length) : row;
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function randomSigns(length: number): Int8Array {
  let state = 1;
  return Int8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state < 0 ? -1 : 1;
  });
}
