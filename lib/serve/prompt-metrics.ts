// Metrics of prompts, which move when a prompt has been read.

import type { ReadPrompt } from '../engine.js';
import type { MetricMaker } from './metric-maker.js';

/** Answers what is to be told of every prompt. */
export function promptMetrics(make: MetricMaker, modelName: string): (prompt: ReadPrompt) => void {
  const model = { model_name: modelName };
  const all = make.counters(
    { 'vllm:prompt_tokens': model, 'vllm:prefix_cache_queries': model },
    'Tokens of prompts',
  );
  const read = make.counters({ 'llamacpp:prompt_tokens': {} }, 'Prompt tokens that were read');
  const cached = make.counters(
    { 'llamacpp:prompt_tokens_cached': {}, 'vllm:prefix_cache_hits': model },
    'Prompt tokens that earlier requests had read',
  );
  const sum = { tokens: 0, ms: 0 };
  make.gauges({ 'llamacpp:prompt_tokens_seconds': {} }, 'Prompt tokens read per second of reading', () =>
    sum.ms > 0 ? sum.tokens / (sum.ms / 1000) : 0,
  );
  return ({ promptTokens, reusedPromptTokens, promptMs }) => {
    all(promptTokens);
    read(promptTokens - reusedPromptTokens);
    cached(reusedPromptTokens);
    sum.tokens += promptTokens - reusedPromptTokens;
    sum.ms += promptMs;
  };
}
