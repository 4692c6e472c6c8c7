// Place by place, the first ones first: they are reached most often.
#include "draft/siblings.h"

#include <algorithm>
#include <array>

#include "verify/rejection.h"

namespace adaptive_spec {
namespace {

// Of a place, behind the first token.
constexpr size_t kSiblings = 2;

// The largest probabilities of a distribution, in order; 0 where it has no more.
std::array<float, kSiblings + 1> largest(const Distribution& q) {
  std::array<float, kSiblings + 1> top{};
  for (const Probability& one : q) {
    float value = one.value;
    for (float& place : top)
      if (value > place) std::swap(value, place);
  }
  return top;
}

}  // namespace

void draw_siblings(Draft& draft, int chain, int most, int rows) {
  static const StopRule kFree{};
  const StopRule& stop = draft.stop ? *draft.stop : kFree;
  double survival = 1;
  for (int place = 0; place < chain && most > 0; ++place) {
    const double right = stop.acceptance.of(draft.signals[place], place);
    if (const Distribution& q = draft.drawn_from[place]; !q.empty()) {
      const auto top = largest(q);
      Distribution left = q;
      int32_t token = draft.tokens[place];
      for (size_t i = 1; i < top.size() && top[i] > 0 && most > 0; ++i, --most) {
        // As if the likeliest were drawn, one after the other.
        const float share = top[i] / std::max(1 - top[0], 1e-6f);
        const double gain = survival * (1 - right) * std::min(share, 1.0f), price = stop.row_price(rows + 1);
        if (gain * (1 - price) < price) break;
        std::erase_if(left, [token](const Probability& one) { return one.id == token; });
        if (!normalise(left)) break;
        token = draw(left, draft_number(draft.sampling->seed, draft.accepted.size(), place, i));
        draft.guesses.push_back({.place = place, .token = token, .share = std::min(share, 1.0f), .from = left});
        ++rows;
      }
    }
    survival *= right;
  }
}

}  // namespace adaptive_spec
