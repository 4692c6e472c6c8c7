// What a server may be told: its options, their defaults and their check.

import * as v from 'valibot';
import type { Controller } from '../control/controller.js';
import { AdaptiveSpecError } from '../errors.js';
import { checkRequestOptions, describe, type RequestOptions } from '../options.js';
import { isLoopback } from './guards.js';

/** How `createServer` serves. Times are in milliseconds. */
export interface ServerOptions {
  /** Address to listen on. Default '127.0.0.1'. Any that others can reach needs an `apiKey`. */
  host?: string;
  /** Default 8080; 0 takes a free one. */
  port?: number;
  /** One or more keys, one of which every request must give, but those of `/livez`, `/readyz` and `/health`. */
  apiKey?: string | readonly string[];
  /** What the model is called. Default: its file's name, without `.gguf`. */
  modelName?: string;
  /** Controller of requests that name none. Default 'auto'. */
  controller?: Controller | string;
  /** The depth of the controller 'fixed'. */
  depth?: number;
  /** What requests get that don't say otherwise. Default: greedy, as much as the context holds. */
  defaults?: RequestDefaults;
  /** Whether `/slots` tells of the requests that run: how long they are, not what they say. Default true. */
  slots?: boolean;
  /** Whether every whole answer has llama-server's own form of it as `__verbose`, the prompt included. Default false. */
  verbose?: boolean;
  /** Requests that may wait for a slot; more are refused. Default 64. */
  queue?: number;
  /** Go on from what earlier requests with the same API key have read, where prompts begin alike. Default true. */
  cachePrompt?: boolean;
  /** Names in the Host header, beside addresses and 'localhost', that are this server's. Default: none. */
  allowedHosts?: readonly string[];
  /** Largest body, in bytes. Default 4 MiB. */
  bodyLimit?: number;
  /** Most messages of a request. Default 1024. */
  maxMessages?: number;
  /** Most connections at once. Default 1024. */
  maxConnections?: number;
  /** A stream in which nothing happens gets a comment this often, so that it isn't taken for dead. Default 15,000. */
  pingMs?: number;
  /** How long a client may leave a stream's text unread before it is cut off. Default 30,000. */
  stalledMs?: number;
  /** Unread bytes of a stream at which it is cut off. Default 256 KiB. */
  stalledBytes?: number;
  /** Time to send a request's headers. Default 10,000. */
  headersTimeoutMs?: number;
  /** Time to send a request, headers and body. Default 30,000. */
  requestTimeoutMs?: number;
  /** How long `close` lets running requests go on. Default 30,000. */
  drainMs?: number;
  /** Told of failures that are the server's own. Default: nobody. */
  onError?: (error: unknown, requestId: string) => void;
}

/** Options of requests that a server may have defaults for, as `RequestOptions` documents them. */
export type RequestDefaults = Pick<
  RequestOptions,
  'maxTokens' | 'temperature' | 'topK' | 'topP' | 'minP' | 'seed' | 'enableThinking' | 'drafter'
>;

const whole = (min: number, max: number) => {
  const expected = `a whole number from ${min} to ${max}`;
  return v.pipe(
    v.number(expected),
    v.integer(expected),
    v.minValue(min, expected),
    v.maxValue(max, expected),
  );
};
const text = (expected: string) => v.pipe(v.string(expected), v.minLength(1, expected));
/** Longer ones overflow Node's timers. */
const milliseconds = (fallback: number) => v.optional(whole(1, 2 ** 31 - 1), fallback);

const schema = v.strictObject({
  host: v.optional(text('an address'), '127.0.0.1'),
  port: v.optional(whole(0, 65_535), 8080),
  apiKey: v.optional(v.union([text('a key'), v.array(text('a key'))], 'a key that is not empty, or several')),
  modelName: v.optional(text('a name')),
  // The state, which resolves them, knows best what these two may be.
  controller: v.optional(
    v.custom<Controller | string>(() => true),
    'auto',
  ),
  depth: v.optional(v.custom<number>(() => true)),
  // The check of requests knows best what they may be.
  defaults: v.optional(
    v.strictObject(
      {
        maxTokens: v.optional(v.custom<number>(() => true)),
        temperature: v.optional(v.custom<number>(() => true)),
        topK: v.optional(v.custom<number>(() => true)),
        topP: v.optional(v.custom<number>(() => true)),
        minP: v.optional(v.custom<number>(() => true)),
        seed: v.optional(v.custom<number>(() => true)),
        enableThinking: v.optional(v.custom<boolean>(() => true)),
        drafter: v.optional(v.custom<string>(() => true)),
      },
      'an object with maxTokens, temperature, topK, topP, minP, seed, enableThinking and drafter only',
    ),
    {},
  ),
  slots: v.optional(v.boolean('true or false'), true),
  verbose: v.optional(v.boolean('true or false'), false),
  queue: v.optional(whole(0, 100_000), 64),
  cachePrompt: v.optional(v.boolean('true or false'), true),
  allowedHosts: v.optional(v.array(text('a name'), 'an array of names'), []),
  bodyLimit: v.optional(whole(1, 2 ** 30), 4 * 2 ** 20),
  maxMessages: v.optional(whole(1, 1_000_000), 1024),
  maxConnections: v.optional(whole(1, 1_000_000), 1024),
  pingMs: milliseconds(15_000),
  stalledMs: milliseconds(30_000),
  stalledBytes: v.optional(whole(1024, 2 ** 30), 256 * 1024),
  headersTimeoutMs: milliseconds(10_000),
  requestTimeoutMs: milliseconds(30_000),
  drainMs: milliseconds(30_000),
  onError: v.optional(
    v.custom<(error: unknown, requestId: string) => void>(
      (value) => typeof value === 'function',
      'a function',
    ),
  ),
});

export type CheckedServerOptions = Omit<v.InferOutput<typeof schema>, 'apiKey'> & { keys: readonly string[] };

const KNOWN_OPTIONS = `Known options: ${Object.keys(schema.entries).join(', ')}.`;

/** Throws INVALID_ARGUMENT, for an address that others can reach without a key too. */
export function checkServerOptions(options: ServerOptions): CheckedServerOptions {
  const result = v.safeParse(schema, options, { abortEarly: true });
  if (!result.success) {
    const issue = result.issues[0];
    const name = v.getDotPath(issue) ?? 'A server option';
    if (issue.expected === 'never')
      throw new AdaptiveSpecError('INVALID_ARGUMENT', `There is no server option ${name}`, KNOWN_OPTIONS);
    // A key is a secret, wrong or not.
    const value = name === 'apiKey' ? 'wrong' : describe(issue.input);
    throw new AdaptiveSpecError('INVALID_ARGUMENT', `${name} is ${value}`, `Give ${issue.message}.`);
  }
  const { apiKey = [], ...rest } = result.output;
  checkRequestOptions({ prompt: ' ', ...rest.defaults });
  if (rest.headersTimeoutMs > rest.requestTimeoutMs) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      'headersTimeoutMs is more than requestTimeoutMs',
      'Headers are part of a request: give them no more time than all of it.',
    );
  }
  const keys = typeof apiKey === 'string' ? [apiKey] : apiKey;
  if (keys.length === 0 && !isLoopback(rest.host)) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `Everybody who reaches ${rest.host} could use this server: it has no API key`,
      'Give an API key, or listen on 127.0.0.1.',
    );
  }
  return { ...rest, keys };
}
