// Look up, draw, put in order.
#include "verify/distribution.h"

#include <algorithm>

namespace adaptive_spec {
namespace {

bool by_id(const Probability& a, const Probability& b) { return a.id < b.id; }

// In double: with 150,000 addends a float would lose the small ones.
double total(const Distribution& distribution) {
  double sum = 0;
  for (const Probability& one : distribution) sum += one.value;
  return sum;
}

}  // namespace

float probability_of(const Distribution& distribution, int32_t id) {
  const auto found = std::lower_bound(distribution.begin(), distribution.end(), Probability{id, 0}, by_id);
  return found != distribution.end() && found->id == id ? found->value : 0;
}

int32_t draw(const Distribution& distribution, double u) {
  const double wanted = u * total(distribution);
  double sum = 0;
  for (const Probability& one : distribution)
    if ((sum += one.value) > wanted) return one.id;
  // Not reached while u < 1, since the sums are the same ones.
  return distribution.back().id;
}

bool normalise(Distribution& distribution) {
  const double sum = total(distribution);
  if (!(sum > 0)) return false;
  for (Probability& one : distribution) one.value = static_cast<float>(one.value / sum);
  // Few vocabularies' maps are out of order, and whole rows aren't.
  if (!std::is_sorted(distribution.begin(), distribution.end(), by_id))
    std::sort(distribution.begin(), distribution.end(), by_id);
  return true;
}

}  // namespace adaptive_spec
