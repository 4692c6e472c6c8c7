// What is asked of a row of logits: the largest one, and how sure the row is of it.
#pragma once

#include <cstdint>

namespace adaptive_spec {

// The id of the largest logit; the lowest id where several are equal. n >= 1.
int32_t argmax(const float* logits, int n);

struct Choice {
  int32_t id = 0;         // as argmax
  float probability = 0;  // softmax at temperature 1
  float margin = 0;       // probability less that of the second best
  float entropy = 0;      // nats
};

Choice choose(const float* logits, int n);

}  // namespace adaptive_spec
