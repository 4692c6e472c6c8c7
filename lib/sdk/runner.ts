// What the adapters for SDKs share: where their requests run, and what a caller may say of each.

import { basename } from 'node:path';
import { closestName } from '../control/closest-name.js';
import type { Engine } from '../engine.js';
import { AdaptiveSpecError } from '../errors.js';
import { generate } from '../generate.js';
import type { Generation } from '../generation.js';
import type { EngineOptions, RequestOptions } from '../options.js';

/** Options of a request that the SDKs have no words for, and may be given as they are. */
export const REQUEST_SETTINGS = [
  'controller',
  'depth',
  'maxDepth',
  'drafter',
  'share',
  'cache',
  'tree',
  'maxTokens',
  'temperature',
  'acceptance',
  'topK',
  'topP',
  'minP',
  'repeatPenalty',
  'frequencyPenalty',
  'presencePenalty',
  'penaltyLastN',
  'dry',
  'seed',
  'stop',
  'parallelToolCalls',
  'grammar',
  'trace',
  'onWarning',
] as const;

/** How to generate where a call says nothing else. */
export type RequestSettings = Pick<RequestOptions, (typeof REQUEST_SETTINGS)[number]>;

/**
 * An engine of yours, which you close, or the options of one that is loaded at the first call and kept until `unload()`,
 * as `generate()` does; and how to generate where a call says nothing else.
 */
export type AdapterSettings = RequestSettings & {
  /** How the SDK names the model. Default: its file's or the option's name. */
  modelId?: string;
} & (
    | ({ engine: Pick<Engine, 'generate' | 'info'> } & {
        [Name in Exclude<keyof EngineOptions, keyof RequestSettings>]?: never;
      })
    | ({ engine?: never } & EngineOptions)
  );

/** Where an adapter's requests run. */
export interface Runner {
  readonly modelId: string;
  /** Starts a request; what it leaves out is as the adapter's settings say. */
  run(request: RequestOptions): Generation;
}

/** Throws INVALID_ARGUMENT for an `engine` that is none. Other settings are checked with the first request. */
export function runnerOf(settings: AdapterSettings): Runner {
  const { engine, modelId, ...rest } = settings;
  if (engine === undefined) {
    const name = (rest as EngineOptions).model;
    return {
      modelId: modelId ?? (name === undefined ? 'default' : basename(name)),
      run: (request) => generate(merged(rest, request)),
    };
  }
  if (typeof engine?.generate !== 'function') {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      'The engine is none',
      'Give { engine: await createEngine() }, or the options of one.',
    );
  }
  return {
    modelId: modelId ?? basename(engine.info.model),
    run: (request) => engine.generate(merged(rest, request)),
  };
}

/** A call's own settings. Throws INVALID_ARGUMENT for names that are none; their values are checked with the request. */
export function callSettings(settings: object, where: string): RequestSettings {
  const names: readonly string[] = REQUEST_SETTINGS;
  const stranger = Object.keys(settings).find((name) => !names.includes(name));
  if (stranger === undefined) return settings;
  const near = closestName(stranger, [...names]);
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `${where} has no option ${JSON.stringify(stranger.slice(0, 80))}`,
    near ? `Did you mean '${near}'?` : `Known options: ${names.join(', ')}.`,
  );
}

/** The adapter's settings, and before them what a call says. */
function merged<T extends object>(settings: T, request: RequestOptions): T & RequestOptions {
  const said = Object.entries(request).filter(([, value]) => value !== undefined);
  const options = { ...settings, ...Object.fromEntries(said) } as T & RequestOptions;
  // It means nothing to a call without tools, which would be refused for it.
  if (options.tools === undefined) delete options.parallelToolCalls;
  return options;
}
