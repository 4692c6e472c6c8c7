// Picks one token from a row of the target's logits, as plain decoding would.
#pragma once

#include <llama.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "verify/rejection.h"
#include "verify/shortlist.h"

namespace adaptive_spec {

struct SamplerDeleter {
  void operator()(llama_sampler* p) const { llama_sampler_free(p); }
};
using SamplerChain = std::unique_ptr<llama_sampler, SamplerDeleter>;

// llama.cpp's own samplers, as these params order them.
SamplerChain llama_chain(const SamplingParams& params, int n_vocab);

// Its state (penalties, random numbers) moves on only with tokens that are emitted: one draw and one accept
// for each, so that one seed gives one text whatever the depths were.
class Sampler {
 public:
  // `prompt` counts for the penalties; `masked` ids are never picked.
  Sampler(const SamplingParams& params, std::span<const int32_t> prompt, std::vector<int32_t> masked, int n_vocab);
  // n_vocab logits in, which may be changed; the next token's id out, -1 where the row is bad (kernels/logits.h).
  // Ties go to the lowest id.
  int32_t sample(float* logits);
  // The same for a place whose draft token was drawn: rejection sampling, on random numbers of this position in the
  // text. Temperature above 0.
  int32_t sample(float* logits, const Proposal& drawn, uint64_t position);
  // What `sample` would draw from; empty where the row is bad. Temperature above 0.
  Distribution distribution(float* logits);

 private:
  // What the chain makes of a row that is masked already: entries with probabilities, one of them selected. None where
  // the row is bad.
  std::optional<llama_token_data_array> apply_chain(const float* logits);
  // From the chain's link `first` on.
  llama_token_data_array apply_chain(llama_token_data_array row, int first);
  void mask(float* logits) const;

  SamplerChain chain_;  // null: argmax alone
  std::optional<Shortlist> shortlist_;
  std::vector<llama_token_data> whole_row_;
  Distribution left_;  // of a row whose draft token was rejected
  std::vector<int32_t> masked_;
  int n_vocab_;
  uint32_t seed_;
};

}  // namespace adaptive_spec
