// What followed the last tokens when they stood in this text before: prompt and output lookup.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace adaptive_spec {

// One sequence's text as a table from its n-grams to what came after them. Time and memory per token are constant.
class NgramIndex {
 public:
  struct Match {
    int32_t token = 0;
    // Probability that the token comes, from the length of the match and its counts.
    float score = 0;
    int length = 0;  // tokens that match
  };

  // Reads what is new of a text that only grows.
  void read(std::span<const int32_t> text);
  // What followed the longest n-gram at the end of the text read and `draft` after it; nothing where none is known. Of
  // n-grams that something else followed than the token `but`.
  std::optional<Match> predict(std::span<const int32_t> draft, int32_t but = -1) const;
  void clear();

 private:
  struct Entry {
    int32_t next = 0;
    uint32_t run = 0;   // times in a row that `next` followed, up to now
    uint32_t seen = 0;  // times that anything followed
  };

  std::vector<int32_t> text_;
  std::unordered_map<uint64_t, Entry> entries_;  // by hash; a wrong one costs a wrong guess, no more
};

}  // namespace adaptive_spec
