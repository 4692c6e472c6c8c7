// Routes that tell of the server and its model, and those that turn text into tokens and back.

import type { FastifyInstance } from 'fastify';
import * as v from 'valibot';
import { flag, readBody, text } from './fields.js';
import { goneSignal } from './gone-signal.js';
import { HttpError, invalidField, unavailable } from './http-error.js';
import type { Serving } from './serving.js';
import { tokenList } from './token-list.js';

const tokenizeSchema = v.object({
  content: v.nullish(text),
  // vLLM's name for it.
  prompt: v.nullish(text),
  add_special: v.nullish(flag),
  parse_special: v.nullish(flag),
  with_pieces: v.nullish(flag),
});

const detokenizeSchema = v.object({ tokens: v.array(v.number('a number'), 'an array of token ids') });

/** What llama-server can do and this server can't. */
const UNSUPPORTED = [
  '/embeddings',
  '/rerank',
  '/reranking',
  '/infill',
  '/images/generations',
  '/audio/transcriptions',
];

export function serverRoutes(app: FastifyInstance, serving: Serving): void {
  const { engine, state, metrics } = serving;
  const ready = () => {
    if (state.draining) throw unavailable('SHUTTING_DOWN', 'The server is shutting down', 1);
    return { status: 'ok' };
  };
  const startedAt = Math.floor(Date.now() / 1000 - process.uptime());
  app.get('/livez', () => ({ status: 'ok' }));
  for (const path of ['/readyz', '/health', '/v1/health']) app.get(path, ready);
  app.get('/metrics', async (_request, reply) => {
    reply.type(metrics.contentType);
    // Written so, as llama-server does; Fastify would write it in small letters.
    reply.raw.setHeader('Process-Start-Time-Unix', startedAt);
    return metrics.text();
  });

  const model = modelOf(serving);
  for (const prefix of ['/v1', '']) {
    app.get(`${prefix}/models`, () => ({ object: 'list', data: [model] }));
    app.get<{ Params: { '*': string } }>(`${prefix}/models/*`, ({ params }) => {
      if (params['*'] === serving.modelName) return model;
      throw new HttpError(
        'not_found_error',
        `There is no model ${JSON.stringify(params['*'].slice(0, 80))}`,
        {
          param: 'model',
          code: 'model_not_found',
        },
      );
    });
  }

  app.post('/tokenize', async ({ body }, reply) => {
    const { content, prompt, add_special, parse_special, with_pieces } = readBody(tokenizeSchema, body);
    const words = content ?? prompt;
    if (words == null) throw invalidField('content', 'content is missing. Give a string.');
    const tokens = await engine.tokenizeAsync(words, {
      addSpecial: add_special ?? false,
      parseSpecial: parse_special ?? true,
      signal: goneSignal(reply),
    });
    reply.type('application/json; charset=utf-8');
    return reply.send(tokenList(engine, tokens, with_pieces === true));
  });
  app.post('/detokenize', ({ body }) => ({
    content: engine.detokenize(readBody(detokenizeSchema, body).tokens),
  }));

  for (const path of UNSUPPORTED) {
    for (const prefix of ['/v1', '']) {
      app.post(`${prefix}${path}`, () => {
        throw new HttpError('not_supported_error', `${path} is not supported`, { code: 'UNSUPPORTED' });
      });
    }
  }
}

function modelOf({ engine: { info }, modelName, fingerprint }: Serving) {
  return {
    id: modelName,
    object: 'model',
    created: Math.floor(Date.now() / 1000),
    owned_by: fingerprint,
    // As llama-server has them.
    meta: {
      n_vocab: info.vocabularySize,
      n_ctx: info.contextSize,
      n_ctx_train: info.trainedContext,
      n_params: info.parameters,
      size: info.modelBytes,
    },
  };
}
