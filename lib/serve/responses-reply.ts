// Answers in the form of OpenAI's responses: one object, or a stream of events that build it.

import { randomUUID } from 'node:crypto';
import type { CallPart } from '../generation.js';
import type { TokenLogprobs } from '../logprobs.js';
import type { GenerationResult } from '../result.js';
import { CallIds } from '../structured/call-id.js';
import { listedLogprobs, logprobsOfText } from './logprobs.js';
import { contentOf } from './replies.js';
import type { ResponseEcho } from './responses-request.js';

type Status = 'in_progress' | 'completed' | 'incomplete';

/** Gives each event of a stream in turn: its type and its data. */
export type SendEvent = (type: string, data: object) => void;

/** One response while it is made. */
export class ResponseReply {
  readonly #id: string;
  readonly #messageId = `msg_${randomUUID().replaceAll('-', '')}`;
  readonly #head: object;
  readonly #echo: ResponseEcho;
  readonly #callIds = new CallIds();
  /** Ids of calls as items. */
  readonly #itemIds: string[] = [];
  /** What the output has so far: the message, or the place of a call among calls. */
  readonly #opened: ('message' | number)[] = [];

  constructor(id: string, model: string, echo: ResponseEcho) {
    this.#id = `resp_${id}`;
    this.#head = { object: 'response', created_at: Math.floor(Date.now() / 1000), model };
    this.#echo = echo;
  }

  /** The whole answer; `figures` stands beside what OpenAI has. */
  whole(result: GenerationResult, figures: object): object {
    return { ...this.#response(statusOf(result), this.#output(result), result), ...figures };
  }

  /** The events before the first text. */
  begin(send: SendEvent): void {
    const response = this.#response('in_progress', []);
    send('response.created', { response });
    send('response.in_progress', { response });
  }

  /** A piece of text, with its tokens' log-probabilities where they are asked for; the first one opens the message. */
  piece(send: SendEvent, text: string, logprobs: readonly TokenLogprobs[] = []): void {
    this.#openMessage(send);
    send('response.output_text.delta', {
      ...this.#place(),
      delta: text,
      logprobs: listedLogprobs(logprobs),
    });
  }

  /** More of a call; its name comes first. */
  call(send: SendEvent, part: CallPart): void {
    const { type, index } = part;
    if (type === 'call') {
      const output_index = this.#opened.push(index) - 1;
      send('response.output_item.added', {
        output_index,
        item: this.#callItem('in_progress', { ...part, arguments: '' }, index),
      });
    } else {
      const output_index = this.#opened.indexOf(index);
      const item_id = this.#itemId(index);
      send('response.function_call_arguments.delta', { item_id, output_index, delta: part.text });
    }
  }

  /** What is left to tell when the answer is known. */
  finish(send: SendEvent, result: GenerationResult, figures: object): void {
    const items = this.#output(result);
    // An answer without text and calls is an empty message.
    if (items.some(({ type }) => type === 'message')) this.#openMessage(send);
    const message = items.filter(({ type }) => type === 'message');
    const calls = items.filter(({ type }) => type !== 'message');
    const output = this.#opened.map((place) => (place === 'message' ? message[0]! : calls[place]!));
    output.forEach((item, output_index) => {
      if (item.type === 'message') this.#closeMessage(send, item);
      else closeCall(send, item, output_index);
    });
    const status = statusOf(result);
    send(`response.${status}`, { response: this.#response(status, output, result), ...figures });
  }

  #openMessage(send: SendEvent): void {
    if (this.#opened.includes('message')) return;
    const output_index = this.#opened.push('message') - 1;
    const item = {
      id: this.#messageId,
      type: 'message',
      status: 'in_progress',
      role: 'assistant',
      content: [],
    };
    send('response.output_item.added', { output_index, item });
    send('response.content_part.added', { ...this.#place(), part: textPart('', []) });
  }

  #closeMessage(send: SendEvent, item: MessageItem): void {
    const [part] = item.content;
    const { text, logprobs } = part!;
    send('response.output_text.done', { ...this.#place(), text, logprobs });
    send('response.content_part.done', { ...this.#place(), part });
    send('response.output_item.done', { output_index: this.#opened.indexOf('message'), item });
  }

  #place() {
    const output_index = this.#opened.indexOf('message');
    return { item_id: this.#messageId, output_index, content_index: 0 };
  }

  #output(result: GenerationResult): (MessageItem | CallItem)[] {
    const status = statusOf(result);
    const text = contentOf(result);
    const message: MessageItem[] = [];
    if (text !== null) {
      const content = [textPart(text, logprobsOfText(result) ?? [])];
      message.push({ id: this.#messageId, type: 'message', status, role: 'assistant', content });
    }
    const calls = (result.toolCalls ?? []).map((call, index) => this.#callItem(status, call, index));
    return [...message, ...calls];
  }

  #callItem(
    status: Status,
    { id, name, arguments: text }: { id: string; name: string; arguments: string },
    index: number,
  ): CallItem {
    return {
      id: this.#itemId(index),
      type: 'function_call',
      status,
      call_id: this.#callIds.of(index, id),
      name,
      arguments: text,
    };
  }

  #itemId(index: number): string {
    this.#itemIds[index] ??= `fc_${randomUUID().replaceAll('-', '')}`;
    return this.#itemIds[index]!;
  }

  #response(status: Status, output: object[], result?: GenerationResult): object {
    return {
      id: this.#id,
      ...this.#head,
      status,
      error: null,
      incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
      ...this.#echo,
      output,
      previous_response_id: null,
      store: false,
      truncation: 'disabled',
      usage: result
        ? {
            input_tokens: result.usage.promptTokens,
            input_tokens_details: { cached_tokens: result.stats.reusedPromptTokens },
            output_tokens: result.usage.completionTokens,
            output_tokens_details: { reasoning_tokens: 0 },
            total_tokens: result.usage.totalTokens,
          }
        : null,
    };
  }
}

interface MessageItem {
  id: string;
  type: 'message';
  status: Status;
  role: 'assistant';
  content: {
    type: 'output_text';
    text: string;
    annotations: [];
    logprobs: ReturnType<typeof listedLogprobs>;
  }[];
}

interface CallItem {
  id: string;
  type: 'function_call';
  status: Status;
  call_id: string;
  name: string;
  arguments: string;
}

function textPart(text: string, logprobs: readonly TokenLogprobs[]): MessageItem['content'][number] {
  return { type: 'output_text', text, annotations: [], logprobs: listedLogprobs(logprobs) };
}

function statusOf({ finishReason }: GenerationResult): Status {
  return finishReason === 'length' ? 'incomplete' : 'completed';
}

function closeCall(send: SendEvent, item: CallItem, output_index: number): void {
  const { arguments: text, id: item_id, name } = item;
  send('response.function_call_arguments.done', { item_id, output_index, name, arguments: text });
  send('response.output_item.done', { output_index, item });
}
