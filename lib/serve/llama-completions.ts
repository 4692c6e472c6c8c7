// Runs the requests of llama-server's own completions, one prompt after the other, and words their answers.

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RequestOptions } from '../options.js';
import { type LlamaHead, llamaEnd, llamaPieces, llamaWhole, selected } from './llama-reply.js';
import type { LlamaRequest } from './llama-request.js';
import type { ServedRequest } from './request.js';
import type { Serving } from './serving.js';

/** Answers a completion in llama-server's own form. */
export async function llamaComplete(
  serving: Serving,
  { prompts, several, returnTokens, responseFields }: LlamaRequest,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const { maxDepth } = serving.engine.info;
  if (!prompts[0]!.stream) {
    const answers: object[] = [];
    for (const [index, served] of prompts.entries()) {
      const { result, queueMs } = await serving.answer(served, request, reply);
      const whole = llamaWhole(headOf(serving, served, index), result, { queueMs, maxDepth, returnTokens });
      answers.push(selected(whole, responseFields));
    }
    return several ? answers : answers[0];
  }
  await serving.streams(prompts, request, reply, (served, index) => {
    const head = headOf(serving, served, index);
    const wantsLogprobs = served.options.logprobs !== undefined;
    return {
      begin: () => {},
      text: (stream, text, logprobs, tokens) => {
        for (const piece of llamaPieces(head, text, tokens, wantsLogprobs ? logprobs : undefined))
          stream.send(piece);
      },
      // There are no tools.
      part: () => {},
      finish: (stream, result, queueMs) => {
        stream.send(selected(llamaEnd(head, result, queueMs, maxDepth), responseFields));
        if (index === prompts.length - 1) stream.end();
      },
      fail: (stream, body) => stream.fail(body),
    };
  });
  return reply;
}

/** llama-server's own form of an answer to a chat, beside OpenAI's. */
export async function verboseOf(
  serving: Serving,
  served: ServedRequest,
  answer: Awaited<ReturnType<Serving['answer']>>,
) {
  const { result, queueMs } = answer;
  const { maxDepth } = serving.engine.info;
  const head = headOf(serving, served, 0, await promptText(serving, serving.resolved(served.options)));
  return llamaWhole(head, result, { queueMs, maxDepth, returnTokens: true });
}

function headOf(
  serving: Serving,
  served: ServedRequest,
  index: number,
  prompt = givenPrompt(serving, served.options),
): LlamaHead {
  const options = serving.resolved(served.options);
  return {
    index,
    model: serving.modelName,
    options,
    stream: served.stream,
    prompt,
  };
}

/** Of a request that has a prompt. */
function givenPrompt({ engine }: Serving, { prompt }: RequestOptions): string {
  return typeof prompt === 'string' ? prompt : engine.detokenize(prompt!);
}

async function promptText(serving: Serving, options: RequestOptions): Promise<string> {
  const { messages, tools, toolChoice, ...turn } = options;
  if (messages === undefined) return givenPrompt(serving, options);
  const { continueFinalMessage, enableThinking } = turn;
  return serving.engine.applyChatTemplateAsync(messages, {
    ...(tools && toolChoice !== 'none' ? { tools } : {}),
    ...(continueFinalMessage === undefined ? {} : { continueFinalMessage }),
    ...(enableThinking === undefined ? {} : { enableThinking }),
  });
}
