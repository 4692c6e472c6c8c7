// N-grams of a few lengths, hashed; the longest one known decides.
#include "draft/ngram_index.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace adaptive_spec {
namespace {

// Longer matches are surer, but from some two dozen tokens on it makes no difference any more.
constexpr std::array kLengths = {1, 2, 3, 4, 6, 8, 12, 16, 24};
constexpr int kLongest = kLengths.back();

// Of the n-grams that end with the last of `tokens`: one hash per length, as many as there are tokens for. Answers
// how many.
int hash_ends(std::span<const int32_t> tokens, std::array<uint64_t, kLengths.size()>& hashes) {
  uint64_t hash = 0x9e3779b97f4a7c15;
  int known = 0;
  for (int n = 1; n <= std::min<int>(kLongest, tokens.size()); ++n) {
    hash = (hash ^ static_cast<uint32_t>(tokens[tokens.size() - n])) * 0xff51afd7ed558ccd;
    hash ^= hash >> 32;
    if (n == kLengths[known]) hashes[known++] = hash + n;
  }
  return known;
}

// Fitted by logistic regression on 7,668 matches in answers of the default target, each up to its first loop
// (docs/drafters.md): ln of length, run and count, and whether anything else ever followed.
float score(int length, uint32_t run, uint32_t seen) {
  const double z = -1.46 + 1.09 * std::log(length) + 2.02 * std::log(run) - 0.5 * std::log(seen) + 0.76 * (run == seen);
  return static_cast<float>(1 / (1 + std::exp(-z)));
}

}  // namespace

void NgramIndex::read(std::span<const int32_t> text) {
  std::array<uint64_t, kLengths.size()> hashes;
  while (text_.size() < text.size()) {
    const int32_t token = text[text_.size()];
    const int known = hash_ends(text_, hashes);
    for (int i = 0; i < known; ++i) {
      Entry& entry = entries_[hashes[i]];
      entry.run = entry.next == token ? entry.run + 1 : 1;
      entry.next = token;
      ++entry.seen;
    }
    text_.push_back(token);
  }
}

std::optional<NgramIndex::Match> NgramIndex::predict(std::span<const int32_t> draft) const {
  std::array<int32_t, kLongest> end;
  const size_t of_draft = std::min<size_t>(draft.size(), kLongest);
  const size_t of_text = std::min(text_.size(), kLongest - of_draft);
  std::copy(text_.end() - of_text, text_.end(), end.begin());
  std::copy(draft.end() - of_draft, draft.end(), end.begin() + of_text);
  std::array<uint64_t, kLengths.size()> hashes;
  for (int i = hash_ends({end.data(), of_text + of_draft}, hashes) - 1; i >= 0; --i)
    if (const auto found = entries_.find(hashes[i]); found != entries_.end()) {
      const Entry& entry = found->second;
      return Match{entry.next, score(kLengths[i], entry.run, entry.seen)};
    }
  return std::nullopt;
}

void NgramIndex::clear() {
  text_.clear();
  entries_.clear();
}

}  // namespace adaptive_spec
