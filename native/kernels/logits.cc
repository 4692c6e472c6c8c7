// Plain loops that the compiler turns into vector code: eight to sixteen lanes without intrinsics.
#include "kernels/logits.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace adaptive_spec {
namespace {

// e^x for x <= 0, relative error below 1e-6: 2^n by the exponent bits, the rest by a polynomial (Cephes' expf).
inline float exp_negative(float x) {
  x = std::max(x, -87.0f);
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float e = p * r * r + r + 1.0f;
  return e * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

float largest(const float* logits, int n) {
  float best = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : best)
  for (int i = 0; i < n; ++i) best = logits[i] > best ? logits[i] : best;
  return best;
}

// Two passes beat one that carries the index along: the first vectorises, the second stops early.
int32_t index_of(const float* logits, int n, float value) {
  constexpr int kBlock = 64;
  int i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    int hit = 0;
#pragma omp simd reduction(| : hit)
    for (int j = 0; j < kBlock; ++j) hit |= logits[i + j] == value;
    if (hit) break;
  }
  for (; i < n; ++i)
    if (logits[i] == value) return i;
  return 0;
}

}  // namespace

int32_t argmax(const float* logits, int n) { return index_of(logits, n, largest(logits, n)); }

Choice choose(const float* logits, int n) {
  const float best = largest(logits, n);
  Choice choice;
  choice.id = index_of(logits, n, best);
  const float second = std::max(largest(logits, choice.id), largest(logits + choice.id + 1, n - choice.id - 1));

  // Of e^x and of x e^x, with x = logit - best. Blocks are summed in double, since a float that sums a whole
  // vocabulary loses up to 4e-4 of it where few lanes share the work.
  constexpr int kBlock = 2048;
  double sums = 0, weighted_sums = 0;
  for (int begin = 0; begin < n; begin += kBlock) {
    const int end = std::min(n, begin + kBlock);
    float sum = 0, weighted = 0;
#pragma omp simd reduction(+ : sum, weighted)
    for (int i = begin; i < end; ++i) {
      const float x = std::max(logits[i] - best, -87.0f);
      const float e = exp_negative(x);
      sum += e;
      weighted += x * e;
    }
    sums += sum;
    weighted_sums += weighted;
  }
  const float sum = static_cast<float>(sums), weighted = static_cast<float>(weighted_sums);
  choice.probability = 1 / sum;
  choice.margin = (1 - std::exp(std::max(second - best, -87.0f))) / sum;
  choice.entropy = std::max(0.0f, std::log(sum) - weighted / sum);
  return choice;
}

}  // namespace adaptive_spec
