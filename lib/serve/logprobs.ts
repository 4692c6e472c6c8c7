// Log-probabilities of a text's tokens, in the words of OpenAI's forms of answers.

import type { TokenLogprobs, TokenProbability } from '../logprobs.js';
import type { GenerationResult } from '../result.js';

/** What OpenAI says for a token that is as good as impossible; JSON has no infinity. */
const LEAST = -9999;

/** Of a chat's tokens. */
export function chatLogprobs(tokens: readonly TokenLogprobs[]) {
  return { content: listedLogprobs(tokens), refusal: null };
}

/** Token by token, as chats and responses have them. */
export function listedLogprobs(tokens: readonly TokenLogprobs[]) {
  return tokens.map(({ top, ...token }) => ({ ...entry(token), top_logprobs: top.map(entry) }));
}

/** Of a completion's tokens, of which the first begins `offset` characters into the text. */
export function completionLogprobs(tokens: readonly TokenLogprobs[], offset: number) {
  let next = offset;
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(bounded),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map((one) => [one.text, bounded(one)]))),
    text_offset: tokens.map(({ text }) => {
      const at = next;
      next += text.length;
      return at;
    }),
  };
}

/** Those of a whole text: what ended it is a token too, and none of its own. */
export function logprobsOfText({ logprobs, finishReason, stopString }: GenerationResult) {
  const ended = (finishReason === 'stop' || finishReason === 'tool_calls') && stopString === undefined;
  return logprobs && ended ? logprobs.slice(0, -1) : logprobs;
}

function entry(token: TokenProbability) {
  return { token: token.text, logprob: bounded(token), bytes: [...token.bytes] };
}

/** A log-probability that JSON can hold. */
export function bounded({ logprob }: Pick<TokenProbability, 'logprob'>): number {
  return Math.max(logprob, LEAST);
}
