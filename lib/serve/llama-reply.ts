// Answers in llama-server's own form, whole and as pieces of a stream.

import type { TokenLogprobs, TokenProbability } from '../logprobs.js';
import type { RequestOptions } from '../options.js';
import type { GenerationResult } from '../result.js';
import { metricsOf, timingsOf } from './figures.js';
import { bounded, logprobsOfText } from './logprobs.js';

/** What an answer is told with. */
export interface LlamaHead {
  /** Which of the request's prompts it answers. */
  index: number;
  model: string;
  /** The request's options, the server's defaults among them. */
  options: RequestOptions;
  stream: boolean;
  /** What the model has read, as text. */
  prompt: string;
}

/** What is told at the end, and of a whole answer. */
export function llamaEnd(head: LlamaHead, result: GenerationResult, queueMs: number, maxDepth: number) {
  const { options } = head;
  const { promptTokens, completionTokens, totalTokens } = result.usage;
  const limited = result.finishReason === 'length';
  return {
    index: head.index,
    content: '',
    tokens: [] as number[],
    stop: true,
    model: head.model,
    tokens_predicted: completionTokens,
    tokens_evaluated: promptTokens,
    generation_settings: settingsOf(options, result.seed, head.stream),
    prompt: head.prompt,
    has_new_line: result.text.includes('\n'),
    // The context has ended the text, and not the request's limit.
    truncated: limited && completionTokens < options.maxTokens!,
    stop_type: limited ? 'limit' : result.stopString === undefined ? 'eos' : 'word',
    stopping_word: result.stopString ?? '',
    tokens_cached: totalTokens,
    timings: timingsOf(result),
    metrics: metricsOf(result, queueMs, maxDepth),
  };
}

/** A whole answer. */
export function llamaWhole(
  head: LlamaHead,
  result: GenerationResult,
  { queueMs, maxDepth, returnTokens }: { queueMs: number; maxDepth: number; returnTokens: boolean },
) {
  return {
    ...llamaEnd(head, result, queueMs, maxDepth),
    content: result.text,
    tokens: returnTokens ? result.tokens : [],
    ...(result.logprobs ? { completion_probabilities: probabilitiesOf(logprobsOfText(result)!) } : {}),
  };
}

/** Pieces of a stream: one for each token where log-probabilities are asked for and the text lets them be told apart. */
export function llamaPieces(
  { index }: LlamaHead,
  content: string,
  tokens: readonly number[],
  logprobs: readonly TokenLogprobs[] | undefined,
): object[] {
  const piece = (content: string, tokens: readonly number[], told?: readonly TokenLogprobs[]) => ({
    index,
    content,
    tokens,
    stop: false,
    ...(told ? { completion_probabilities: probabilitiesOf(told) } : {}),
  });
  if (logprobs === undefined) return [piece(content, tokens)];
  if (logprobs.map(({ text }) => text).join('') !== content) return [piece(content, tokens, logprobs)];
  return logprobs.map((one) => piece(one.text, [one.token], [one]));
}

/** The fields that the paths name, by these names; those that aren't there are left out. */
export function selected(answer: object, paths: readonly string[]): object {
  if (paths.length === 0) return answer;
  const found = paths.flatMap((path) => {
    let value: unknown = answer;
    for (const name of path.split('/')) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return [];
      value = (value as Record<string, unknown>)[name];
    }
    return [[path, value]];
  });
  return Object.fromEntries(found);
}

/** llama-server's `generation_settings`, as far as there is such a setting here. */
export function settingsOf(options: RequestOptions, seed: number, stream: boolean) {
  const { maxTokens, stop = [], logitBias = [], controller, depth, drafter } = options;
  return {
    seed,
    temperature: options.temperature ?? 0,
    top_k: options.topK ?? 0,
    top_p: options.topP ?? 1,
    min_p: options.minP ?? 0,
    repeat_last_n: options.penaltyLastN ?? 64,
    repeat_penalty: options.repeatPenalty ?? 1,
    presence_penalty: options.presencePenalty ?? 0,
    frequency_penalty: options.frequencyPenalty ?? 0,
    stop: typeof stop === 'string' ? [stop] : stop,
    max_tokens: maxTokens,
    n_predict: maxTokens,
    ignore_eos: options.ignoreEos ?? false,
    // JSON has no infinity; llama-server has null for it, too.
    logit_bias: logitBias.map(([token, bias]) => ({ token, bias: Number.isFinite(bias) ? bias : null })),
    n_probs: options.logprobs ?? 0,
    grammar: options.grammar ?? '',
    stream,
    adaptive_spec: {
      controller: typeof controller === 'string' ? controller : undefined,
      depth,
      maxDepth: options.maxDepth,
      drafter,
      share: options.share,
    },
  };
}

function probabilitiesOf(tokens: readonly TokenLogprobs[]) {
  return tokens.map(({ top, ...token }) => ({ ...entry(token), top_logprobs: top.map(entry) }));
}

function entry(one: TokenProbability) {
  return { id: one.token, token: one.text, bytes: [...one.bytes], logprob: bounded(one) };
}
