// Metrics that move at every step, of every request of the engine.

import type { StepReport } from '../control/controller.js';
import type { MetricMaker } from './metric-maker.js';

const STEP_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
];

/** Answers what is to be told of every step. */
export function stepMetrics(
  make: MetricMaker,
  modelName: string,
  maxDepth: number,
): (report: StepReport) => void {
  const model = { model_name: modelName };
  const both = (name: string) => ({ [`llamacpp:${name}`]: {}, [`vllm:${name}`]: model });

  const drafts = make.counters(both('spec_decode_num_drafts'), 'Steps that drafted');
  const drafted = make.counters(
    { ...both('spec_decode_num_draft_tokens'), 'llamacpp:draft_drafted': {} },
    'Tokens drafted',
  );
  const accepted = make.counters(
    { ...both('spec_decode_num_accepted_tokens'), 'llamacpp:draft_accepted': {} },
    'Draft tokens accepted',
  );
  const acceptedAt = make.countersByPlace(
    both('spec_decode_num_accepted_tokens_per_pos'),
    'Draft tokens accepted, by their place in the draft, from 0',
  );
  const emitted = make.counters(
    { 'llamacpp:tokens_predicted': {}, 'vllm:generation_tokens': model },
    'Tokens emitted',
  );
  const emittedSeconds = make.counters({ 'llamacpp:tokens_predicted_seconds': {} }, 'Time of steps');
  const promptSeconds = make.counters({ 'llamacpp:prompt_seconds': {} }, 'Time of reading prompts');
  const passes = make.counters(
    { 'llamacpp:n_decode': {} },
    "Passes of requests through the target, a prompt's counted as one",
  );
  const late = make.counters({ adaptive_spec_late_plans: {} }, 'Steps whose plan came too late');

  const depths = Array.from({ length: maxDepth + 1 }, (_, depth) => depth);
  const depth = make.histogram('adaptive_spec_draft_depth', 'Depth that was planned, by step', depths);
  const length = make.histogram(
    'adaptive_spec_accepted_length',
    'Draft tokens accepted, by step that drafted',
    depths,
  );
  const [draft, verify, catchUp, other] = make.histograms(
    'adaptive_spec_step_seconds',
    'Time of a step, by phase',
    STEP_SECONDS,
    ['draft', 'verify', 'catch_up', 'other'].map((phase) => ({ phase })),
  );
  const whole = make.histogram('vllm:inter_token_latency_seconds', 'Time of a step', STEP_SECONDS, model);

  let longest = 0;
  let steps = 0;
  let running = 0;
  const texts = { seconds: 0, tokens: 0 };
  make.highest('llamacpp:n_tokens_max', 'Longest context that was reached', () => longest);
  make.gauges({ 'llamacpp:predicted_tokens_seconds': {} }, 'Tokens emitted per second of steps', () =>
    texts.seconds > 0 ? texts.tokens / texts.seconds : 0,
  );
  make.gauges(
    { 'llamacpp:n_busy_slots_per_decode': {} },
    'Mean number of requests that run beside a step, itself included',
    () => (steps === 0 ? 0 : running / steps),
  );

  return (report) => {
    const { draftMs, verifyMs, catchUpMs, otherMs } = report;
    passes(1);
    steps++;
    running += report.load.running;
    longest = Math.max(longest, report.contextLength);
    const seconds = (draftMs + verifyMs + catchUpMs + otherMs) / 1000;
    if (report.step === 0) {
      promptSeconds(seconds);
      return;
    }
    if (report.drafted > 0) {
      drafts(1);
      drafted(report.drafted);
      accepted(report.accepted);
      for (let place = 0; place < report.accepted; place++) acceptedAt(place);
      length(report.accepted);
    }
    emitted(report.tokens.length);
    emittedSeconds(seconds);
    texts.seconds += seconds;
    texts.tokens += report.tokens.length;
    if (report.late) late(1);
    depth(report.depth);
    whole(seconds);
    draft!(draftMs / 1000);
    verify!(verifyMs / 1000);
    catchUp!(catchUpMs / 1000);
    other!(otherMs / 1000);
  };
}
