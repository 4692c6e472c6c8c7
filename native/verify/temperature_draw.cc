// Two draws by one random number: of a block, and of its tokens.
#include "verify/temperature_draw.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "kernels/logits.h"
#include "verify/sampler.h"

namespace adaptive_spec {
namespace {

// llama.cpp's chain takes no longer for smaller rows.
constexpr int kSmallRow = 1024;
// How far two ways of rounding may lead apart: exponentials, their sums' logarithms, and what is taken off those.
constexpr double kSlack = 6e-6;
// Of a sum that is nothing.
constexpr double kNothing = 1e-30;

SamplerChain copy_of(const llama_sampler* sampler) { return SamplerChain(llama_sampler_clone(sampler)); }

float log_of(double sum) { return static_cast<float>(std::log(std::max(sum, kNothing))); }

}  // namespace

bool TemperatureDraw::serves(const SamplingParams& params, int n_vocab) {
  return n_vocab > kSmallRow && params.temperature > 0 && params.top_k <= 0 && params.top_p >= 1 &&
         params.min_p <= 0 && !params.penalizes();
}

std::optional<int32_t> TemperatureDraw::draw(const float* logits, llama_sampler* dist) {
  const int32_t best = argmax(logits, n_vocab_);
  if (best < 0) return -1;
  const float top = logits[best] / temperature_;
  if (!std::isfinite(top)) return std::nullopt;
  sum_blocks(logits, n_vocab_, top, temperature_, sums_);
  const double sum = std::accumulate(sums_.begin(), sums_.end(), 0.0);

  entries_.clear();
  for (size_t i = 0; i < sums_.size(); ++i) entries_.push_back({static_cast<int32_t>(i), log_of(sums_[i]), 0});
  llama_token_data_array blocks{entries_.data(), entries_.size(), -1, false};
  llama_sampler_apply(copy_of(dist).get(), &blocks);
  const int block = static_cast<int>(blocks.selected);

  const double before = std::accumulate(sums_.begin(), sums_.begin() + block, 0.0);
  const double after = std::accumulate(sums_.begin() + block + 1, sums_.end(), 0.0);
  const double slack = kSlack * sum;
  const auto early = in_block(logits, block, top, before - slack, after + slack, copy_of(dist).get());
  if (!early || early != in_block(logits, block, top, before + slack, after - slack, copy_of(dist).get()))
    return std::nullopt;
  llama_token_data one{*early, 0, 0};
  llama_token_data_array alone{&one, 1, -1, false};
  llama_sampler_apply(dist, &alone);  // one number further
  return early;
}

std::optional<int32_t> TemperatureDraw::in_block(const float* logits, int block, float top, double before, double after,
                                                 llama_sampler* dist) {
  const int first = block * kSumBlock, end = std::min(n_vocab_, first + kSumBlock);
  entries_.clear();
  entries_.push_back({-1, log_of(before), 0});
  for (int32_t id = first; id < end; ++id) entries_.push_back({id, logits[id] / temperature_ - top, 0});
  entries_.push_back({-1, log_of(after), 0});
  llama_token_data_array tokens{entries_.data(), entries_.size(), -1, false};
  llama_sampler_apply(dist, &tokens);
  const int32_t id = entries_[tokens.selected].id;
  return id >= 0 ? std::optional(id) : std::nullopt;
}

}  // namespace adaptive_spec
