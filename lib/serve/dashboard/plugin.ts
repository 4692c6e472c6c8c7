// `/dashboard`: a page, what it shows as server-sent events, and the switch of the default controller.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import * as v from 'valibot';
import { packageRoot } from '../../binding.js';
import { MAX_DEPTH } from '../../control/controller.js';
import { AdaptiveSpecError } from '../../errors.js';
import { EventStream, type EventStreamOptions } from '../event-stream.js';
import { readBody, text, whole } from '../fields.js';
import { invalidField } from '../http-error.js';
import type { ServedEngine } from '../served-engine.js';
import type { ServerState } from '../state.js';
import { DashboardFeed } from './feed.js';

/** Files of the page and their types; nothing else can be asked for. */
const FILES: Readonly<Record<string, string>> = {
  'style.css': 'text/css; charset=utf-8',
  'icon.svg': 'image/svg+xml',
  'main.js': 'text/javascript; charset=utf-8',
  'charts.js': 'text/javascript; charset=utf-8',
  'requests.js': 'text/javascript; charset=utf-8',
  'store.js': 'text/javascript; charset=utf-8',
  'switch.js': 'text/javascript; charset=utf-8',
  'text.js': 'text/javascript; charset=utf-8',
};
const FOLDER = join(packageRoot, 'lib/serve/dashboard/page');

/** Nothing from elsewhere, nothing inline: text of the model that got into the page as markup could do nothing there. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const policySchema = v.object({ controller: text, depth: v.nullish(whole(0, MAX_DEPTH)) });

export interface DashboardParts {
  engine: ServedEngine;
  state: ServerState;
  /** When a page that doesn't read is cut off; it comes back by itself. */
  stream: EventStreamOptions;
}

/** Adds the routes. The feed begins to listen when the first page is opened. Throws PACKAGE_INCOMPLETE. */
export function dashboardPlugin(app: FastifyInstance, { engine, state, stream }: DashboardParts): void {
  let feed: DashboardFeed | undefined;
  app.addHook('onClose', async () => feed?.close());
  app.addHook('onSend', async (_request, reply) => {
    reply.headers({
      'content-security-policy': POLICY,
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
      'cache-control': 'no-cache',
    });
  });

  const page = fileOfPage('index.html');
  app.get('/dashboard', (_request, reply) => {
    reply.type('text/html; charset=utf-8').send(page);
  });
  const files = new Map(
    Object.entries(FILES).map(([name, type]) => [name, { type, file: fileOfPage(name) }]),
  );
  app.get<{ Params: { file: string } }>('/dashboard/:file', ({ params }, reply) => {
    const found = files.get(params.file);
    if (found) reply.type(found.type).send(found.file);
    else reply.callNotFound();
  });

  app.get('/dashboard/events', (_request, reply) => {
    feed ??= new DashboardFeed(engine, state);
    const events = new EventStream(reply, stream);
    events.send(feed.snapshot(), 'snapshot');
    const off = feed.listen((event, data) => events.send(data, event));
    reply.raw.once('close', off);
  });

  app.post('/dashboard/controller', ({ body }) => {
    const { controller, depth } = readBody(policySchema, body);
    const { maxDepth } = engine.info;
    if (depth != null && depth > maxDepth) {
      throw invalidField('depth', `This engine drafts up to ${maxDepth} tokens.`);
    }
    state.set(depth == null ? { controller } : { controller, depth });
    return { controller: state.controller, depth: state.depth ?? null };
  });
}

function fileOfPage(name: string): Buffer {
  try {
    return readFileSync(join(FOLDER, name));
  } catch (cause) {
    throw new AdaptiveSpecError(
      'PACKAGE_INCOMPLETE',
      `The dashboard's ${name} can't be read: ${(cause as Error).message}`,
      `Install the package again, or copy lib/serve/dashboard/page to ${packageRoot} too.`,
      { cause },
    );
  }
}
