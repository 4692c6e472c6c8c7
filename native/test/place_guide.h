// A guide for tests of drafters: what it forces and allows hangs on how far the draft has come.
#pragma once

#include <functional>
#include <map>

#include "draft/guide.h"

namespace adaptive_spec::test {

class PlaceGuide : public DraftGuide {
 public:
  std::map<int, int32_t> forces;  // by place in the draft, from 0
  std::function<bool(int place, int32_t token)> permits = [](int, int32_t) { return true; };

  void rewind() override { place_ = 0; }
  bool allows(int32_t token) override {
    const std::optional<int32_t> only = forced();
    return only ? token == *only : permits(place_, token);
  }
  bool take(int32_t token) override {
    if (!allows(token)) return false;
    ++place_;
    return true;
  }
  std::optional<int32_t> forced() override {
    const auto found = forces.find(place_);
    return found == forces.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  int place_ = 0;
};

}  // namespace adaptive_spec::test
