// The text of an engine's finished requests, for later ones to draft from: longest match, bounded, the oldest goes first.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "draft/ngram_index.h"

namespace adaptive_spec {

// A ring of tokens. Chains lead from where 2, 4, 8 and 16 tokens stood to where the same ones stood before, so that the
// longest match takes a few steps to find and is then compared token by token. Time per token is constant; memory is 4
// bytes of text and up to 32 of chains.
class NgramStore {
 public:
  // Stands before each text.
  static constexpr int32_t kBoundary = -1;
  // Tokens of a match that are counted.
  static constexpr int kLongest = 64;

  // Memory is taken as it is first written to.
  explicit NgramStore(uint32_t max_tokens);

  // Takes in a finished text, prompt and output, but for a beginning that is there already.
  void enter(std::span<const int32_t> text);
  // What followed the end of `text` and `draft` where the most of it stood; nothing where not even two tokens did.
  std::optional<NgramIndex::Match> predict(std::span<const int32_t> text, std::span<const int32_t> draft) const;

  // All of it, the oldest first, with boundaries; and that into an empty store, which keeps the newest.
  std::vector<int32_t> tokens() const;
  void restore(std::span<const int32_t> tokens);
  bool has_news() const { return has_news_; }  // entered since it was made or restored

 private:
  static constexpr std::array kLengths = {2, 4, 8, 16};
  static constexpr int kCandidates = 8;  // that a look-up compares, the latest first
  static constexpr int kSteps = 64;      // that it goes along a chain, past other n-grams of the same hash

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  using Words = std::unique_ptr<uint32_t[], Free>;
  // Positions are kept by their lower half.
  struct Chains {
    Words last;      // by hash of an n-gram: behind where it stood last
    Words previous;  // by place in the ring: the one before, of the same hash
  };
  struct Candidate {
    uint64_t position = 0;  // of the token that followed
    int length = 0;         // tokens before it that match
  };
  using Candidates = std::array<Candidate, kCandidates>;

  static Words words(size_t count);
  int32_t at(uint64_t position) const { return static_cast<int32_t>(text_[position % capacity_]); }
  void append(int32_t token);
  int common(std::span<const int32_t> end, uint64_t position) const;
  // Where the n-gram of this hash at the end of `end` was followed by something. Answers how many.
  int find(size_t level, uint64_t hash, std::span<const int32_t> end, Candidates& found) const;
  // Tokens of the text's beginning that are there already.
  size_t known(std::span<const int32_t> text) const;

  const uint32_t capacity_;
  const uint32_t mask_;  // of the hashes
  uint64_t next_ = 1;    // position of the next token
  uint32_t size_ = 0;
  bool has_news_ = false;
  Words text_;
  std::array<Chains, kLengths.size()> chains_;
};

}  // namespace adaptive_spec
