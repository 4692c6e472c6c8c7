// Walks a draft through a copy of its request's place in the grammar.
#pragma once

#include <algorithm>
#include <vector>

#include "draft/guide.h"
#include "verify/grammar.h"

namespace adaptive_spec {

class DraftWalk : public DraftGuide {
 public:
  explicit DraftWalk(Grammar& grammar) : grammar_(grammar) {}

  void rewind() override {
    place_ = grammar_.place();
    ahead_.clear();
    is_known_ = false;
  }
  bool allows(int32_t token) override {
    Grammar::Place place = place_;
    return grammar_.walk(place, token);
  }
  bool take(int32_t token) override {
    if (!grammar_.walk(place_, token)) return false;
    if (!ahead_.empty() && ahead_.back() == token)
      ahead_.pop_back();
    else
      ahead_.clear();
    is_known_ = !ahead_.empty();
    return true;
  }
  std::optional<int32_t> forced() override {
    if (!is_known_) {
      ahead_ = grammar_.forced(place_);
      std::reverse(ahead_.begin(), ahead_.end());
      is_known_ = true;
    }
    return ahead_.empty() ? std::nullopt : std::optional(ahead_.back());
  }

 private:
  Grammar& grammar_;
  Grammar::Place place_;
  std::vector<int32_t> ahead_;  // forced, the next one last
  bool is_known_ = false;       // ahead_ is what the grammar forces here, be it nothing
};

}  // namespace adaptive_spec
