// Runs the requests of OpenAI's responses, and sends their answers.

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { EventStream } from './event-stream.js';
import { figuresOf } from './replies.js';
import { mayCall, type ServedRequest } from './request.js';
import { ResponseReply, type SendEvent } from './responses-reply.js';
import type { ResponseEcho } from './responses-request.js';
import type { Serving } from './serving.js';

/** Answers a response. */
export async function respond(
  serving: Serving,
  { request: served, echo }: { request: ServedRequest; echo: ResponseEcho },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const { maxDepth } = serving.engine.info;
  const { temperature = 0, topP = 1 } = serving.resolved(served.options);
  const resolved = { ...echo, temperature, top_p: topP };
  const made = new ResponseReply(request.id.replaceAll('-', ''), serving.modelName, resolved);
  if (!served.stream) {
    const { result, queueMs } = await serving.answer(served, request, reply);
    return made.whole(result, figuresOf(result, queueMs, maxDepth));
  }
  let sent = 0;
  const sender =
    (stream: EventStream): SendEvent =>
    (type, data) =>
      stream.send({ type, sequence_number: sent++, ...data }, type);
  const calls = mayCall(served);
  await serving.stream(served, request, reply, {
    begin: (stream) => made.begin(sender(stream)),
    text: (stream, text, logprobs) => {
      if (!calls) made.piece(sender(stream), text, logprobs);
    },
    part: (stream, part) => {
      if (part.type === 'content') made.piece(sender(stream), part.text);
      else made.call(sender(stream), part);
    },
    finish: (stream, result, queueMs) => {
      made.finish(sender(stream), result, figuresOf(result, queueMs, maxDepth));
      stream.end();
    },
    fail: (stream, body) => stream.fail(body, 'error'),
  });
  return reply;
}
