// A vocabulary as grammars read it: every token's text in code points, in an order in which neighbours begin alike.
#pragma once

#include <llama.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace adaptive_spec {

// A character of which some bytes are still to come.
struct PartialUtf8 {
  uint32_t value = 0;
  int missing = 0;  // bytes
};

// Appends the characters that `bytes` complete and leaves what they begin in `partial`. False: that is no UTF-8.
bool decode_utf8(std::string_view bytes, PartialUtf8& partial, std::vector<uint32_t>& code_points);
void encode_utf8(uint32_t code_point, std::string& out);

// Made once for an engine and then only read, from any thread.
class GrammarVocabulary {
 public:
  explicit GrammarVocabulary(const llama_vocab* vocab);

  struct Token {
    std::string_view bytes;  // control tokens have their names here
    std::span<const uint32_t> points;  // and what follows: read from a character's border
    PartialUtf8 partial;
    bool is_text = false;  // UTF-8, and not empty
    bool is_eog = false;
  };
  Token token(int32_t id) const;
  int size() const { return static_cast<int>(entries_.size()); }
  const llama_vocab* vocab() const { return vocab_; }

  // Ids of tokens that are text and no end of generation, by their code points; the length of the beginning that each
  // shares with the one before it.
  const std::vector<int32_t>& order() const { return order_; }
  const std::vector<uint32_t>& shared() const { return shared_; }

  // Tokens whose texts make up exactly `text`, as the tokenizer would write it by itself. None where it can't.
  std::vector<int32_t> tokenize(const std::string& text) const;
  // The end of generation that an answer has. -1: none.
  int32_t end() const { return end_; }

 private:
  struct Entry {
    size_t first_byte, first_point;
    uint32_t bytes, points;
    PartialUtf8 partial;
    bool is_text, is_eog;
  };
  const llama_vocab* vocab_;
  std::vector<Entry> entries_;
  std::string bytes_;
  std::vector<uint32_t> points_;
  std::vector<int32_t> order_;
  std::vector<uint32_t> shared_;
  int32_t end_ = -1;
};

}  // namespace adaptive_spec
