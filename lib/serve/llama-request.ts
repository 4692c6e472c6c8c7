// `POST /completion` and `/completions`: llama-server's own body, in the engine's words.

import * as v from 'valibot';
import type { RequestOptions } from '../options.js';
import {
  flag,
  type ReadingEngine,
  readBody,
  schemaFields,
  schemaFormat,
  sharedFields,
  sharedOptions,
  text,
  tokenLimit,
  whole,
} from './fields.js';
import { invalidField, unsupportedField } from './http-error.js';
import type { ServedRequest } from './request.js';
import type { ServedEngine } from './served-engine.js';

/** Prompts of one request, which are answered one after the other. */
const MOST_PROMPTS = 64;

const schema = v.object({
  ...sharedFields,
  prompt: v.unknown(),
  n_predict: tokenLimit,
  max_tokens: tokenLimit,
  n_probs: v.nullish(whole(0, 20)),
  post_sampling_probs: v.nullish(flag),
  json_schema: v.nullish(schemaFields.schema),
  return_tokens: v.nullish(flag),
  response_fields: v.nullish(v.pipe(v.array(text, 'an array of names'), v.maxLength(256, 'up to 256 names'))),
});

/** What is asked for: one text for each prompt, and what to tell of it. */
export interface LlamaRequest {
  prompts: ServedRequest[];
  /** Whether the answer is an array, as it is for several prompts. */
  several: boolean;
  returnTokens: boolean;
  /** Paths of the fields that a whole answer has, such as 'timings/predicted_n'; empty: all of them. */
  responseFields: readonly string[];
}

type LlamaEngine = ReadingEngine & Pick<ServedEngine, 'tokenizeAsync'>;

/** Throws HttpError 400 or 501, with `param`; and the signal's reason. */
export async function llamaRequest(
  body: unknown,
  engine: LlamaEngine,
  signal: AbortSignal,
): Promise<LlamaRequest> {
  const read = readBody(schema, body);
  if (read.post_sampling_probs === true) {
    throw unsupportedField('post_sampling_probs', 'Probabilities after sampling are not supported.');
  }
  const options: RequestOptions = sharedOptions(read, [read.n_predict, read.max_tokens], engine);
  if (read.n_probs) options.logprobs = read.n_probs;
  if (read.json_schema) options.responseFormat = schemaFormat({ schema: read.json_schema });
  const prompts: (string | number[])[] = [];
  for (const prompt of promptsOf(read.prompt)) prompts.push(await promptOf(prompt, engine, signal));
  return {
    prompts: prompts.map((prompt, i) => ({
      kind: 'completion',
      ...(prompts.length > 1 ? { part: i } : {}),
      options: { ...options, prompt },
      stream: read.stream === true,
      cachePrompt: read.cache_prompt !== false,
      includeUsage: false,
    })),
    several: prompts.length > 1,
    returnTokens: read.return_tokens === true,
    responseFields: read.response_fields ?? [],
  };
}

/** An array with a number in it is one prompt, any other array several. */
function promptsOf(prompt: unknown): unknown[] {
  if (prompt == null) throw invalidField('prompt', 'prompt is missing.');
  if (!Array.isArray(prompt) || prompt.some((part) => typeof part === 'number')) return [prompt];
  if (prompt.length > 0 && prompt.length <= MOST_PROMPTS) return prompt;
  throw invalidField('prompt', `prompt has ${prompt.length} prompts. Give 1 to ${MOST_PROMPTS}.`);
}

/** A text, token ids, texts and token ids in turn, or a text as `{ prompt_string }`. */
async function promptOf(
  prompt: unknown,
  engine: LlamaEngine,
  signal: AbortSignal,
): Promise<string | number[]> {
  if (typeof prompt === 'string') return prompt;
  if (Array.isArray(prompt)) {
    const tokens: number[] = [];
    for (const [i, part] of prompt.entries()) {
      if (typeof part === 'number') tokens.push(part);
      else if (typeof part === 'string') {
        for (const id of await engine.tokenizeAsync(part, { addSpecial: i === 0, signal })) tokens.push(id);
      } else throw invalidField('prompt', `prompt[${i}] is neither a text nor a token id.`);
    }
    return tokens;
  }
  const { prompt_string, multimodal_data } = prompt as { prompt_string?: unknown; multimodal_data?: unknown };
  if (typeof prompt_string !== 'string') {
    throw invalidField('prompt', 'prompt is no string, no array, and no object with prompt_string.');
  }
  if (multimodal_data === undefined) return prompt_string;
  throw unsupportedField('prompt', 'multimodal_data is not supported.');
}
