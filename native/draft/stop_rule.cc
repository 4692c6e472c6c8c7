// Expected tokens against expected time.
#include "draft/stop_rule.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace adaptive_spec {
namespace {

// How probable it is that the target writes a forced text in the tokenizer's own tokens. One that hasn't been told what
// comes often begins it with a shorter one.
constexpr float kForced = 0.8f;

}  // namespace

Signals Signals::of_match(float score, Origin origin) {
  const float other = 1 - score;
  return {.probability = score,
          .margin = std::max(0.0f, score - other),
          .entropy = other > 0 ? -score * std::log(score) - other * std::log(other) : 0,
          .match = score,
          .origin = origin};
}

Signals Signals::of_forced() {
  return {.probability = kForced, .margin = kForced, .origin = Origin::kGrammar};
}

double AcceptanceModel::of(const Signals& signals, int place_in_draft) const {
  const double probability = signals.probability;
  if (is_drafters_own || signals.origin == Origin::kGrammar) return probability;
  const double p = std::clamp(probability, 1e-6, 1 - 1e-6);
  const double log_odds = std::log(p / (1 - p));
  const double z = signals.origin == Origin::kModel
                       ? bias + logit * log_odds + margin * signals.margin + entropy * signals.entropy +
                             place * std::log(1.0 + place_in_draft) + match * signals.match
                       : ngram_bias + ngram_logit * log_odds;
  return 1 / (1 + std::exp(-z));
}

double StopRule::verify(int rows) const {
  const int last = curve - 1;
  if (rows - 1 <= last) return verify_ms[rows - 1];
  const double step = last > 0 ? std::max(0.0, verify_ms[last] - verify_ms[last - 1]) : 0;
  return verify_ms[last] + (rows - 1 - last) * step;
}

bool StopRule::worth_more(int k, double survival, int depth, bool asked, const Signals* next) const {
  if (tokens_per_ms <= 0 || (next && !next->told())) return true;
  const double now = verify(k + 1);
  double gain = 0, alive = survival;
  for (int m = 1; k + m <= depth; ++m) {
    alive *= m == 1 && next ? acceptance.of(*next, k) : ahead;
    gain += alive;
    const int to_draft = next ? m - 1 : m;
    const double drafting = to_draft * draft_ms + (to_draft > 0 && !asked ? start_ms : 0);
    if (gain > tokens_per_ms * (drafting + verify(k + m + 1) - now)) return true;
  }
  return false;
}

bool StopRule::refuses(const Signals& signals, int k, double& survival) const {
  if (!signals.told()) return false;
  const double probability = acceptance.of(signals, k);
  if (!(signals.probability >= min_probability) || signals.entropy > max_entropy || probability < min_acceptance ||
      survival * probability < min_survival)
    return true;
  survival *= probability;
  return false;
}

int StopRule::trimmed(std::span<const Signals> signals, int rows_before, int rows) const {
  const int drafted = static_cast<int>(signals.size());
  if (drafted > 0 && !signals[0].told()) return drafted;
  std::vector<double> survivals;
  double survival = 1;
  for (int j = 0; j < drafted; ++j) survivals.push_back(survival *= acceptance.of(signals[j], j));
  return worth_rows(survivals, rows, rows_before);
}

int StopRule::worth_rows(std::span<const double> gains, int rows, int rows_before) const {
  const int most = static_cast<int>(gains.size());
  if (tokens_per_ms <= 0) return most;
  int best = 0;
  double best_worth = -std::numeric_limits<double>::infinity(), gain = 0;
  for (int j = 0; j <= most; ++j) {
    if (j > 0) gain += gains[j - 1];
    const double change = rows + j == rows_before || rows_before == 0 ? 0 : rebuild_ms;
    const double worth = gain - tokens_per_ms * (verify(rows + j) + change);
    if (worth <= best_worth) continue;
    best = j;
    best_worth = worth;
  }
  return best;
}

double StopRule::row_price(int rows) const {
  return tokens_per_ms <= 0 || rows < 2 ? 0 : tokens_per_ms * std::max(0.0, verify(rows) - verify(1)) / (rows - 1);
}

}  // namespace adaptive_spec
