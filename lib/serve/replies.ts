// Answers in OpenAI's two forms of completions, whole and as chunks.

import type { CallPart } from '../generation.js';
import type { TokenLogprobs } from '../logprobs.js';
import type { GenerationResult } from '../result.js';
import { type CallIds, callId } from '../structured/call-id.js';
import { metricsOf, timingsOf, usageOf } from './figures.js';
import { chatLogprobs, completionLogprobs, logprobsOfText } from './logprobs.js';

/** What all chunks of an answer have in common. */
export interface ReplyHead {
  id: string;
  /** Seconds since 1970. */
  created: number;
  model: string;
  system_fingerprint: string;
}

/** How an endpoint words its answers. */
export interface ReplyForm {
  /** The whole answer. */
  whole(head: ReplyHead, result: GenerationResult): object;
  /** What a stream begins with. */
  first(head: ReplyHead): object[];
  /** A piece of text, `offset` characters into it, with its tokens' log-probabilities where they are asked for. */
  piece(
    head: ReplyHead,
    text: string,
    logprobs: readonly TokenLogprobs[] | undefined,
    offset: number,
  ): object;
  /** More of a call of a tool, where the form has calls. */
  call?(head: ReplyHead, part: CallPart, ids: CallIds): object;
  /** Why the text has ended; with the log-probabilities that no piece had. */
  last(head: ReplyHead, result: GenerationResult, logprobs: readonly TokenLogprobs[] | undefined): object;
  /** A chunk without text. */
  empty(head: ReplyHead): object;
}

const chunk = (
  head: ReplyHead,
  delta: object,
  finish_reason: string | null = null,
  logprobs: readonly TokenLogprobs[] | undefined = undefined,
) => ({
  ...head,
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta, logprobs: logprobs ? chatLogprobs(logprobs) : null, finish_reason }],
});

export const chatForm: ReplyForm = {
  whole: (head, result) => ({
    ...head,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: contentOf(result),
          refusal: null,
          ...(hasCalls(result) ? { tool_calls: callsOf(result) } : {}),
        },
        logprobs: result.logprobs ? chatLogprobs(logprobsOfText(result)!) : null,
        finish_reason: result.finishReason,
      },
    ],
  }),
  first: (head) => [chunk(head, { role: 'assistant', content: null })],
  piece: (head, text, logprobs) => chunk(head, { content: text }, null, logprobs),
  call: (head, part, ids) => chunk(head, { tool_calls: [callDelta(part, ids)] }),
  last: (head, result, logprobs) => chunk(head, {}, result.finishReason, logprobs),
  empty: (head) => ({ ...head, object: 'chat.completion.chunk', choices: [] }),
};

const completion = (
  head: ReplyHead,
  text: string,
  finish_reason: string | null,
  logprobs: readonly TokenLogprobs[] | undefined = undefined,
  offset = 0,
) => ({
  ...head,
  object: 'text_completion',
  choices: [
    { index: 0, text, logprobs: logprobs ? completionLogprobs(logprobs, offset) : null, finish_reason },
  ],
});

export const completionForm: ReplyForm = {
  whole: (head, result) => completion(head, result.text, result.finishReason, logprobsOfText(result)),
  first: () => [],
  piece: (head, text, logprobs, offset) => completion(head, text, null, logprobs, offset),
  last: (head, result) => completion(head, '', result.finishReason),
  empty: (head) => ({ ...head, object: 'text_completion', choices: [] }),
};

/** The figures of an answer that is complete. */
export function figuresOf(result: GenerationResult, queueMs: number, maxDepth: number) {
  return { timings: timingsOf(result), metrics: metricsOf(result, queueMs, maxDepth) };
}

export { usageOf };

/** What the model says beside its calls: null where it only calls. */
export function contentOf(result: GenerationResult): string | null {
  const content = result.content ?? result.text;
  return content === '' && hasCalls(result) ? null : content;
}

export function hasCalls({ toolCalls = [] }: GenerationResult): boolean {
  return toolCalls.length > 0;
}

/** As OpenAI has it: id and name first, with the arguments still to come. */
function callDelta(part: CallPart, ids: CallIds): object {
  const { type, index } = part;
  if (type === 'arguments') return { index, function: { arguments: part.text } };
  const called = { name: part.name, arguments: '' };
  return { index, id: ids.of(index, part.id), type: 'function', function: called };
}

function callsOf({ toolCalls = [] }: GenerationResult) {
  return toolCalls.map(({ id, name, arguments: text }) => ({
    id: callId(id),
    type: 'function',
    function: { name, arguments: text },
  }));
}
