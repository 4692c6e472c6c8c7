// `logit_bias` in OpenAI's form and in llama-server's, as pairs of a token and a bias.

import { invalidField } from './http-error.js';
import type { ServedEngine } from './served-engine.js';

/** As many as a request of the engine may have. */
const MOST = 4096;
const LARGEST = 1000;
/** Of all texts: they are tokenized while others wait. */
const MOST_CHARACTERS = 16_384;

/**
 * `{"15043": -1}`, `{" Hello": -1}`, `[[15043, -1]]`, `[[" Hello", -1]]`; `false` instead of a number rules the token out.
 * A text stands for each of its tokens. Throws HttpError 400.
 */
export function logitBiasOf(
  value: unknown,
  engine: Pick<ServedEngine, 'info' | 'tokenize'>,
): [number, number][] {
  if (typeof value !== 'object' || value === null)
    throw wrong('logit_bias is neither an object nor an array.');
  const pairs: unknown[] = Array.isArray(value)
    ? value
    : Object.entries(value).map(([key, bias]) => [/^\d+$/.test(key) ? Number(key) : key, bias]);
  if (pairs.length > MOST) throw wrong(`logit_bias has ${pairs.length} entries. Give up to ${MOST}.`);
  let characters = 0;
  const biases = pairs.flatMap((pair) => {
    if (!Array.isArray(pair) || pair.length !== 2) throw wrong('logit_bias has an entry that is no pair.');
    const [what, bias] = pair;
    const added = biasOf(bias);
    characters += typeof what === 'string' ? what.length : 0;
    if (characters > MOST_CHARACTERS)
      throw wrong(`logit_bias has texts of more than ${MOST_CHARACTERS} characters.`);
    const tokens =
      typeof what === 'string'
        ? Array.from(engine.tokenize(what, { addSpecial: false, parseSpecial: false }))
        : [tokenOf(what, engine.info.vocabularySize)];
    return tokens.map((token): [number, number] => [token, added]);
  });
  if (biases.length > MOST) throw wrong(`logit_bias has ${biases.length} tokens. Give up to ${MOST}.`);
  return biases;
}

function biasOf(bias: unknown): number {
  if (bias === false) return Number.NEGATIVE_INFINITY;
  if (typeof bias === 'number' && Math.abs(bias) <= LARGEST) return bias;
  throw wrong(`logit_bias has a bias that is neither false nor a number from -${LARGEST} to ${LARGEST}.`);
}

function tokenOf(token: unknown, vocabularySize: number): number {
  if (Number.isInteger(token) && (token as number) >= 0 && (token as number) < vocabularySize) {
    return token as number;
  }
  throw wrong(`logit_bias has a token that is no whole number from 0 to ${vocabularySize - 1}.`);
}

function wrong(message: string) {
  return invalidField('logit_bias', message);
}
