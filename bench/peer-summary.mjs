// What peers.mjs makes of its samples: rows for a report, each peer's best setting, ratios, and where texts part.
import { geometricMean, median, ratioWithInterval } from './statistics.mjs';

/**
 * One generation: `name` is the engine, `setting` how it was asked.
 * @typedef {import('./peer-settings.mjs').Figures & { name: string, setting: string, kind: string, promptId: string,
 *   round: number }} Sample
 */

/** Tokens per second over several samples: all tokens over all of the time. */
const rateOf = (/** @type {Sample[]} */ samples) =>
  sum(samples.map(({ tokensPerSecond, decodeMs }) => tokensPerSecond * decodeMs)) /
  sum(samples.map(({ decodeMs }) => decodeMs));
const sum = (/** @type {number[]} */ values) => values.reduce((total, value) => total + value, 0);

/**
 * Rows of `peers` in a bench result: one for every engine, setting and kind, and one for all kinds.
 * @param {Sample[]} samples
 * @param {(sample: Sample) => string | undefined} remark what a reader must know of an engine
 */
export function rows(samples, remark = () => undefined) {
  /** @type {Map<string, Sample[]>} */
  const groups = new Map();
  for (const sample of samples) groups.set(keyOf(sample), [...(groups.get(keyOf(sample)) ?? []), sample]);
  return [...groups.values()].flatMap((own) => {
    const { name, setting } = own[0];
    const kinds = [...new Set(own.map(({ kind }) => kind))];
    return ['all', ...kinds].map((kind) => {
      const part = kind === 'all' ? own : own.filter((sample) => sample.kind === kind);
      const note = [figuresNote(part), kind === 'all' ? remark(own[0]) : undefined]
        .filter(Boolean)
        .join('; ');
      return { name, setting, kind, tokensPerSecond: rateOf(part), ...(note ? { note } : {}) };
    });
  });
}

const keyOf = (/** @type {{ name: string, setting: string }} */ { name, setting }) => `${name}\n${setting}`;

/** What the row has no field for: the rate that a client sees, and acceptance. */
function figuresNote(samples) {
  const parts = [];
  if (samples.every(({ wallMs }) => wallMs > 0)) {
    const wall = (1000 * sum(samples.map(({ emitted }) => emitted))) / sum(samples.map((s) => s.wallMs));
    parts.push(`${wall.toFixed(1)} t/s of whole requests`);
  }
  const drafted = sum(samples.map((sample) => sample.drafted ?? 0));
  const accepted = sum(samples.map((sample) => sample.accepted ?? 0));
  if (drafted > 0) parts.push(`${accepted} of ${drafted} draft tokens accepted`);
  return parts.join(', ');
}

/**
 * The setting of `name` with the largest geometric mean over prompts; undefined where there is no sample.
 * @param {Sample[]} samples
 * @param {string} name
 * @param {(setting: string) => boolean} counts
 */
export function bestSetting(samples, name, counts = () => true) {
  const own = samples.filter((sample) => sample.name === name && counts(sample.setting));
  const settings = [...new Set(own.map(({ setting }) => setting))];
  const mean = (/** @type {string} */ setting) => geometricMean([...speeds(own, name, setting).values()]);
  return settings.toSorted((a, b) => mean(b) - mean(a))[0];
}

/** Median over rounds, by prompt. */
function speeds(samples, name, setting) {
  const own = samples.filter((sample) => sample.name === name && sample.setting === setting);
  const ids = [...new Set(own.map(({ promptId }) => promptId))];
  return new Map(
    ids.map((id) => [
      id,
      median(own.filter(({ promptId }) => promptId === id).map((sample) => sample.tokensPerSecond)),
    ]),
  );
}

/**
 * How much faster `ours` is than `peer`, paired by prompt: above 1 we are.
 * @param {Sample[]} samples
 * @param {{ name: string, setting: string }} ours
 * @param {{ name: string, setting: string }} peer
 */
export function comparison(samples, ours, peer) {
  const mine = speeds(samples, ours.name, ours.setting);
  const theirs = speeds(samples, peer.name, peer.setting);
  const shared = [...mine.keys()].filter((id) => theirs.has(id));
  const { ratio, low, high } = ratioWithInterval(shared.map((id) => mine.get(id) / theirs.get(id)));
  return { ours, peer, prompts: shared.length, ratio: { value: ratio, low, high } };
}

/**
 * Kind by kind: how much faster `ours` is than the setting of `name` that is the fastest on that very kind.
 * @param {Sample[]} samples
 * @param {{ name: string, setting: string }} ours
 * @param {string} name
 */
export function byKind(samples, ours, name) {
  const kinds = [...new Set(samples.map(({ kind }) => kind))];
  return kinds.flatMap((kind) => {
    const own = samples.filter((sample) => sample.kind === kind);
    const setting = bestSetting(own, name);
    return setting === undefined ? [] : [{ kind, ...comparison(own, ours, { name, setting }) }];
  });
}

/**
 * How many outputs of each engine and setting are those of `reference` (an engine's plain decoding), prompt by prompt.
 * Ids are compared where both have them, else texts; only as far as both go, since an engine may emit a few more.
 * @param {Sample[]} samples
 * @param {{ name: string, setting: string }} reference
 */
export function agreement(samples, reference) {
  const wanted = new Map();
  for (const sample of samples)
    if (keyOf(sample) === keyOf(reference) && !wanted.has(sample.promptId))
      wanted.set(sample.promptId, sample);
  const result = new Map();
  for (const sample of samples) {
    const expected = wanted.get(sample.promptId);
    const at = expected && partAt(sample, expected);
    if (at === undefined) continue;
    const key = keyOf(sample);
    const { name, setting } = sample;
    const entry = result.get(key) ?? { name, setting, compared: 0, equal: 0, differing: [] };
    entry.compared += 1;
    if (at === -1) entry.equal += 1;
    else entry.differing.push({ promptId: sample.promptId, at });
    result.set(key, entry);
  }
  return [...result.values()];
}

/** Where two outputs part: the index of a token, or of a character where one has no ids; -1 where they don't. */
function partAt(a, b) {
  const byId = a.tokens && b.tokens;
  const [one, other] = byId ? [a.tokens, b.tokens] : [a.text, b.text];
  if (one === undefined || other === undefined) return undefined;
  // A text may end within a character, or lack the line breaks at its end.
  const [x, y] = byId ? [one, other] : [one, other].map((text) => text.replace(/[\s\uFFFD]+$/, ''));
  const length = Math.min(x.length, y.length);
  for (let i = 0; i < length; i++) if (x[i] !== y[i]) return i;
  return -1;
}
