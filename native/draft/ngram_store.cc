// Chains of equal n-grams through a ring, as compressors have them.
#include "draft/ngram_store.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <new>

#include "draft/ngram_hash.h"

namespace adaptive_spec {
namespace {

// Fitted by logistic regression on 22,372 matches in answers of the default target, each up to its first loop, against
// stores of like and of other answers (docs/drafters.md): ln of length, places that agree and places seen, and whether
// all agree.
float score(int length, int agree, int seen) {
  const double z =
      -3.03 + 1.11 * std::log(length) + 1.11 * std::log(agree) - 0.42 * std::log(seen) + 1.17 * (agree == seen);
  return static_cast<float>(1 / (1 + std::exp(-z)));
}

}  // namespace

// calloc, because a system gives such memory once it is written to.
NgramStore::Words NgramStore::words(size_t count) {
  Words memory(static_cast<uint32_t*>(std::calloc(count, sizeof(uint32_t))));
  if (!memory) throw std::bad_alloc();
  return memory;
}

NgramStore::NgramStore(uint32_t max_tokens) : capacity_(max_tokens), mask_(std::bit_floor(max_tokens) - 1), text_(words(max_tokens)) {
  for (Chains& chains : chains_) chains = {words(mask_ + size_t{1}), words(capacity_)};
}

void NgramStore::append(int32_t token) {
  const uint32_t place = next_ % capacity_;
  if (token != kBoundary) {
    std::array<int32_t, kLengths.back()> before;
    const uint32_t n = std::min<uint32_t>(size_, before.size());
    for (uint32_t i = 0; i < n; ++i) before[i] = at(next_ - n + i);
    std::array<uint64_t, kLengths.size()> hashes;
    const int hashed = hash_ends({before.data(), n}, kLengths, hashes);
    for (int level = 0; level < hashed; ++level) {
      uint32_t& last = chains_[level].last[hashes[level] & mask_];
      chains_[level].previous[place] = last;
      last = static_cast<uint32_t>(next_);
    }
  }
  text_[place] = static_cast<uint32_t>(token);
  ++next_;
  size_ = std::min(size_ + 1, capacity_);
}

int NgramStore::common(std::span<const int32_t> end, uint64_t position) const {
  const uint64_t most = std::min<uint64_t>(end.size(), position - (next_ - size_));
  uint64_t length = 0;
  while (length < most && end[end.size() - 1 - length] == at(position - 1 - length)) ++length;
  return static_cast<int>(length);
}

int NgramStore::find(size_t level, uint64_t hash, std::span<const int32_t> end, Candidates& found) const {
  const Chains& chains = chains_[level];
  int count = 0;
  uint32_t age_before = 0;
  uint32_t low = chains.last[hash & mask_];
  for (int step = 0; step < kSteps && count < kCandidates; ++step) {
    // What was overwritten ends the chain, and so does what only looks like a position.
    const uint32_t age = static_cast<uint32_t>(next_) - low;
    if (age <= age_before || age > size_) break;
    age_before = age;
    const uint64_t position = next_ - age;
    const int length = common(end, position);
    if (length >= kLengths[level]) found[count++] = {position, length};
    low = chains.previous[position % capacity_];
  }
  return count;
}

std::optional<NgramIndex::Match> NgramStore::predict(std::span<const int32_t> text,
                                                     std::span<const int32_t> draft) const {
  std::array<int32_t, kLongest> room;
  const std::span<const int32_t> end = end_of(text, draft, room);
  std::array<uint64_t, kLengths.size()> hashes;
  Candidates found;
  for (int level = hash_ends(end, kLengths, hashes) - 1; level >= 0; --level) {
    const int seen = find(level, hashes[level], end, found);
    if (seen == 0) continue;
    // The latest of the longest; each of the others is for it or against it.
    const auto longest = std::max_element(found.begin(), found.begin() + seen,
                                          [](const Candidate& a, const Candidate& b) { return a.length < b.length; });
    const int32_t token = at(longest->position);
    const int agree = static_cast<int>(std::count_if(
        found.begin(), found.begin() + seen, [&](const Candidate& c) { return at(c.position) == token; }));
    return NgramIndex::Match{token, score(longest->length, agree, seen), longest->length};
  }
  return std::nullopt;
}

size_t NgramStore::known(std::span<const int32_t> text) const {
  std::array<int32_t, kLengths.back()> end;
  std::array<uint64_t, kLengths.size()> hashes;
  Candidates found;
  size_t known = end.size() - 1;  // and the boundary: as many as the longest chains are of
  if (text.size() <= known) return 0;
  end[0] = kBoundary;
  std::copy_n(text.begin(), known, end.begin() + 1);
  bool is_more = false;
  for (size_t extended = 1; extended > 0 && known < text.size();) {
    if (is_more) std::copy_n(text.begin() + (known - end.size()), end.size(), end.begin());
    hash_ends(std::span<const int32_t>(end), kLengths, hashes);
    extended = 0;
    for (int i = find(kLengths.size() - 1, hashes.back(), end, found) - 1; i >= 0; --i) {
      size_t n = 0;
      while (known + n < text.size() && found[i].position + n < next_ && at(found[i].position + n) == text[known + n]) ++n;
      extended = std::max(extended, n);
    }
    known += extended;
    is_more |= extended > 0;
  }
  return is_more ? known : 0;
}

void NgramStore::enter(std::span<const int32_t> text) {
  const size_t there = known(text);
  if (there == text.size()) return;
  append(kBoundary);
  // From as far before what is new as a match is compared.
  for (const int32_t token : text.subspan(there - std::min<size_t>(there, kLongest))) append(token);
  has_news_ = true;
}

std::vector<int32_t> NgramStore::tokens() const {
  std::vector<int32_t> tokens(size_);
  for (uint32_t i = 0; i < size_; ++i) tokens[i] = at(next_ - size_ + i);
  return tokens;
}

void NgramStore::restore(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens.last(std::min<size_t>(tokens.size(), capacity_))) append(token);
}

}  // namespace adaptive_spec
