// Hashes of the n-grams that end where a text and its draft end; a hash that two share costs a wrong guess, no more.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace adaptive_spec {

// Of the n-grams that end with the last of `tokens`: one hash for each of `lengths`, which ascend, as many as there are
// tokens for. Answers how many.
template <size_t N>
int hash_ends(std::span<const int32_t> tokens, const std::array<int, N>& lengths, std::array<uint64_t, N>& hashes) {
  uint64_t hash = 0x9e3779b97f4a7c15;
  int known = 0;
  const int most = std::min<int>(lengths.back(), static_cast<int>(tokens.size()));
  for (int n = 1; n <= most; ++n) {
    hash = (hash ^ static_cast<uint32_t>(tokens[tokens.size() - n])) * 0xff51afd7ed558ccd;
    hash ^= hash >> 32;
    if (n == lengths[known]) hashes[known++] = hash + n;
  }
  return known;
}

// The last tokens of `text` with `draft` behind it, as many as there is room for.
template <size_t N>
std::span<const int32_t> end_of(std::span<const int32_t> text, std::span<const int32_t> draft,
                                std::array<int32_t, N>& room) {
  const size_t of_draft = std::min(draft.size(), N);
  const size_t of_text = std::min(text.size(), N - of_draft);
  std::copy(text.end() - of_text, text.end(), room.begin());
  std::copy(draft.end() - of_draft, draft.end(), room.begin() + of_text);
  return {room.data(), of_text + of_draft};
}

}  // namespace adaptive_spec
