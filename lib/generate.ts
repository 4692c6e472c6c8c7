// `generate`: one call from options to text, on engines that are loaded once per process and kept.

import { MAX_DEPTH } from './control/controller.js';
import { nativeDepthOf } from './control/fixed-depth.js';
import { createEngine, type Engine } from './engine.js';
import { Generation } from './generation.js';
import {
  type CheckedRequest,
  checkEngineOptions,
  checkRequestOptions,
  DEFAULT_BRANCHES,
  type EngineOptions,
  type RequestOptions,
  splitOptions,
} from './options.js';

/** What `generate` takes: a request, and the engine to run it on. */
export type GenerateOptions = RequestOptions & EngineOptions;

const engines = new Map<string, Promise<Engine>>();

/**
 * Generates text. Await it for the result, iterate it for the text as it comes. Without `model` it uses the default
 * pair. The engine for a set of engine options is loaded at its first use and kept until `unload()` or the process's
 * end. Whatever is wrong rejects the generation with an AdaptiveSpecError, or with the signal's reason.
 */
export function generate(options: GenerateOptions): Generation {
  const generation = new Generation();
  run(options, generation).catch((error) => generation.fail(error));
  return generation;
}

/** Closes the engines that `generate` keeps; what runs on them ends with DISPOSED. Later calls load anew. */
export async function unload(): Promise<void> {
  const kept = [...engines.values()];
  engines.clear();
  await Promise.all(kept.map((loading) => loading.then((engine) => engine.close()).catch(() => {})));
}

async function run(options: GenerateOptions, generation: Generation): Promise<void> {
  const parts = splitOptions(options);
  const request = checkRequestOptions(parts.request);
  const engineOptions = withRoomFor(request, parts.engine);
  checkEngineOptions(engineOptions);
  const { signal, onAbort } = request;
  if (signal && onAbort === 'throw') {
    // A load takes seconds; the caller need not wait for it.
    signal.throwIfAborted();
    const fail = () => generation.fail(signal.reason);
    signal.addEventListener('abort', fail, { once: true });
    try {
      const engine = await engineFor(engineOptions);
      if (!generation.isOver) engine.start(request, generation);
    } finally {
      signal.removeEventListener('abort', fail);
    }
    return;
  }
  (await engineFor(engineOptions)).start(request, generation);
}

/** A depth or a tree that was asked for by number is reason enough for an engine that can do it. */
function withRoomFor(request: CheckedRequest, engine: EngineOptions): EngineOptions {
  const { controller } = request;
  const depth =
    request.depth ??
    (typeof controller === 'object' || typeof controller === 'function'
      ? nativeDepthOf(controller)
      : undefined) ??
    0;
  const room: EngineOptions = {};
  if (engine.maxDepth === undefined && Math.max(depth, request.tree) > 32) room.maxDepth = MAX_DEPTH;
  if (engine.branches === undefined && request.tree > 0) room.branches = DEFAULT_BRANCHES;
  return { ...engine, ...room };
}

/** Callbacks are no part of what an engine is: the first caller's hear of its load. */
function engineFor(options: EngineOptions): Promise<Engine> {
  const { onProgress: _progress, onWarning: _warning, offline: _offline, ...made } = options;
  const key = JSON.stringify(Object.entries(made).sort(([a], [b]) => (a < b ? -1 : 1)));
  const kept = engines.get(key);
  if (kept) return kept;
  const loading = createEngine(options);
  engines.set(key, loading);
  // A failed load is tried again by the next call.
  loading.catch(() => engines.delete(key));
  return loading;
}
