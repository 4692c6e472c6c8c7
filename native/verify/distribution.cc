// Look up, draw, put in order.
#include "verify/distribution.h"

#include <algorithm>

namespace adaptive_spec {
namespace {

bool by_id(const Probability& a, const Probability& b) { return a.id < b.id; }

template <class Some>
auto find_in(Some& distribution, int32_t id) -> decltype(distribution.data()) {
  // A whole row has each id at its own place.
  if (static_cast<size_t>(id) < distribution.size() && distribution[id].id == id) return &distribution[id];
  const auto found = std::lower_bound(distribution.begin(), distribution.end(), Probability{id, 0}, by_id);
  return found != distribution.end() && found->id == id ? &*found : nullptr;
}

}  // namespace

Probability* find(Distribution& distribution, int32_t id) { return find_in(distribution, id); }

float probability_of(const Distribution& distribution, int32_t id) {
  const Probability* const found = find_in(distribution, id);
  return found ? found->value : 0;
}

int32_t draw(const Distribution& distribution, double u, double total) {
  const double wanted = u * total;
  double sum = 0;
  int32_t last = -1;
  for (const Probability& one : distribution) {
    if (one.value <= 0) continue;
    last = one.id;
    if ((sum += one.value) > wanted) break;
  }
  return last;  // the very last one where rounding left the sum below what is wanted
}

bool normalise(Distribution& distribution) {
  // In double: with 150,000 addends a float would lose the small ones.
  double sum = 0;
  for (const Probability& one : distribution) sum += one.value;
  if (!(sum > 0)) return false;
  for (Probability& one : distribution) one.value = static_cast<float>(one.value / sum);
  return true;
}

void sort_by_id(Distribution& distribution) {
  // Whole rows are in order, and most vocabularies' maps keep it.
  if (!std::is_sorted(distribution.begin(), distribution.end(), by_id))
    std::sort(distribution.begin(), distribution.end(), by_id);
}

}  // namespace adaptive_spec
