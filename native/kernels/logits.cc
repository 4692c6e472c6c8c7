// Picks the kernels that this CPU can run, and makes of their sums what is asked.
#include "kernels/logits.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace adaptive_spec {
namespace {

const LogitKernels* best_kernels() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return &kAvx512Logits;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &kAvx2Logits;
#endif
  return &kScalarLogits;
}

const LogitKernels* kernels = best_kernels();

// A list longer than this part of the row saves nothing.
constexpr int kShortPart = 8;
constexpr int kPerMaximum = 64;

}  // namespace

int32_t argmax(const float* logits, int n) { return kernels->argmax(logits, n); }

Choice choose(const float* logits, int n) {
  const RowSums row = kernels->sums(logits, n);
  Choice choice;
  choice.id = row.id;
  if (row.id < 0) return choice;
  const float sum = static_cast<float>(row.sum), weighted = static_cast<float>(row.weighted);
  const double log_sum = std::log(row.sum);
  choice.probability = 1 / sum;
  choice.margin = -std::expm1(std::max(row.second - row.best, -87.0f)) / sum;
  choice.entropy = std::max(0.0f, static_cast<float>(log_sum) - weighted / sum);
  choice.log_sum_exp = static_cast<float>(row.best + log_sum);
  return choice;
}

float sum_in_order(const float* logits, int n, float best) {
  constexpr int kStride = 16;
  constexpr float kSmallest = 0x1p-100f;  // below it units are near the end of floats
  float sum = 0;
  for (int i = 0; i < n;) {
    if (kernels->add_units && sum >= kSmallest) {
      const int shift = 23 - std::ilogb(sum);
      float units = 0;
      i = kernels->add_units(logits, i, n, best, shift, 0x1p24f - std::ldexp(sum, shift), &units);
      sum += std::ldexp(units, -shift);
    }
    for (const int end = std::min(n, i + kStride); i < end; ++i) sum += std::exp(logits[i] - best);
  }
  return sum;
}

void sum_blocks(const float* logits, int n, float top, float temperature, std::vector<float>& sums) {
  sums.resize((n + kSumBlock - 1) / kSumBlock);
  kernels->block_sums(logits, n, top, temperature, sums.data());
}

float CandidateList::look(const float* logits, int n) {
  logits_ = logits;
  n_ = n;
  maxima_.resize((n + kPerMaximum - 1) / kPerMaximum);
  entries_.resize(n / kShortPart);
  if (!kernels->block_maxima(logits, n, maxima_.data())) return std::numeric_limits<float>::quiet_NaN();
  const float best = *std::max_element(maxima_.begin(), maxima_.end());
  return std::isinf(best) ? std::numeric_limits<float>::quiet_NaN() : best;
}

bool CandidateList::take_largest(int k) {
  if (k > static_cast<int>(maxima_.size())) return false;
  // k blocks have a logit of at least the k-th largest maximum, so the k largest logits have.
  sorted_ = maxima_;
  std::nth_element(sorted_.begin(), sorted_.begin() + (k - 1), sorted_.end(), std::greater<float>());
  return take_at_least(sorted_[k - 1]);
}

bool CandidateList::take_at_least(float threshold) {
  const int count = kernels->at_least(logits_, n_, threshold, entries_.data(), static_cast<int>(entries_.size()));
  count_ = std::max(count, 0);
  return count >= 0;
}

std::vector<const LogitKernels*> runnable_logit_kernels() {
  std::vector<const LogitKernels*> all;
#if defined(__x86_64__)
  if (best_kernels() == &kAvx512Logits) all.push_back(&kAvx512Logits);
  if (best_kernels() != &kScalarLogits) all.push_back(&kAvx2Logits);
#endif
  all.push_back(&kScalarLogits);
  return all;
}

void use_logit_kernels(const LogitKernels& chosen) { kernels = &chosen; }

}  // namespace adaptive_spec
