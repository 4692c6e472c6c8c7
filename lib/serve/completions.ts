// Runs the requests of OpenAI's two forms of completions, and words their answers.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { CallIds } from '../structured/call-id.js';
import { verboseOf } from './llama-completions.js';
import { logprobsOfText } from './logprobs.js';
import { chatForm, completionForm, figuresOf, type ReplyHead, usageOf } from './replies.js';
import { mayCall, type ServedRequest } from './request.js';
import type { Serving } from './serving.js';

/** Answers a chat completion or a completion. */
export async function complete(
  serving: Serving,
  served: ServedRequest,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const form = served.kind === 'chat' ? chatForm : completionForm;
  const { maxDepth } = serving.engine.info;
  const head: ReplyHead = {
    id: `${served.kind === 'chat' ? 'chatcmpl' : 'cmpl'}-${request.id}`,
    created: Math.floor(Date.now() / 1000),
    model: serving.modelName,
    system_fingerprint: serving.fingerprint,
  };
  if (!served.stream) {
    const answer = await serving.answer(served, request, reply);
    const { result, queueMs } = answer;
    const verbose = served.verbose || serving.options.verbose;
    return {
      ...form.whole(head, result),
      usage: usageOf(result),
      ...figuresOf(result, queueMs, maxDepth),
      ...(verbose ? { __verbose: await verboseOf(serving, served, answer) } : {}),
    };
  }
  // OpenAI's streams with usage have it as null before the end.
  const usage = served.includeUsage ? { usage: null } : {};
  // Its text has the calls in it; what it says and calls comes in parts of their own.
  const calls = mayCall(served);
  const ids = new CallIds();
  const wantsLogprobs = served.options.logprobs !== undefined;
  let offset = 0;
  await serving.stream(served, request, reply, {
    begin: (stream) => {
      for (const chunk of form.first(head)) stream.send({ ...chunk, ...usage });
    },
    text: (stream, text, logprobs) => {
      if (calls) return;
      stream.send({ ...form.piece(head, text, wantsLogprobs ? logprobs : undefined, offset), ...usage });
      offset += text.length;
    },
    part: (stream, part) => {
      const chunk =
        part.type === 'content' ? form.piece(head, part.text, undefined, 0) : form.call?.(head, part, ids);
      stream.send({ ...chunk, ...usage });
    },
    finish: (stream, result, queueMs) => {
      const figures = figuresOf(result, queueMs, maxDepth);
      const last = form.last(head, result, calls ? logprobsOfText(result) : undefined);
      stream.send({ ...last, ...usage, ...(served.includeUsage ? {} : figures) });
      if (served.includeUsage) stream.send({ ...form.empty(head), usage: usageOf(result), ...figures });
      stream.end('[DONE]');
    },
    fail: (stream, body) => stream.fail(body),
  });
  return reply;
}
