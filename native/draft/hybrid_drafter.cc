// Per token: a sure match is taken as it is; else the model is asked, and the likelier of the two proposals drafted.
#include "draft/hybrid_drafter.h"

#include <algorithm>

#include "engine/clock.h"

namespace adaptive_spec {
namespace {

// Both from exhaustive traces of the default pair over texts that are neither a benchmark's nor the draft's training
// (docs/drafters.md). From this score on a match is right more often than the model, whose token would cost
// time besides.
constexpr float kSure = 0.5f;

// Of the draft model's tokens, by what it says and what the n-grams say of them: logistic regression. It only decides
// whose token is drafted, so another draft model can do with it too.
constexpr AcceptanceModel kModel{.bias = 0.13, .logit = 0.89, .margin = -0.32, .entropy = -0.02, .match = 0.34,
                                 .is_drafters_own = false};

}  // namespace

void HybridDrafter::extend(std::span<Draft*> drafts) {
  while (true) {
    to_ask_.clear();
    matches_.clear();
    for (Draft* draft : drafts) {
      const double start = now_ms();
      while (draft->take_forced(), draft->wants_any()) {
        const auto match = ngram_.look(*draft);
        if (!match || match->score < kSure) {
          if (draft->wants_more()) {
            to_ask_.push_back(draft);
            matches_.push_back(match);
          }
          break;
        }
        if (!ngram_.offer(*draft, *match)) break;
      }
      draft->draft_ms += now_ms() - start;
    }
    if (to_ask_.empty()) return;
    model_.propose(to_ask_, [&](Draft& draft, int32_t token, Signals signals) {
      size_t i = 0;
      while (to_ask_[i] != &draft) ++i;
      if (const auto& match = matches_[i]) {
        const bool agree = match->token == token;
        signals.match = agree ? match->score : -match->score;
        if (!agree) {
          // Whose token is not drafted stays a guess beside the other's.
          const int place = static_cast<int>(draft.tokens.size());
          const float model_score = static_cast<float>(kModel.of(signals, place));
          const bool is_legal = draft.allows(token);  // the match is
          if (match->score > model_score || !is_legal) {
            draft.offer(match->token, Signals::of_match(match->score, Origin::kNgramOverModel));
            if (is_legal) draft.guess(place, token, model_score / (1 - match->score));
          } else {
            draft.offer(token, signals);
            draft.guess(place, match->token, match->score / std::max(1 - model_score, 1e-6f));
          }
          return;
        }
      }
      draft.offer(token, signals);
    });
  }
}

}  // namespace adaptive_spec
