// The few entries of a row that llama.cpp's chain can pick, so that it needn't copy and sort a whole vocabulary.
#pragma once

#include <llama.h>

#include <vector>

#include "kernels/logits.h"
#include "verify/sampling_params.h"

namespace adaptive_spec {

// Does the work of the first filter of a chain that has top_k, top_p or min_p, and no penalties. From what it leaves
// the rest of the chain draws the very token that the whole chain draws from the whole row.
class Shortlist {
 public:
  // True where rows of this size can be shortened for such a chain.
  static bool serves(const SamplingParams& params, int n_vocab);
  Shortlist(const SamplingParams& params, int n_vocab) : params_(params), n_vocab_(n_vocab) {}

  enum class Outcome { kShort, kWholeRow, kBadRow };
  // With kWholeRow this row needs the whole chain: the list would be long, or hang on llama.cpp's order of equal
  // logits.
  Outcome shorten(const float* logits);
  // With kShort: what goes through the chain instead of the row, from this link on.
  llama_token_data_array entries() { return {data_.data(), data_.size(), -1, sorted_}; }
  int links_done() const { return sorted_ ? 1 : 0; }

 private:
  bool keep_top_k();
  bool keep_top_p(const float* logits, float best);
  bool keep_min_p(float best);
  bool sort_largest(int k);
  bool keep(size_t count);

  const SamplingParams params_;
  const int n_vocab_;
  CandidateList list_;
  std::vector<llama_token_data> data_;
  bool sorted_ = false;  // and cut, as top_k and top_p do; min_p is left to the chain
};

}  // namespace adaptive_spec
