// How a request's tokens are picked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace adaptive_spec {

// llama.cpp's DRY: what would go on a repetition of `allowed_length` tokens or more loses multiplier * base ^ excess.
struct DryParams {
  float multiplier = 0;  // 0 is off
  float base = 1.75f;
  int allowed_length = 2;
  int last_n = 0;  // tokens looked at
  std::vector<std::string> breakers;  // no repetition goes across one of these

  bool is_on() const { return multiplier > 0 && base >= 1 && last_n > 0; }
};

// What is added to a token's logit before everything else; minus infinity rules it out.
struct LogitBias {
  int32_t token = 0;
  float bias = 0;
};

struct SamplingParams {
  float temperature = 0;  // 0 is greedy
  int top_k = 0;          // 0 is off, as are top_p = 1, min_p = 0, repeat_penalty = 1 and zero penalties
  float top_p = 1, min_p = 0;
  float repeat_penalty = 1, frequency_penalty = 0, presence_penalty = 0;
  int penalty_last_n = 64;
  DryParams dry;
  uint32_t seed = 0;
  bool rejection = false;  // draft tokens are drawn, and accepted by rejection sampling; else compared with the draw
  std::vector<LogitBias> biases;  // those of one token add up

  // At temperature 0 both come to the same.
  bool rejects() const { return rejection && temperature > 0; }
  bool penalizes_tokens() const {
    return penalty_last_n > 0 && (repeat_penalty != 1 || frequency_penalty != 0 || presence_penalty != 0);
  }
  // Whether the text so far changes logits.
  bool penalizes() const { return penalizes_tokens() || dry.is_on(); }
};

}  // namespace adaptive_spec
