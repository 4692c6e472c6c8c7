// What is asked of a row of logits: the largest one, how sure the row is of it, and which entries sampling can pick.
// A row that holds NaN or +Inf, or nothing but -Inf (which masks an id), is bad: no token follows from it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/logits_kernels.h"

namespace adaptive_spec {

// The id of the largest logit, the lowest id where several are equal; -1: the row is bad. n >= 1.
int32_t argmax(const float* logits, int n);

struct Choice {
  int32_t id = 0;         // as argmax; with -1 nothing else is set
  float probability = 0;  // softmax at temperature 1
  float margin = 0;       // probability less that of the second best
  float entropy = 0;      // nats
  float log_sum_exp = 0;
};

Choice choose(const float* logits, int n);

// The float that a loop `sum += expf(logits[i] - best)` over the row ends with, bit for bit, in a tenth of its time.
// `best` is the largest of the row, which isn't bad.
float sum_in_order(const float* logits, int n, float best);

// Of every kSumBlock logits the sum of e^(logit / temperature - top), where top is the largest of logit / temperature.
constexpr int kSumBlock = 256;
void sum_blocks(const float* logits, int n, float top, float temperature, std::vector<float>& sums);

// Some of a row's entries, ids ascending. Keeps its memory from row to row.
class CandidateList {
 public:
  // Looks at a row, which must stay as it is while entries are taken of it. Answers its largest logit, NaN where the
  // row is bad.
  float look(const float* logits, int n);
  // The k largest entries, those equal to the last of them, and usually few more. False where this would be no short
  // list.
  bool take_largest(int k);
  // The entries of `threshold` or more. False where these are no short list.
  bool take_at_least(float threshold);
  std::span<Candidate> entries() { return {entries_.data(), count_}; }

 private:
  const float* logits_ = nullptr;
  int n_ = 0;
  std::vector<float> maxima_, sorted_;  // of 64 logits each
  std::vector<Candidate> entries_;
  size_t count_ = 0;
};

// For tests: the kernels that this CPU can run, the best of them first, and which ones serve from now on.
std::vector<const LogitKernels*> runnable_logit_kernels();
void use_logit_kernels(const LogitKernels& kernels);

}  // namespace adaptive_spec
