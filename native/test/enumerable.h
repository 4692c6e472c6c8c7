// A model that can be enumerated, and tests of what texts are made of it: every beginning of a text has its distribution
// of next tokens, and a G-test says whether texts have it.
#pragma once

#include <array>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "test/harness.h"
#include "test/random.h"
#include "test/statistics.h"
#include "verify/sampler.h"

namespace adaptive_spec::test {

inline constexpr int kIds = 8, kLength = 5, kDepth = 4, kTexts = 100'000;
inline constexpr float kTemperatures[] = {0.2f, 0.5f, 0.8f, 1.0f, 1.5f};

// A text as one number, its tokens being the digits behind a leading 1.
struct Text {
  uint32_t code = 1;
  uint32_t length = 0;
  void add(int32_t token) {
    code = code * kIds + token;
    ++length;
  }
  Text with(int32_t token) const { return {code * kIds + token, length + 1}; }
};

// Texts shorter than `length` have smaller codes.
constexpr uint32_t codes(int length) { return length == 0 ? 2 : codes(length - 1) * kIds; }

inline std::vector<float> target_row(const Text& text) { return Random(text.code).row(kIds, 1.5); }

// A draft is the target with noise, and doesn't know the first two ids.
inline std::vector<float> draft_row(const Text& text, int drafter) {
  std::vector<float> row = target_row(text);
  Random random(text.code * 7 + 1 + drafter);
  for (float& logit : row) logit += static_cast<float>(random.normal());
  row[0] = row[1] = -std::numeric_limits<float>::infinity();
  return row;
}

// Rows and distributions after every text at one setting of the sampler, each made once.
class Model {
 public:
  explicit Model(const SamplingParams& params) : params_(params), sampler_(params, {}, {}, kIds) {}

  const SamplingParams& params() const { return params_; }
  // What a sampler may change.
  std::array<float, kIds> row(const Text& text) {
    std::array<float, kIds>& row = rows_[text.code];
    if (!is_made_[text.code]) {
      const std::vector<float> made = target_row(text);
      std::copy(made.begin(), made.end(), row.begin());
      is_made_[text.code] = true;
    }
    return row;
  }
  const Distribution& target(const Text& text) {
    Distribution& p = targets_[text.code];
    if (p.empty()) p = sampler_.distribution(target_row(text).data());
    return p;
  }
  const Distribution& draft(const Text& text, int drafter = 0) {
    Distribution& q = drafts_[drafter][text.code];
    if (q.empty()) q = sampler_.distribution(draft_row(text, drafter).data());
    return q;
  }

 private:
  using Table = std::vector<Distribution>;  // by code
  SamplingParams params_;
  Sampler sampler_;
  std::vector<std::array<float, kIds>> rows_ = std::vector<std::array<float, kIds>>(codes(kLength - 1));
  std::vector<bool> is_made_ = std::vector<bool>(codes(kLength - 1));
  Table targets_ = Table(codes(kLength - 1)), drafts_[2] = {targets_, targets_};
};

// What becomes of each text: calls emit(text so far, next token).
using Emit = std::function<void(const Text&, int32_t)>;
using Texts = std::function<void(Model&, uint32_t seed, const Emit&)>;

// Of every beginning that came often enough, whether the right tokens came next.
inline std::vector<double> g_tests(const SamplingParams& params, const Texts& texts) {
  constexpr int kOften = 100;
  Model model(params);
  std::vector<std::vector<int>> next(codes(kLength - 1));  // by code
  for (uint32_t seed = 0; seed < kTexts; ++seed)
    texts(model, seed, [&](const Text& text, int32_t token) {
      std::vector<int>& counts = next[text.code];
      if (counts.empty()) counts.resize(kIds);
      ++counts[token];
    });
  std::vector<double> probabilities;
  Text text;
  const std::function<void()> test_after_text = [&] {
    const std::vector<int>& counts = next[text.code];
    if (std::accumulate(counts.begin(), counts.end(), 0) < kOften) return;
    probabilities.push_back(g_test(counts, model.target(text)));
    if (text.length + 1 == kLength) return;
    for (const Text here = text; int32_t token : {0, 1, 2, 3, 4, 5, 6, 7}) {
      text = here.with(token);
      test_after_text();
    }
  };
  test_after_text();
  return probabilities;
}

inline constexpr double kLevel = 0.01;   // of all tests of a setting together
inline constexpr double kCaught = 1e-9;  // a bias is so improbable at least

inline void check_at_all_temperatures(const Texts& texts, SamplingParams params = {}) {
  std::vector<double> all;
  for (float temperature : kTemperatures) {
    params.temperature = temperature;
    const std::vector<double> some = g_tests(params, texts);
    all.insert(all.end(), some.begin(), some.end());
  }
  CHECK(all.size() > 500);
  const double least = least_after_holm(all);
  if (least < kLevel) fail(__FILE__, __LINE__, "a G-test answers " + std::to_string(least) + " after correction");
}

inline void check_caught(const Texts& texts) {
  const double least = least_after_holm(g_tests({.temperature = 1}, texts));
  if (least > kCaught) fail(__FILE__, __LINE__, "the bias went unnoticed: " + std::to_string(least));
}

// What a controller may do at its worst: depths by the token that the draft before ended with, though it was turned down.
inline int spiteful(const std::vector<int32_t>& before) { return !before.empty() && before.back() >= 5 ? 0 : kDepth; }

}  // namespace adaptive_spec::test
