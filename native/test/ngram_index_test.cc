// Tests of NgramIndex, against a search through the whole text.
#include "draft/ngram_index.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <vector>

#include "test/harness.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

using Tokens = std::vector<int32_t>;

struct Found {
  int length = 0;  // of the longest n-gram that stood before; 0: none did
  int32_t next = 0;
  int run = 0, seen = 0;
};

// What followed the end of `text` and `draft` where it stood in `text` before.
Found search(const Tokens& text, const Tokens& draft) {
  Tokens end = text;
  end.insert(end.end(), draft.begin(), draft.end());
  for (const int n : {24, 16, 12, 8, 6, 4, 3, 2, 1}) {
    if (n > static_cast<int>(end.size())) continue;
    Found found{.length = n};
    for (size_t i = n; i < text.size(); ++i) {
      if (!std::equal(end.end() - n, end.end(), text.begin() + (i - n))) continue;
      found.run = found.seen > 0 && found.next == text[i] ? found.run + 1 : 1;
      found.next = text[i];
      ++found.seen;
    }
    if (found.seen > 0) return found;
  }
  return {};
}

// Random, but with passages that come again.
Tokens passages(test::Random& random, int length, int vocabulary) {
  Tokens text;
  while (static_cast<int>(text.size()) < length) {
    const int size = static_cast<int>(text.size());
    if (size > 10 && random.below(3) == 0) {
      const int from = random.below(size - 5), copied = std::min(1 + random.below(40), size - from);
      for (int i = 0; i < copied; ++i) text.push_back(text[from + i]);
    } else {
      text.push_back(random.below(vocabulary));
    }
  }
  return text;
}

}  // namespace

TEST("n-gram index: predicts what a search through the text finds, and scores it by length and counts alone") {
  std::map<std::tuple<int, int, int>, float> scores;  // by length, run, seen
  int none = 0;
  for (int seed = 0; seed < 30; ++seed) {
    test::Random random(seed);
    const Tokens text = passages(random, 150, seed % 2 == 0 ? 4 : 60);
    NgramIndex index;
    for (size_t length = 0; length < text.size();) {
      length = std::min(text.size(), length + 1 + random.below(9));
      const Tokens read(text.begin(), text.begin() + length);
      index.read(read);
      Tokens draft;
      for (int i = random.below(30); i > 0; --i)
        draft.push_back(random.below(2) == 0 ? random.below(60) : text[random.below(static_cast<int>(length))]);
      for (const Tokens& after : {Tokens{}, draft}) {
        const Found expected = search(read, after);
        const auto match = index.predict(after);
        CHECK_EQUAL(match.has_value(), expected.length > 0);
        none += !match;
        if (!match || expected.length == 0) continue;
        CHECK_EQUAL(match->token, expected.next);
        const auto [known, is_new] =
            scores.try_emplace({expected.length, expected.run, expected.seen}, match->score);
        CHECK_EQUAL(match->score, known->second);
      }
    }
  }
  CHECK(none > 0);
  CHECK(scores.size() > 50);
  for (const auto& [key, score] : scores) {
    CHECK(score > 0 && score < 1);
    for (const auto& [other_key, other] : scores) {
      const auto [length, run, seen] = key;
      const auto [other_length, other_run, other_seen] = other_key;
      if (run == other_run && seen == other_seen && length < other_length) CHECK(score < other);
      if (length == other_length && seen == other_seen && run < other_run) CHECK(score < other);
      if (length == other_length && run == other_run && seen < other_seen) CHECK(score > other);
    }
  }
}

TEST("n-gram index: the score is the formula that the docs give") {
  NgramIndex index;
  index.read(Tokens{7, 8, 9, 7, 8, 9, 7, 8});  // after 7 8: 9, twice out of twice; length 4 has it once
  const auto once = index.predict({});
  REQUIRE(once.has_value());
  CHECK_EQUAL(once->token, 9);
  const double z = -1.46 + 1.09 * std::log(4) + 0.76;
  CHECK(std::abs(once->score - 1 / (1 + std::exp(-z))) < 1e-6);
  // The draft breaks the longer matches: 8 after another token was followed by 9 twice, 9 by 7 once in a row.
  const auto twice = index.predict(Tokens{1, 8});
  REQUIRE(twice.has_value());
  CHECK_EQUAL(twice->token, 9);
  const double twice_z = -1.46 + 2.02 * std::log(2) - 0.5 * std::log(2) + 0.76;
  CHECK(std::abs(twice->score - 1 / (1 + std::exp(-twice_z))) < 1e-6);
}

TEST("n-gram index: knows nothing of an empty text, nor of one that it was told to forget") {
  NgramIndex index;
  CHECK(!index.predict({}).has_value());
  CHECK(!index.predict(Tokens{1, 2}).has_value());
  index.read(Tokens{1, 2, 1});
  CHECK_EQUAL(index.predict({})->token, 2);
  index.clear();
  CHECK(!index.predict(Tokens{1}).has_value());
  index.read(Tokens{1, 3, 1});
  CHECK_EQUAL(index.predict({})->token, 3);
}

}  // namespace adaptive_spec
