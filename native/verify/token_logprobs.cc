// A softmax's logarithm at temperature 1, and the head of the row.
#include "verify/token_logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace adaptive_spec {

void LogprobReader::look(const float* logits, int n) {
  top_.clear();
  const Choice choice = choose(logits, n);
  if (choice.id < 0) return;
  log_sum_exp_ = choice.log_sum_exp;
  const int most = std::min(most_, n);
  if (most == 0) return;
  list_.look(logits, n);
  std::span<Candidate> entries;
  if (list_.take_largest(most)) {
    entries = list_.entries();
  } else {
    whole_.resize(n);
    for (int32_t id = 0; id < n; ++id) whole_[id] = {id, logits[id]};
    entries = whole_;
  }
  const auto end = entries.begin() + std::min<int64_t>(most, static_cast<int64_t>(entries.size()));
  std::partial_sort(entries.begin(), end, entries.end(), [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  });
  for (auto entry = entries.begin(); entry != end && entry->logit > -std::numeric_limits<float>::infinity(); ++entry)
    top_.push_back({entry->id, entry->logit - log_sum_exp_, {}});
}

TokenLogprobs LogprobReader::take(int32_t token, const float* logits) const {
  return {{token, logits[token] - log_sum_exp_, {}}, top_};
}

}  // namespace adaptive_spec
