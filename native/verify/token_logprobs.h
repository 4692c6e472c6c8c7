// How probable an emitted token was, and which others were: of the target's own distribution, before any sampler.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/logits.h"

namespace adaptive_spec {

struct TokenChance {
  int32_t id = 0;
  float logprob = 0;   // natural
  std::string piece;   // bytes of the token; control tokens have their names
};

struct TokenLogprobs {
  TokenChance token;
  std::vector<TokenChance> top;  // the likeliest first, of equal ones the lowest id
};

// Reads rows before sampling masks anything in them. Pieces are left to the caller.
class LogprobReader {
 public:
  // `most` of the likeliest tokens are told of.
  explicit LogprobReader(int most) : most_(most) {}

  // Of a row that isn't bad (kernels/logits.h); of a bad one nothing is kept.
  void look(const float* logits, int n);
  // The token that was then taken from this row, whose own logit no sampler changes.
  TokenLogprobs take(int32_t token, const float* logits) const;

 private:
  const int most_;
  float log_sum_exp_ = 0;
  std::vector<TokenChance> top_;
  CandidateList list_;
  std::vector<Candidate> whole_;
};

}  // namespace adaptive_spec
