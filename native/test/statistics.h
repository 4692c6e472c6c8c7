// Whether samples have the distribution that they should have: G-tests, and Holm's correction for many of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "verify/distribution.h"

namespace adaptive_spec::test {

// The probability that a chi-square variable of `freedom` degrees exceeds `x`: the regularised upper incomplete gamma
// function Q(freedom / 2, x / 2), by its series or its continued fraction (Abramowitz and Stegun 6.5.29, 6.5.31).
inline double chi_square_tail(double x, int freedom) {
  const double a = freedom / 2.0, z = x / 2;
  if (z <= 0) return 1;
  const double scale = std::exp(a * std::log(z) - z - std::lgamma(a));
  if (z < a + 1) {
    double term = 1 / a, sum = term;
    for (int n = 1; term > 1e-16 * sum; ++n) sum += term *= z / (a + n);
    return 1 - scale * sum;
  }
  constexpr double kTiny = 1e-300;
  double b = z + 1 - a, c = 1 / kTiny, d = 1 / b, fraction = d;
  for (int n = 1; n < 10'000; ++n) {
    const double numerator = -n * (n - a);
    b += 2;
    d = numerator * d + b;
    d = 1 / (std::abs(d) < kTiny ? kTiny : d);
    c = b + numerator / c;
    if (std::abs(c) < kTiny) c = kTiny;
    fraction *= d * c;
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return scale * fraction;
}

// The probability of counts (by id) that are this far from what `p` lets expect, or further. Ids expected less than
// five times stand in one cell.
inline double g_test(const std::vector<int>& counts, const Distribution& p) {
  const double n = std::accumulate(counts.begin(), counts.end(), 0.0);
  double g = 0, rare_expected = 0, rare = 0, listed = 0;
  int cells = 0;
  const auto cell = [&](double count, double expected) {
    if (count > 0) g += 2 * count * std::log(count / expected);
    ++cells;
  };
  for (const Probability& one : p) {
    const double expected = one.value * n;
    listed += counts[one.id];
    if (expected >= 5) {
      cell(counts[one.id], expected);
    } else {
      rare += counts[one.id];
      rare_expected += expected;
    }
  }
  if (listed < n) return 0;  // an id that can't come
  if (rare_expected > 0) cell(rare, rare_expected);
  return cells < 2 ? 1 : chi_square_tail(g, cells - 1);
}

// The smallest of the probabilities after Holm's correction: below a level, one of the tests fails at that level.
inline double least_after_holm(std::vector<double> probabilities) {
  return std::min(1.0, *std::min_element(probabilities.begin(), probabilities.end()) * probabilities.size());
}

}  // namespace adaptive_spec::test
