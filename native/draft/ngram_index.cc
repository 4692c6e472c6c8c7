// N-grams of a few lengths, hashed; the longest one known decides.
#include "draft/ngram_index.h"

#include <array>
#include <cmath>

#include "draft/ngram_hash.h"

namespace adaptive_spec {
namespace {

// Longer matches are surer, but from some two dozen tokens on it makes no difference any more.
constexpr std::array kLengths = {1, 2, 3, 4, 6, 8, 12, 16, 24};
constexpr int kLongest = kLengths.back();

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
    const int known = hash_ends(text_, kLengths, hashes);
    for (int i = 0; i < known; ++i) {
      Entry& entry = entries_[hashes[i]];
      entry.run = entry.next == token ? entry.run + 1 : 1;
      entry.next = token;
      ++entry.seen;
    }
    text_.push_back(token);
  }
}

std::optional<NgramIndex::Match> NgramIndex::predict(std::span<const int32_t> draft, int32_t but) const {
  std::array<int32_t, kLongest> room;
  std::array<uint64_t, kLengths.size()> hashes;
  for (int i = hash_ends(end_of(text_, draft, room), kLengths, hashes) - 1; i >= 0; --i)
    if (const auto found = entries_.find(hashes[i]); found != entries_.end() && found->second.next != but) {
      const Entry& entry = found->second;
      return Match{entry.next, score(kLengths[i], entry.run, entry.seen), kLengths[i]};
    }
  return std::nullopt;
}

void NgramIndex::clear() {
  text_.clear();
  entries_.clear();
}

}  // namespace adaptive_spec
