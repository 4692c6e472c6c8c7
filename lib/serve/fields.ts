// Fields that requests of every endpoint share, and how they become the engine's options.

import * as v from 'valibot';
import { MAX_DEPTH } from '../control/controller.js';
import type { RequestOptions } from '../options.js';
import type { ResponseFormat } from '../structured/structure.js';
import type { Tool } from '../structured/tools.js';
import { HttpError, invalidField, unsupportedField } from './http-error.js';
import { logitBiasOf } from './logit-bias.js';
import type { ServedEngine } from './served-engine.js';

export const number = (min: number, max: number) => {
  const expected = `a number from ${min} to ${max}`;
  return v.pipe(v.number(expected), v.minValue(min, expected), v.maxValue(max, expected));
};
export const whole = (min: number, max: number) => {
  const expected = `a whole number from ${min} to ${max}`;
  return v.pipe(
    v.number(expected),
    v.integer(expected),
    v.minValue(min, expected),
    v.maxValue(max, expected),
  );
};
export const text = v.string('a string');
export const flag = v.boolean('true or false');
const anyObject = v.record(v.string(), v.unknown(), 'an object');

/** -1 is as much as fits, as llama-server has it. */
const tokenLimit = v.nullish(whole(-1, Number.MAX_SAFE_INTEGER));

/** What is wrong with a value that is null or 0 or empty where nothing is asked for. */
const nothing = (value: unknown) =>
  value === null ||
  value === false ||
  value === 0 ||
  (typeof value === 'object' && Object.keys(value).length === 0);

export const sharedFields = {
  model: v.nullish(text),
  stream: v.nullish(flag),
  n: v.nullish(v.literal(1, '1: one answer a request')),
  temperature: v.nullish(number(0, 100)),
  top_p: v.nullish(number(0, 1)),
  top_k: v.nullish(whole(-1, 1_000_000)),
  min_p: v.nullish(number(0, 1)),
  frequency_penalty: v.nullish(number(-100, 100)),
  presence_penalty: v.nullish(number(-100, 100)),
  repeat_penalty: v.nullish(number(0.01, 100)),
  repeat_last_n: v.nullish(whole(0, 16_777_216)),
  seed: v.nullish(whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)),
  stop: v.nullish(
    v.union(
      [v.pipe(text, v.minLength(1)), v.pipe(v.array(v.pipe(text, v.minLength(1))), v.maxLength(64))],
      'a string, or up to 64 strings, none of them empty',
    ),
  ),
  ignore_eos: v.nullish(flag),
  grammar: v.nullish(text),
  cache_prompt: v.nullish(flag),
  logit_bias: v.optional(v.unknown()),
  adaptive_spec: v.nullish(
    v.strictObject(
      {
        controller: v.optional(text),
        depth: v.optional(whole(0, MAX_DEPTH)),
        maxDepth: v.optional(whole(1, MAX_DEPTH)),
        drafter: v.optional(text),
        share: v.optional(flag),
      },
      'an object with controller, depth, maxDepth, drafter and share only',
    ),
  ),
};

/** What of an engine is needed to read a request. */
export type ReadingEngine = Pick<ServedEngine, 'info' | 'tokenize'>;

export const streamFields = {
  max_tokens: tokenLimit,
  stream_options: v.nullish(v.object({ include_usage: v.nullish(flag) }, 'an object')),
  n_probs: v.nullish(whole(0, 1_000_000)),
};

export { tokenLimit };

const sharedSchema = v.object(sharedFields);
export type SharedBody = v.InferOutput<typeof sharedSchema>;

/** A body by its schema. Unknown fields are left out. Throws HttpError 400 with `param`. */
export function readBody<const Schema extends v.GenericSchema>(
  schema: Schema,
  body: unknown,
): v.InferOutput<Schema> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new HttpError('invalid_request_error', 'The body is no JSON object', { code: 'INVALID_ARGUMENT' });
  }
  const result = v.safeParse(schema, body, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const param = (v.getDotPath(issue) ?? '').replace(/\.(\d+)(?=\.|$)/g, '[$1]');
  const unknown = issue.expected === 'never';
  if (unknown) throw invalidField(param, `There is no field ${param}.`);
  if (issue.input === undefined) throw invalidField(param, `${param} is missing.`);
  throw invalidField(param, `${param} is ${nameOf(issue.input)}. Give ${issue.message}.`);
}

function nameOf(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60));
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value);
  return Array.isArray(value) ? 'an array' : 'an object';
}

/**
 * Options of every endpoint. `limits` are what may be called the most tokens, the first that is given counts; where none
 * is the server's default holds.
 */
export function sharedOptions(
  body: SharedBody,
  limits: readonly (number | null | undefined)[],
  engine: ReadingEngine,
): RequestOptions {
  const { contextSize } = engine.info;
  const limit = limits.find((value) => value !== null && value !== undefined) ?? undefined;
  if (limit === 0) throw invalidField('max_tokens', 'max_tokens is 0. Give at least 1.');
  const { controller, depth, drafter, maxDepth, share } = body.adaptive_spec ?? {};
  const options: { [Name in keyof RequestOptions]: RequestOptions[Name] | undefined } = {
    // The context ends every text.
    maxTokens: limit === undefined ? undefined : limit < 0 ? contextSize : Math.min(limit, contextSize),
    temperature: body.temperature ?? undefined,
    topP: body.top_p ?? undefined,
    topK: body.top_k == null ? undefined : Math.max(0, body.top_k),
    minP: body.min_p ?? undefined,
    frequencyPenalty: body.frequency_penalty ?? undefined,
    presencePenalty: body.presence_penalty ?? undefined,
    repeatPenalty: body.repeat_penalty ?? undefined,
    penaltyLastN: body.repeat_last_n ?? undefined,
    // -1 asks for any, as llama-server has it.
    seed: body.seed == null || body.seed === -1 ? undefined : ((body.seed % 2 ** 32) + 2 ** 32) % 2 ** 32,
    logitBias: nothing(body.logit_bias ?? null) ? undefined : logitBiasOf(body.logit_bias, engine),
    stop: body.stop ?? undefined,
    ignoreEos: body.ignore_eos ?? undefined,
    grammar: body.grammar ?? undefined,
    controller,
    depth,
    drafter,
    maxDepth,
    share,
  };
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as RequestOptions;
}

/** Throws HttpError 501 for what llama-server tells of probabilities, in a form of its own. */
export function refuseProbabilities(fields: Record<string, unknown>): void {
  for (const [param, value] of Object.entries(fields)) {
    if (value !== undefined && !nothing(value)) throw unsupportedField(param, `${param} is not supported.`);
  }
}

/** OpenAI's default is true; small models do better with one call, and so does this server unless asked. */
export const parallelField = v.nullish(flag);

export const toolFields = {
  name: text,
  description: v.nullish(text),
  parameters: v.nullish(anyObject),
};

/** A tool in the engine's words. */
export function toolOf(tool: {
  name: string;
  description?: string | null | undefined;
  parameters?: Record<string, unknown> | null | undefined;
}): Tool {
  const { name, description, parameters } = tool;
  return {
    type: 'function',
    function: {
      name,
      ...(description == null ? {} : { description }),
      ...(parameters == null ? {} : { parameters }),
    },
  };
}

export const schemaFields = { name: v.nullish(text), schema: anyObject, strict: v.nullish(flag) };

/** A JSON schema in the engine's words. */
export function schemaFormat(format: {
  name?: string | null | undefined;
  schema: Record<string, unknown>;
  strict?: boolean | null | undefined;
}): ResponseFormat {
  const { name, schema, strict } = format;
  return {
    type: 'json_schema',
    schema,
    ...(name == null ? {} : { name: name.slice(0, 200) }),
    ...(strict == null ? {} : { strict }),
  };
}
