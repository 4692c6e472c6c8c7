// Tells that a client has gone, to what is done for it outside of the slots.

import type { FastifyReply } from 'fastify';
import { HttpError } from './http-error.js';

/** What nobody hears, but the metrics count. */
export function clientGone(): HttpError {
  return new HttpError('unavailable_error', 'The client has gone', { code: 'CLIENT_GONE' });
}

/** Aborted with `clientGone` when the connection of a reply closes before it is answered. */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  const abort = new AbortController();
  const gone = () => abort.abort(clientGone());
  if (raw.destroyed) gone();
  else raw.once('close', gone);
  return abort.signal;
}
