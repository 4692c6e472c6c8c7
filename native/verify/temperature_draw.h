// Draws from a whole row at a temperature, where nothing filters it: the token that llama.cpp's chain draws from a copy
// of the row, in a tenth of its time.
#pragma once

#include <llama.h>

#include <optional>
#include <vector>

#include "verify/sampling_params.h"

namespace adaptive_spec {

// llama.cpp draws the first token up to which the probabilities come to a share of their sum, by its own random number.
// That share is looked for by blocks of the row, then in the block, each time by a copy of its sampler, which has the
// same number. Where sums that are rounded otherwise could have led to another token, there is no answer.
class TemperatureDraw {
 public:
  // True where chains with these params do no more than that.
  static bool serves(const SamplingParams& params, int n_vocab);
  TemperatureDraw(float temperature, int n_vocab) : temperature_(temperature), n_vocab_(n_vocab) {}

  // `dist` is the chain's last sampler, which has moved on by a draw where there is an answer. -1: the row is bad.
  std::optional<int32_t> draw(const float* logits, llama_sampler* dist);

 private:
  // Of the block's tokens, by `dist`'s next number, with so much of the sum before and after them; null: none of them.
  std::optional<int32_t> in_block(const float* logits, int block, float top, double before, double after,
                                  llama_sampler* dist);

  const float temperature_;
  const int n_vocab_;
  std::vector<float> sums_;  // of each block
  std::vector<llama_token_data> entries_;
};

}  // namespace adaptive_spec
