// Random numbers for tests: the same from one seed on every machine, which std's distributions don't promise.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <vector>

namespace adaptive_spec::test {

class Random {
 public:
  explicit Random(uint32_t seed) : bits_(seed) {}

  double uniform() { return bits_() / 4294967296.0; }  // 0 <= x < 1
  int below(int n) { return static_cast<int>(uniform() * n); }
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }
  // A row of logits with this spread.
  std::vector<float> row(int n, double spread) {
    std::vector<float> logits(n);
    for (float& logit : logits) logit = static_cast<float>(spread * normal());
    return logits;
  }

 private:
  std::mt19937 bits_;
};

}  // namespace adaptive_spec::test
