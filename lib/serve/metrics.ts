// `GET /metrics`: what the engine does, in Prometheus' words; the names are llama.cpp's, vLLM's, and our own.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { GenerationResult } from '../result.js';
import { MetricMaker } from './metric-maker.js';
import { promptMetrics } from './prompt-metrics.js';
import { answerMetrics, controllerMetrics } from './request-metrics.js';
import type { ServedEngine } from './served-engine.js';
import type { ServerState } from './state.js';
import { stepMetrics } from './step-metrics.js';

/** How often the event loop is looked at, which Node counts as delay. */
const DELAY_RESOLUTION_MS = 10;

/** Counts from when it is made until `close`. */
export class ServerMetrics {
  readonly #make = new MetricMaker();
  readonly #delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  readonly #off: (() => void)[];
  readonly #rejected = this.#make.counter(
    'adaptive_spec_requests_rejected',
    'Requests that were refused, by code',
    ['code'],
  );

  /** Told of a request that was answered, with milliseconds from its coming, and in the queue. */
  readonly answered: (result: GenerationResult, totalMs: number, queueMs: number) => void;

  constructor(engine: ServedEngine, state: ServerState, facts: { modelName: string; version: string }) {
    const { modelName, version } = facts;
    const { maxDepth, kernels, variant } = engine.info;
    const model = { model_name: modelName };
    this.#delay.enable();
    this.answered = answerMetrics(this.#make, modelName);
    const ofControllers = controllerMetrics(this.#make);
    this.#off = [
      engine.on('prompt', promptMetrics(this.#make, modelName)),
      engine.on('step', stepMetrics(this.#make, modelName, maxDepth)),
      engine.on('plan', ofControllers.plan),
      engine.on('finish', ofControllers.finish),
    ];
    this.#make.gauges(
      { 'llamacpp:requests_processing': {}, 'vllm:num_requests_running': model },
      'Requests that generate',
      () => state.running,
    );
    this.#make.gauges(
      { 'llamacpp:requests_deferred': {}, 'vllm:num_requests_waiting': model },
      'Requests that wait for a slot',
      () => state.waiting,
    );
    this.#make.gauges(
      { adaptive_spec_build_info: { version, node: process.version, kernels, variant } },
      'What runs',
      () => 1,
    );
    this.#make.gauge(
      'adaptive_spec_default_controller_info',
      'Controller of requests that name none',
      ['controller', 'depth'],
      (gauge) => {
        gauge.reset();
        gauge.set({ controller: state.controller, depth: state.depth ?? '' }, 1);
      },
    );
    this.#make.gauge(
      'adaptive_spec_event_loop_delay_seconds',
      'Delay of the event loop since metrics were last read',
      ['quantile'],
      (gauge) => {
        for (const quantile of [0.5, 0.99, 1]) {
          const ms = this.#delay.percentile(100 * quantile) / 1e6 - DELAY_RESOLUTION_MS;
          gauge.set({ quantile }, Math.max(0, ms) / 1000);
        }
        this.#delay.reset();
      },
    );
  }

  get contentType(): string {
    return this.#make.registry.contentType;
  }

  text(): Promise<string> {
    return this.#make.registry.metrics();
  }

  rejected(code: string): void {
    this.#rejected.inc({ code });
  }

  close(): void {
    this.#delay.disable();
    for (const off of this.#off) off();
  }
}
