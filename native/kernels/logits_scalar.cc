// The kernels of logits_kernels.h as plain loops, for CPUs without AVX2 and FMA: the compiler makes of them what the
// CPU has.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/logits_kernels.h"

namespace adaptive_spec {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kBlock = 2048, kSmallBlock = 64, kSumBlock = 256;

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

float largest(const float* logits, int n, int& bad) {
  float best = -kInfinity;
  int wrong = 0;
#pragma omp simd reduction(max : best) reduction(| : wrong)
  for (int i = 0; i < n; ++i) {
    wrong |= !(logits[i] < kInfinity);
    best = logits[i] > best ? logits[i] : best;
  }
  bad |= wrong;
  return best;
}

// Two passes beat one that carries the id along: the first vectorises, the second stops early.
int32_t argmax(const float* logits, int n) {
  int bad = 0;
  const float best = largest(logits, n, bad);
  if (bad || best == -kInfinity) return -1;
  int i = 0;
  for (; i + kSmallBlock <= n; i += kSmallBlock) {
    int hit = 0;
#pragma omp simd reduction(| : hit)
    for (int j = 0; j < kSmallBlock; ++j) hit |= logits[i + j] == best;
    if (hit) break;
  }
  while (logits[i] != best) ++i;
  return i;
}

RowSums sums(const float* logits, int n) {
  RowSums row = {argmax(logits, n), -kInfinity, -kInfinity, 0, 0};
  if (row.id < 0) return row;
  row.best = logits[row.id];
  int bad = 0;
  row.second = std::max(largest(logits, row.id, bad), largest(logits + row.id + 1, n - row.id - 1, bad));
  // Blocks are summed in double: a float that sums a whole vocabulary loses up to 4e-4 of it where few lanes share
  // the work.
  for (int begin = 0; begin < n; begin += kBlock) {
    const int end = std::min(n, begin + kBlock);
    float sum = 0, weighted = 0;
#pragma omp simd reduction(+ : sum, weighted)
    for (int i = begin; i < end; ++i) {
      const float x = std::max(logits[i] - row.best, -87.0f);
      const float e = exp_negative(x);
      sum += e;
      weighted += x * e;
    }
    row.sum += sum;
    row.weighted += weighted;
  }
  return row;
}

bool block_maxima(const float* logits, int n, float* maxima) {
  int bad = 0;
  for (int begin = 0; begin < n; begin += kSmallBlock)
    *maxima++ = largest(logits + begin, std::min(kSmallBlock, n - begin), bad);
  return !bad;
}

void block_sums(const float* logits, int n, float top, float temperature, float* sums) {
  for (int begin = 0; begin < n; begin += kSumBlock) {
    const int end = std::min(n, begin + kSumBlock);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = begin; i < end; ++i) sum += exp_negative(logits[i] / temperature - top);
    *sums++ = sum;
  }
}

int at_least(const float* logits, int n, float threshold, Candidate* out, int room) {
  int count = 0;
  for (int id = 0; id < n; ++id) {
    if (!(logits[id] >= threshold)) continue;
    if (count == room) return -1;
    out[count++] = {id, logits[id]};
  }
  return count;
}

}  // namespace

extern const LogitKernels kScalarLogits = {"scalar", argmax, sums, block_maxima, block_sums, at_least, nullptr};

}  // namespace adaptive_spec
