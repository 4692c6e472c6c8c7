// Routes that llama-server has and OpenAI has not: what the server is set to, its slots, and chats as prompts.

import type { FastifyInstance } from 'fastify';
import { chatRequest, templateRequest } from './chat-request.js';
import { goneSignal } from './gone-signal.js';
import { HttpError } from './http-error.js';
import { settingsOf } from './llama-reply.js';
import type { Serving } from './serving.js';
import { SlotBoard } from './slot-board.js';

/** llama-server's word for a seed that is drawn anew for each request. */
const ANY_SEED = 0xffff_ffff;

export function llamaRoutes(app: FastifyInstance, serving: Serving): void {
  const { engine, state, modelName, fingerprint, options } = serving;
  const { model, contextSize, parallel, drafters } = engine.info;
  const { maxMessages } = options;

  app.get('/props', () => {
    const defaults = serving.resolved({ ...state.policy });
    return {
      default_generation_settings: {
        n_ctx: contextSize,
        params: settingsOf(defaults, defaults.seed ?? ANY_SEED, false),
      },
      total_slots: parallel,
      model_path: model,
      model_alias: modelName,
      modalities: { vision: false, audio: false },
      build_info: fingerprint,
    };
  });

  const board = new SlotBoard(state, { parallel, contextSize, speculative: drafters.length > 0 });
  app.addHook('onClose', async () => board.close());
  app.get('/slots', () => {
    if (options.slots) return board.view();
    throw new HttpError('not_supported_error', 'This server tells nothing of its slots', {
      code: 'UNSUPPORTED',
    });
  });

  app.post('/apply-template', async ({ body }, reply) => {
    const { options: asked, addGenerationPrompt } = templateRequest(body, engine, maxMessages);
    const { messages, tools, continueFinalMessage, enableThinking } = serving.resolved(asked);
    const prompt = await engine.applyChatTemplateAsync(messages!, {
      signal: goneSignal(reply),
      addGenerationPrompt,
      ...(tools === undefined ? {} : { tools }),
      ...(continueFinalMessage === undefined ? {} : { continueFinalMessage }),
      ...(enableThinking === undefined ? {} : { enableThinking }),
    });
    return { prompt };
  });

  for (const prefix of ['/v1', '']) {
    app.post(`${prefix}/chat/completions/input_tokens`, async ({ body }, reply) => {
      const asked = chatRequest(body, engine, maxMessages).options;
      const options = { ...serving.resolved(asked), signal: goneSignal(reply) };
      return { input_tokens: await engine.countPromptTokensAsync(options) };
    });
  }
}
