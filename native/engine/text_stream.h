// Turns pieces of tokens into text that may be shown: whole UTF-8 characters, nothing of a stop string.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace adaptive_spec {

class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  // Adds a token's bytes. True once a stop string is complete: the text ends before it.
  bool add(std::string_view piece);
  // What can be shown by now. Bytes that may yet become a stop string or a character are held back.
  std::string take();
  // What is left when no more comes.
  std::string take_rest();
  const std::string& stopped_by() const { return stopped_by_; }

 private:
  size_t releasable() const;
  std::vector<std::string> stops_;
  std::string pending_, stopped_by_;
  bool stopped_ = false;
};

}  // namespace adaptive_spec
