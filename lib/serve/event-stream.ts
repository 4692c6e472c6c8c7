// Server-sent events to one client: a head, data, comments while nothing happens, and an end for those who don't read.

import type { FastifyReply } from 'fastify';
import type { ErrorBody } from './http-error.js';

export interface EventStreamOptions {
  pingMs: number;
  stalledMs: number;
  stalledBytes: number;
}

/**
 * Opens at the first event, or with a comment once `pingMs` have gone by; what goes wrong before can be answered as
 * usual. Writing never waits: a client that leaves `stalledBytes` unread, or anything for `stalledMs`, is cut off.
 */
export class EventStream {
  readonly #reply: FastifyReply;
  readonly #options: EventStreamOptions;
  readonly #ping: NodeJS.Timeout;
  #stalled: NodeJS.Timeout | undefined;
  #open = false;

  constructor(reply: FastifyReply, options: EventStreamOptions) {
    this.#reply = reply;
    this.#options = options;
    this.#ping = setInterval(() => this.#write(': ping\n\n'), options.pingMs);
    const { raw } = reply;
    raw.on('drain', () => this.#flows());
    raw.on('close', () => {
      this.#flows();
      clearInterval(this.#ping);
    });
  }

  /** Whether the head is out, and errors must be told within the stream. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Sends one event. */
  send(data: unknown, event?: string): void {
    this.#write(`${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`);
    this.#ping.refresh();
  }

  /** Ends the stream well. `mark` is what OpenAI's completions end with. */
  end(mark?: '[DONE]'): void {
    if (mark !== undefined) this.#write(`data: ${mark}\n\n`);
    this.#close();
  }

  /** Ends the stream with an error, which OpenAI's clients throw. */
  fail(body: ErrorBody, event?: string): void {
    this.send(event === undefined ? body : { ...body.error, type: event }, event);
    this.#close();
  }

  /** Without an answer: nothing was sent, and nothing will be. */
  cancel(): void {
    clearInterval(this.#ping);
  }

  #close(): void {
    clearInterval(this.#ping);
    this.#reply.raw.end();
  }

  #write(text: string): void {
    const { raw } = this.#reply;
    if (raw.destroyed || raw.writableEnded) return;
    if (!this.#open) {
      this.#open = true;
      this.#reply.hijack();
      raw.writeHead(200, {
        ...(this.#reply.getHeaders() as Record<string, string>),
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        // Else nginx would keep the events to itself until there are many.
        'x-accel-buffering': 'no',
      });
    }
    const { stalledBytes, stalledMs } = this.#options;
    if (raw.writableLength > stalledBytes) raw.destroy();
    else if (!raw.write(text)) this.#stalled ??= setTimeout(() => raw.destroy(), stalledMs);
  }

  #flows(): void {
    clearTimeout(this.#stalled);
    this.#stalled = undefined;
  }
}
