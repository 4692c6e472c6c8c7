// Runs the requests of OpenAI's two forms of completions, and words their answers.

import type { FastifyReply, FastifyRequest } from 'fastify';
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
      ...(verbose ? { __verbose: verboseOf(serving, served, answer) } : {}),
    };
  }
  // OpenAI's streams with usage have it as null before the end.
  const usage = served.includeUsage ? { usage: null } : {};
  const holds = mayCall(served);
  const wantsLogprobs = served.options.logprobs !== undefined;
  let offset = 0;
  await serving.stream(served, request, reply, {
    begin: (stream) => {
      for (const chunk of form.first(head)) stream.send({ ...chunk, ...usage });
    },
    text: (stream, text, logprobs) => {
      if (holds) return;
      stream.send({ ...form.piece(head, text, wantsLogprobs ? logprobs : undefined, offset), ...usage });
      offset += text.length;
    },
    finish: (stream, result, queueMs) => {
      const said = result.content ?? result.text;
      if (holds && said !== '') {
        stream.send({ ...form.piece(head, said, logprobsOfText(result), 0), ...usage });
      }
      for (const chunk of form.calls(head, result)) stream.send({ ...chunk, ...usage });
      const figures = figuresOf(result, queueMs, maxDepth);
      stream.send({ ...form.last(head, result), ...usage, ...(served.includeUsage ? {} : figures) });
      if (served.includeUsage) stream.send({ ...form.empty(head), usage: usageOf(result), ...figures });
      stream.end('[DONE]');
    },
    fail: (stream, body) => stream.fail(body),
  });
  return reply;
}
