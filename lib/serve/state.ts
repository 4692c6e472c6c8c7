// What a running server knows of itself: the default controller, which may be changed live, its queue and its requests.

import { EventEmitter } from 'node:events';
import { type Controller, MAX_DEPTH, type StepReport } from '../control/controller.js';
import { resolveController } from '../control/controllers.js';
import { AdaptiveSpecError } from '../errors.js';
import type { GenerationResult } from '../result.js';

/** What chooses the depth of requests that don't say it themselves. */
export interface DefaultPolicy {
  /** One of `controllerNames`, or a controller of the server's owner. */
  controller: Controller | string;
  /** The depth of the controller 'fixed'. */
  depth?: number;
}

/** A request whose generation has begun. */
export interface BegunRequest {
  /** Unique within this server: what `x-request-id` says, and `.0`, `.1`, … behind it for several prompts. */
  id: string;
  kind: 'chat' | 'completion' | 'response';
  model: string;
  promptTokens: number;
  /** Name of the controller, and its depth where it is 'fixed'. */
  controller: string;
  depth?: number;
  maxTokens: number;
}

/** What `ServerState.on` tells of, and with what. */
export interface StateEvents {
  begin: [request: BegunRequest];
  /** After every step; step 0 is the prompt's. The report is a copy, its `text` what the step released. */
  step: [id: string, report: StepReport];
  /** One of the two is there: a result (finishReason 'aborted' where the client has gone), or an error. */
  end: [id: string, result: GenerationResult | undefined, error: unknown];
  /** The number of running or waiting requests has changed. */
  queue: [running: number, waiting: number];
  policy: [policy: DefaultPolicy];
}

/** Made by `createServer`; its dashboard and metrics read it. */
export class ServerState {
  readonly #emitter = new EventEmitter();
  #policy: DefaultPolicy;
  #running = 0;
  #waiting = 0;
  #draining = false;

  constructor(policy: DefaultPolicy) {
    // Every open dashboard listens.
    this.#emitter.setMaxListeners(0);
    this.#policy = checkedPolicy(policy);
  }

  get policy(): Readonly<DefaultPolicy> {
    return this.#policy;
  }

  /** Name of the default controller. */
  get controller(): string {
    const { controller } = this.#policy;
    return typeof controller === 'string' ? controller : controller.name || 'custom';
  }

  /** Depth of the default controller, where it is 'fixed'. */
  get depth(): number | undefined {
    return this.#policy.depth;
  }

  /** Changes the default for requests that begin from now on. Throws INVALID_ARGUMENT. */
  set(policy: DefaultPolicy): void {
    this.#policy = checkedPolicy(policy);
    this.emit('policy', this.#policy);
  }

  /** Requests that generate. */
  get running(): number {
    return this.#running;
  }

  /** Requests that wait for a slot. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether the server is ending: it takes no new requests. */
  get draining(): boolean {
    return this.#draining;
  }

  /** @internal */
  drain(): void {
    this.#draining = true;
  }

  /** @internal */
  count(running: number, waiting: number): void {
    if (running === this.#running && waiting === this.#waiting) return;
    this.#running = running;
    this.#waiting = waiting;
    this.emit('queue', running, waiting);
  }

  /** Adds a listener; answers a function that takes it off again. */
  on<Name extends keyof StateEvents>(
    event: Name,
    listener: (...values: StateEvents[Name]) => void,
  ): () => void {
    this.#emitter.on(event, listener as (...values: unknown[]) => void);
    return () => this.#emitter.off(event, listener as (...values: unknown[]) => void);
  }

  /** @internal */
  emit<Name extends keyof StateEvents>(event: Name, ...values: StateEvents[Name]): void {
    this.#emitter.emit(event, ...values);
  }
}

function checkedPolicy({ controller, depth }: DefaultPolicy): DefaultPolicy {
  if (depth !== undefined && (!Number.isInteger(depth) || depth < 0 || depth > MAX_DEPTH)) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `depth is ${String(depth)}`,
      `Give a whole number from 0 to ${MAX_DEPTH}.`,
    );
  }
  resolveController(controller, { depth });
  return depth === undefined ? { controller } : { controller, depth };
}
