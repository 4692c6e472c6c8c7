// Metrics of whole requests, and of the controllers that planned them.

import type { MadePlan } from '../control/driver.js';
import type { GenerationResult } from '../result.js';
import type { MetricMaker } from './metric-maker.js';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** Answers what is to be told of every plan, and when a generation of the engine's ends. */
export function controllerMetrics(make: MetricMaker): {
  plan: (plan: MadePlan) => void;
  finish: (result: GenerationResult) => void;
} {
  const counter = (name: string, help: string) => make.counter(`adaptive_spec_${name}`, help, ['controller']);
  const plans = counter('controller_plans', 'Plans that controllers made');
  const seconds = counter('controller_seconds', 'Time that controllers took for plans');
  const waits = counter('controller_wait_seconds', 'Time that steps waited for plans');
  const errors = counter('controller_errors', 'Throws of controllers, and answers that were no plan');
  const wasted = counter('controller_wasted_drafts', 'First tokens drafted ahead that a plan had no use for');
  const lost = make.counters({ adaptive_spec_audit_dropped: {} }, 'Lines that the audit log lost');
  return {
    plan: ({ controller, milliseconds, errors: wrong }) => {
      plans.inc({ controller });
      seconds.inc({ controller }, milliseconds / 1000);
      errors.inc({ controller }, wrong);
    },
    finish: ({ stats }) => {
      const { name, waitMs, wastedDrafts } = stats.controller;
      waits.inc({ controller: name }, waitMs / 1000);
      wasted.inc({ controller: name }, wastedDrafts);
      lost(stats.auditLinesDropped);
    },
  };
}

/** Answers what is to be told of a request that was answered, with milliseconds from its coming, and in the queue. */
export function answerMetrics(
  make: MetricMaker,
  modelName: string,
): (result: GenerationResult, totalMs: number, queueMs: number) => void {
  const model = { model_name: modelName };
  const histogram = (name: string, help: string) => make.histogram(`vllm:${name}`, help, SECONDS, model);
  const firstToken = histogram('time_to_first_token_seconds', "From a request's coming to its first token");
  const perToken = histogram('time_per_output_token_seconds', 'Mean time of a token, by request');
  const whole = histogram('e2e_request_latency_seconds', "From a request's coming to its end");
  const queue = histogram('request_queue_time_seconds', 'Waiting for a slot');
  const prefill = histogram('request_prefill_time_seconds', 'Reading the prompt');
  const decode = histogram('request_decode_time_seconds', 'Steps of a request');
  const success = make.counter('vllm:request_success', 'Requests that were answered', [
    'model_name',
    'finished_reason',
  ]);
  return ({ stats, usage, finishReason }, totalMs, queueMs) => {
    success.inc({ ...model, finished_reason: finishReason });
    firstToken((queueMs + stats.timeToFirstTokenMs) / 1000);
    perToken(stats.decodeMs / Math.max(1, usage.completionTokens) / 1000);
    whole(totalMs / 1000);
    queue((queueMs + stats.queueMs) / 1000);
    prefill(stats.promptMs / 1000);
    decode(stats.decodeMs / 1000);
  };
}
