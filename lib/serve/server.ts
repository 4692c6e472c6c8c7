// An HTTP server on one engine: OpenAI's and llama-server's endpoints, with guards, limits and metrics.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { basename, join } from 'node:path';
import Fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import { packageRoot } from '../binding.js';
import { AdaptiveSpecError } from '../errors.js';
import { dashboardPlugin } from './dashboard/plugin.js';
import { hostGuard, keyGuard } from './guards.js';
import { HttpError } from './http-error.js';
import { readJson } from './json-body.js';
import { ServerMetrics } from './metrics.js';
import { checkServerOptions, type ServerOptions } from './options.js';
import { generationRoutes } from './routes-generation.js';
import { llamaRoutes } from './routes-llama.js';
import { serverRoutes } from './routes-server.js';
import type { ServedEngine } from './served-engine.js';
import { Serving } from './serving.js';
import { ServerState } from './state.js';

const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
  version: string;
};

/** A server that was made and may listen. */
export interface Server extends AsyncDisposable {
  /** For routes of your own, before `listen`: they stand behind the API key and the Host check too. */
  readonly app: FastifyInstance;
  /** The default controller, which may be changed at any time; the queue; events of requests. */
  readonly state: ServerState;
  /** Listens, and answers the address, such as 'http://127.0.0.1:8080'. Throws INVALID_ARGUMENT where it can't be had. */
  listen(): Promise<string>;
  /**
   * Ends: `/readyz` says 503 at once, requests that wait are refused, running ones may go on for `drainMs`. The engine
   * stays open.
   */
  close(): Promise<void>;
}

/** Makes a server on an engine, which it doesn't close. Throws INVALID_ARGUMENT. */
export function createServer(engine: ServedEngine, options: ServerOptions = {}): Server {
  const checked = checkServerOptions(options);
  const { controller, depth } = checked;
  const state = new ServerState(depth === undefined ? { controller } : { controller, depth });
  const modelName = checked.modelName ?? basename(engine.info.model).replace(/\.gguf$/i, '');
  const metrics = new ServerMetrics(engine, state, { modelName, version });
  const serving = new Serving({
    ...{ engine, state, metrics, modelName },
    options: checked,
    fingerprint: `adaptive-spec-${version}`,
  });
  const app = Fastify({
    bodyLimit: checked.bodyLimit,
    requestTimeout: checked.requestTimeoutMs,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    forceCloseConnections: true,
    clientErrorHandler: refuseConnection,
    // Node looks for late requests this often; it keeps them in order, so that looking costs nothing.
    http: {
      headersTimeout: checked.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(50, checked.headersTimeoutMs),
    },
  });
  app.server.maxConnections = checked.maxConnections;

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request: unknown, body: Buffer) =>
    readJson(body),
  );

  const mayAsk = hostGuard([...checked.allowedHosts, checked.host]);
  const hasKey = keyGuard(checked.keys);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    // Else a client would send its next request on a connection that is about to end.
    if (state.draining) reply.header('connection', 'close');
    try {
      mayAsk(request);
      hasKey(request);
      done();
    } catch (error) {
      done(error as HttpError);
    }
  });
  app.setNotFoundHandler((request) => {
    const path = request.url.split('?', 1)[0]!.slice(0, 80);
    throw new HttpError('not_found_error', `There is no ${request.method} ${path}`, { code: 'NOT_FOUND' });
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const { status, headers, body } = serving.told(frameworkError(error), request);
    reply.code(status).headers(headers).send(body);
  });
  app.register(async (scope) => generationRoutes(scope, serving));
  app.register(async (scope) => serverRoutes(scope, serving));
  app.register(async (scope) => llamaRoutes(scope, serving));
  app.register(async (scope) => dashboardPlugin(scope, { engine, state, stream: checked }));

  let closing: Promise<void> | undefined;
  const close = async () => {
    await serving.drain();
    await app.close();
    metrics.close();
  };
  return {
    app,
    state,
    listen: async () => {
      const { host, port } = checked;
      try {
        return await app.listen({ host, port });
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new AdaptiveSpecError(
          'INVALID_ARGUMENT',
          `${host}:${port} can't be had: ${why}`,
          'Give another port.',
          {
            cause,
          },
        );
      }
    },
    close: () => {
      closing ??= close();
      return closing;
    },
    [Symbol.asyncDispose]() {
      return this.close();
    },
  };
}

/** Fastify's own errors in our words: a body that is too large, a content type that isn't JSON, a broken URL. */
function frameworkError(error: FastifyError): unknown {
  const { statusCode, message, code } = error;
  if (error instanceof HttpError || statusCode === undefined || statusCode < 400 || statusCode >= 500)
    return error;
  return new HttpError('invalid_request_error', message, { status: statusCode, code });
}

const REFUSALS: Record<string, [status: string, why: string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request took too long to arrive'],
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers are too large'],
};

/** What never became a request: too slow, or no HTTP. */
function refuseConnection(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = REFUSALS[error.code ?? ''] ?? ['400 Bad Request', 'This is no HTTP request'];
  const body = JSON.stringify({
    error: { message, type: 'invalid_request_error', param: null, code: error.code ?? 'BAD_REQUEST' },
  });
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `x-request-id: ${randomUUID()}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
