// Picks one token from a row of the target's logits, as plain decoding would.
#pragma once

#include <llama.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace adaptive_spec {

struct SamplingParams {
  float temperature = 0;  // 0 is greedy
  int top_k = 0;          // 0 is off, as are top_p = 1, min_p = 0, repeat_penalty = 1 and zero penalties
  float top_p = 1, min_p = 0;
  float repeat_penalty = 1, frequency_penalty = 0, presence_penalty = 0;
  int penalty_last_n = 64;
  uint32_t seed = 0;
};

struct SamplerDeleter {
  void operator()(llama_sampler* p) const { llama_sampler_free(p); }
};

// Its state (penalties, random numbers) moves on only with tokens that are emitted: one draw and one accept
// for each, so that one seed gives one text whatever the depths were.
class Sampler {
 public:
  // `prompt` counts for the penalties; `masked` ids are never picked.
  Sampler(const SamplingParams& params, std::span<const int32_t> prompt, std::vector<int32_t> masked, int n_vocab);
  // n_vocab logits in, which may be changed; the next token's id out, -1 where the row is bad (kernels/logits.h).
  // Ties go to the lowest id.
  int32_t sample(float* logits);

 private:
  std::unique_ptr<llama_sampler, SamplerDeleter> chain_;  // null: argmax alone
  std::vector<llama_token_data> candidates_;
  std::vector<int32_t> masked_;
  int n_vocab_;
};

}  // namespace adaptive_spec
