// Routes that generate. Each goes by llama-server's path too, which lacks the `/v1`.

import type { FastifyInstance } from 'fastify';
import { chatRequest } from './chat-request.js';
import { completionRequest } from './completion-request.js';
import { complete } from './completions.js';
import { goneSignal } from './gone-signal.js';
import type { HttpError } from './http-error.js';
import { Intake } from './intake.js';
import { llamaComplete } from './llama-completions.js';
import { llamaRequest } from './llama-request.js';
import { respond } from './responses.js';
import { responsesRequest } from './responses-request.js';
import type { Serving } from './serving.js';

export function generationRoutes(app: FastifyInstance, serving: Serving): void {
  const { engine } = serving;
  const { maxMessages } = serving.options;
  const intake = new Intake((ahead) => serving.mustHaveRoom(ahead));
  // In front of the body, which is never read then: where many come at once, refusals are most of what there is to do.
  app.addHook('onRequest', (_request, _reply, done) => {
    try {
      intake.admit(done);
    } catch (error) {
      done(error as HttpError);
    }
  });
  for (const prefix of ['/v1', '']) {
    app.post(`${prefix}/chat/completions`, (request, reply) =>
      complete(serving, chatRequest(request.body, engine, maxMessages), request, reply),
    );
    app.post(`${prefix}/responses`, (request, reply) =>
      respond(serving, responsesRequest(request.body, engine, maxMessages), request, reply),
    );
  }
  app.post('/v1/completions', (request, reply) =>
    complete(serving, completionRequest(request.body, engine), request, reply),
  );
  // Without `/v1` a completion is llama-server's own.
  for (const path of ['/completion', '/completions']) {
    app.post(path, async (request, reply) => {
      const asked = await llamaRequest(request.body, engine, goneSignal(reply));
      return llamaComplete(serving, asked, request, reply);
    });
  }
}
