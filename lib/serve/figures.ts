// What a reply tells of its own making: OpenAI's usage, llama.cpp's timings, and vLLM's metrics.

import type { GenerationResult } from '../result.js';

/** OpenAI's usage of a completion. */
export function usageOf({ usage, stats }: GenerationResult) {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.totalTokens,
    prompt_tokens_details: { cached_tokens: stats.reusedPromptTokens },
  };
}

/** llama-server's `timings`; those of drafts where there were any. */
export function timingsOf({ usage, stats }: GenerationResult) {
  const { promptTokens, completionTokens } = usage;
  const read = promptTokens - stats.reusedPromptTokens;
  return {
    cache_n: stats.reusedPromptTokens,
    prompt_n: read,
    prompt_ms: stats.promptMs,
    prompt_per_token_ms: ratio(stats.promptMs, read),
    prompt_per_second: ratio(read, stats.promptMs / 1000),
    predicted_n: completionTokens,
    predicted_ms: stats.decodeMs,
    predicted_per_token_ms: ratio(stats.decodeMs, completionTokens),
    predicted_per_second: stats.tokensPerSecond,
    ...(stats.draftTokens > 0 ? { draft_n: stats.draftTokens, draft_n_accepted: stats.acceptedTokens } : {}),
  };
}

/** vLLM's `metrics`. `queueMs` is what the request waited before the engine had it, `maxDepth` the engine's. */
export function metricsOf({ usage, stats, steps = [] }: GenerationResult, queueMs: number, maxDepth: number) {
  const drafts = steps.filter(({ drafted }) => drafted > 0);
  const firstTokenMs = queueMs + stats.timeToFirstTokenMs;
  return {
    time_to_first_token_ms: firstTokenMs,
    generation_time_ms: stats.decodeMs,
    queue_time_ms: queueMs + stats.queueMs,
    mean_itl_ms: ratio(stats.decodeMs, Math.max(1, usage.completionTokens - 1)),
    tokens_per_second: stats.tokensPerSecond,
    ...(drafts.length === 0
      ? {}
      : {
          speculative_decoding: {
            mean_acceptance_length: 1 + ratio(stats.acceptedTokens, drafts.length),
            draft_acceptance_rate: stats.acceptanceRate,
            acceptance_histogram: histogram(drafts.map(({ accepted }) => accepted)),
            acceptance_histogram_by_draft_length: byDraftLength(drafts),
            num_spec_steps: drafts.length,
            num_accepted_draft_tokens: stats.acceptedTokens,
            num_draft_tokens: stats.draftTokens,
            num_spec_tokens: maxDepth,
          },
        }),
  };
}

/** How often each whole number comes, from 0 to the largest. */
function histogram(values: readonly number[]): number[] {
  const counts: number[] = new Array(Math.max(...values, 0) + 1).fill(0);
  for (const value of values) counts[value]!++;
  return counts;
}

function byDraftLength(drafts: readonly { drafted: number; accepted: number }[]): Record<string, number[]> {
  const lengths = [...new Set(drafts.map(({ drafted }) => drafted))].sort((a, b) => a - b);
  return Object.fromEntries(
    lengths.map((length) => [
      length,
      histogram(drafts.filter(({ drafted }) => drafted === length).map(({ accepted }) => accepted)),
    ]),
  );
}

function ratio(a: number, b: number): number {
  return b > 0 ? a / b : 0;
}
