// `POST /v1/completions`: OpenAI's body, in the engine's words.

import * as v from 'valibot';
import type { RequestOptions } from '../options.js';
import {
  flag,
  type ReadingEngine,
  readBody,
  refuseProbabilities,
  sharedFields,
  sharedOptions,
  streamFields,
  text,
  tokenLimit,
  whole,
} from './fields.js';
import { invalidField, unsupportedField } from './http-error.js';
import type { ServedRequest } from './request.js';

const schema = v.object({
  ...sharedFields,
  ...streamFields,
  prompt: v.union([text, v.array(v.unknown())], 'a string, or an array of token ids'),
  n_predict: tokenLimit,
  best_of: v.nullish(v.literal(1, '1: one answer a request')),
  echo: v.nullish(flag),
  suffix: v.nullish(text),
  logprobs: v.nullish(whole(0, 5)),
  verbose: v.nullish(flag),
});

/** Throws HttpError 400 or 501, with `param`. */
export function completionRequest(body: unknown, engine: ReadingEngine): ServedRequest {
  const read = readBody(schema, body);
  refuseProbabilities({ n_probs: read.n_probs });
  if (read.echo === true) throw unsupportedField('echo', 'echo is not supported.');
  if (read.suffix != null && read.suffix !== '') throw unsupportedField('suffix', 'suffix is not supported.');
  const options: RequestOptions = {
    ...sharedOptions(read, [read.max_tokens, read.n_predict], engine),
    prompt: promptOf(read.prompt),
    ...(read.logprobs == null ? {} : { logprobs: read.logprobs }),
  };
  return {
    kind: 'completion',
    options,
    stream: read.stream === true,
    cachePrompt: read.cache_prompt !== false,
    includeUsage: read.stream_options?.include_usage === true,
    verbose: read.verbose === true,
  };
}

function promptOf(prompt: string | unknown[]): string | number[] {
  if (typeof prompt === 'string') return prompt;
  if (prompt.length === 1 && (typeof prompt[0] === 'string' || Array.isArray(prompt[0]))) {
    return promptOf(prompt[0]);
  }
  // The engine checks each one; what isn't a number is told here, by the words of this interface.
  const wrong = prompt.findIndex((token) => typeof token !== 'number');
  if (wrong < 0) return prompt as number[];
  const several = typeof prompt[wrong] === 'string' || Array.isArray(prompt[wrong]);
  throw invalidField(
    'prompt',
    several ? 'prompt has several prompts. Give one a request.' : `prompt[${wrong}] is no token id.`,
  );
}
