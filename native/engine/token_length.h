// How many tokens a text must have at least, told from its bytes alone: what can't fit needs no tokenizing, which takes
// long for a long text.
#pragma once

#include <llama.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace adaptive_spec {

class TokenLength {
 public:
  // Reads every token's bytes. A vocabulary whose tokenizer may drop or merge characters has no such length.
  explicit TokenLength(const llama_model* model);

  // Fewest tokens that `text` can have; 0 where nothing can be said.
  int64_t fewest(std::string_view text) const;
  // Bytes of the longest token; 0 where nothing can be said.
  int longest() const { return longest_; }

 private:
  int longest_ = 0;
  std::array<bool, 256> has_token_{};  // bytes that no token stands for are left out of the text
};

}  // namespace adaptive_spec
