// Picks one token from a row of the target's logits, as plain decoding would.
#pragma once

#include <llama.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "verify/grammar.h"
#include "verify/rejection.h"
#include "verify/shortlist.h"
#include "verify/temperature_draw.h"

namespace adaptive_spec {

struct SamplerDeleter {
  void operator()(llama_sampler* p) const { llama_sampler_free(p); }
};
using SamplerChain = std::unique_ptr<llama_sampler, SamplerDeleter>;

// llama.cpp's own samplers, as these params order them.
// `vocab` says which tokens DRY's breakers are in; without one there is no DRY.
SamplerChain llama_chain(const SamplingParams& params, int n_vocab, const llama_vocab* vocab = nullptr);

// Its state (penalties, random numbers) moves on only with tokens that are emitted: one draw and one accept
// for each, so that one seed gives one text whatever the depths were.
class Sampler {
 public:
  // `prompt` counts for the penalties; `masked` ids are never picked, nor what `grammar` doesn't allow: it outlives
  // the sampler and moves on with it.
  Sampler(const SamplingParams& params, std::span<const int32_t> prompt, std::vector<int32_t> masked, int n_vocab,
          Grammar* grammar = nullptr, const llama_vocab* vocab = nullptr);
  // n_vocab logits in, which may be changed; the next token's id out, -1 where the row is bad (kernels/logits.h).
  // Ties go to the lowest id.
  int32_t sample(float* logits);
  // After -1: whether the row was good, and the grammar allows no token.
  bool is_stuck() const { return is_stuck_; }
  // The same for a place whose draft tokens, one at least, were drawn: rejection sampling, on random numbers of this
  // position in the text. Temperature above 0, and no grammar.
  int32_t sample(float* logits, std::span<const Proposal> proposals, uint64_t position);
  // What `sample` would draw from; empty where the row is bad. Temperature above 0.
  Distribution distribution(float* logits);

 private:
  int32_t pick(float* logits);
  int32_t pick_legal(float* logits, int32_t illegal);
  // What the chain makes of a row that is masked already: entries with probabilities, one of them selected. None where
  // the row is bad.
  std::optional<llama_token_data_array> apply_chain(const float* logits);
  // From the chain's link `first` on.
  llama_token_data_array apply_chain(llama_token_data_array row, int first);
  // Once for each row: biases would add up.
  void mask(float* logits) const;

  SamplerChain chain_;  // null: argmax alone
  std::optional<Shortlist> shortlist_;
  std::optional<TemperatureDraw> draw_;
  std::vector<llama_token_data> whole_row_;
  Distribution left_;  // of a row whose draft token was rejected
  std::vector<int32_t> masked_;
  std::vector<LogitBias> biases_;
  int n_vocab_;
  uint32_t seed_;
  Grammar* grammar_;
  bool is_stuck_ = false;
};

}  // namespace adaptive_spec
