// The target's sampler: argmax where that is all, llama.cpp's chain otherwise.
#include "verify/sampler.h"

#include <limits>

#include "kernels/logits.h"

namespace adaptive_spec {

Sampler::Sampler(const SamplingParams& params, std::span<const int32_t> prompt, std::vector<int32_t> masked,
                 int n_vocab)
    : masked_(std::move(masked)), n_vocab_(n_vocab) {
  const bool penalties = params.penalty_last_n > 0 && (params.repeat_penalty != 1 || params.frequency_penalty != 0 ||
                                                       params.presence_penalty != 0);
  if (params.temperature <= 0 && !penalties) return;

  chain_.reset(llama_sampler_chain_init({.no_perf = true}));
  const auto add = [this](llama_sampler* sampler) { llama_sampler_chain_add(chain_.get(), sampler); };
  if (penalties)
    add(llama_sampler_init_penalties(n_vocab, params.penalty_last_n, params.repeat_penalty, params.frequency_penalty,
                                     params.presence_penalty));
  if (params.temperature <= 0) {
    add(llama_sampler_init_greedy());
  } else {
    if (params.top_k > 0) add(llama_sampler_init_top_k(params.top_k));
    if (params.top_p < 1) add(llama_sampler_init_top_p(params.top_p, 1));
    if (params.min_p > 0) add(llama_sampler_init_min_p(params.min_p, 1));
    add(llama_sampler_init_temp(params.temperature));
    // llama.cpp takes this one seed as the wish for a random one, which would give a new text each time.
    constexpr uint32_t kInstead = 0x5EED5EED;
    add(llama_sampler_init_dist(params.seed == LLAMA_DEFAULT_SEED ? kInstead : params.seed));
  }
  candidates_.resize(n_vocab);
  for (int32_t token : prompt) llama_sampler_accept(chain_.get(), token);
}

int32_t Sampler::sample(float* logits) {
  for (int32_t id : masked_) logits[id] = -std::numeric_limits<float>::infinity();
  const int32_t best = argmax(logits, n_vocab_);
  if (!chain_ || best < 0) return best;
  for (int32_t id = 0; id < n_vocab_; ++id) candidates_[id] = {id, logits[id], 0};
  llama_token_data_array row{candidates_.data(), candidates_.size(), -1, false};
  llama_sampler_apply(chain_.get(), &row);
  const int32_t token = row.data[row.selected].id;
  llama_sampler_accept(chain_.get(), token);
  return token;
}

}  // namespace adaptive_spec
