// The first filter of llama.cpp's chain, on the entries of a row that it can keep.
#include "verify/shortlist.h"

#include <algorithm>
#include <cmath>

namespace adaptive_spec {
namespace {

// llama.cpp cuts smaller rows in another way, and they cost little.
constexpr int kSmallRow = 1024;
// Its buckets for sorting overflow from 3e8 on.
constexpr float kHuge = 1e8f;

}  // namespace

bool Shortlist::serves(const SamplingParams& params, int n_vocab) {
  return n_vocab > kSmallRow && params.temperature > 0 && !params.penalizes() &&
         (params.top_k > 0 || params.top_p < 1 || params.min_p > 0);
}

Shortlist::Outcome Shortlist::shorten(const float* logits) {
  const float best = list_.look(logits, n_vocab_);
  if (std::isnan(best)) return Outcome::kBadRow;
  if (best > kHuge) return Outcome::kWholeRow;
  const bool is_short = params_.top_k > 0   ? keep_top_k()
                        : params_.top_p < 1 ? keep_top_p(logits, best)
                                            : keep_min_p(best);
  return is_short ? Outcome::kShort : Outcome::kWholeRow;
}

bool Shortlist::keep_top_k() {
  return params_.top_k < n_vocab_ && sort_largest(params_.top_k) && keep(params_.top_k);
}

bool Shortlist::keep_top_p(const float* logits, float best) {
  // Probabilities are rounded as llama.cpp's are, whose sum is a float that goes through the whole row.
  const float sum = sum_in_order(logits, n_vocab_, best);
  for (int k : {64, 256, 2048}) {
    if (!sort_largest(k)) return false;
    float cumulative = 0;
    size_t kept = 0;
    for (const Candidate& entry : list_.entries()) {
      cumulative += std::exp(entry.logit - best) / sum;
      ++kept;
      if (cumulative >= params_.top_p) return keep(kept);
    }
  }
  return false;
}

bool Shortlist::keep_min_p(float best) {
  // A little more than the chain will keep: it filters these itself, and they stand in the row's order.
  const float threshold = best + std::log(params_.min_p);
  if (!list_.take_at_least(threshold - 1e-5f * (1 + std::abs(threshold)))) return false;
  data_.clear();
  for (const Candidate& entry : list_.entries()) data_.push_back({entry.id, entry.logit, 0});
  sorted_ = false;
  return true;
}

bool Shortlist::sort_largest(int k) {
  if (!list_.take_largest(k)) return false;
  std::sort(list_.entries().begin(), list_.entries().end(),
            [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
  return true;
}

// Keeps the first entries of the sorted list, if there is but one way to sort and cut it.
bool Shortlist::keep(size_t count) {
  const std::span<Candidate> entries = list_.entries();
  if (count > entries.size()) return false;
  data_.clear();
  for (size_t i = 0; i < count; ++i) {
    if (i + 1 < entries.size() && entries[i].logit == entries[i + 1].logit) return false;
    data_.push_back({entries[i].id, entries[i].logit, 0});
  }
  sorted_ = true;
  return true;
}

}  // namespace adaptive_spec
