// How a request's tokens are picked.
#pragma once

#include <cstdint>

namespace adaptive_spec {

struct SamplingParams {
  float temperature = 0;  // 0 is greedy
  int top_k = 0;          // 0 is off, as are top_p = 1, min_p = 0, repeat_penalty = 1 and zero penalties
  float top_p = 1, min_p = 0;
  float repeat_penalty = 1, frequency_penalty = 0, presence_penalty = 0;
  int penalty_last_n = 64;
  uint32_t seed = 0;
  bool rejection = false;  // draft tokens are drawn, and accepted by rejection sampling; else compared with the draw

  // At temperature 0 both come to the same.
  bool rejects() const { return rejection && temperature > 0; }
  bool penalizes() const {
    return penalty_last_n > 0 && (repeat_penalty != 1 || frequency_penalty != 0 || presence_penalty != 0);
  }
};

}  // namespace adaptive_spec
