// A request that an endpoint has read: what the engine is asked for, and how the answer goes out.

import type { RequestOptions } from '../options.js';
import type { BegunRequest } from './state.js';

export interface ServedRequest {
  kind: BegunRequest['kind'];
  options: RequestOptions;
  /** Which of several prompts of one HTTP request it is; missing where there is one. */
  part?: number;
  /** Whether the answer goes out while it is written. */
  stream: boolean;
  /** Whether it may go on from what earlier requests have left, and leaves something itself. */
  cachePrompt: boolean;
  /** Whether a stream ends with a chunk of the usage. */
  includeUsage: boolean;
  /** Whether a whole answer has llama-server's own form of it too. */
  verbose?: boolean;
}

/** Whether the text may have calls of tools in it, as the model writes them. */
export function mayCall({ options }: ServedRequest): boolean {
  return options.tools !== undefined && options.toolChoice !== 'none';
}
