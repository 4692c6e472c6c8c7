// Ids of tool calls that stay apart over a whole conversation, as clients and SDKs want them.

import { randomUUID } from 'node:crypto';

/** The model's own id, or a new one where the model gives none: an engine's count begins anew with every answer. */
export function callId(id: string): string {
  return /^call_\d+$/.test(id) ? `call_${randomUUID().replaceAll('-', '')}` : id;
}
