// What an answer with tools says and calls, read while it is written.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tool_chat.h"

namespace adaptive_spec {

struct ToolCall {
  std::string id, name, arguments;  // arguments: JSON
};

struct Answer {
  std::string content;  // what is said beside the calls
  std::vector<ToolCall> calls;
};

// More of an answer: of what it says, or of a call.
struct AnswerDelta {
  int call = -1;         // the call's place in the answer; -1: what is said
  bool begins = false;   // the call is told of for the first time: its id (may be '') and name are here
  std::string id, name;  // of a call that begins
  std::string text;      // said, or of the call's arguments
};

// Follows one answer. What it has told is never taken back: all that is told of an answer, one behind the other, is what
// `end` says of it.
class AnswerReader {
 public:
  // Throws EngineError NATIVE_FAILURE for a syntax that apply_tools didn't make.
  explicit AnswerReader(const AnswerSyntax& syntax);
  ~AnswerReader();

  void add(std::string_view text) { text_ += text; }
  // What can be told by now. Reads all of the text again, so not to be called for every token.
  std::vector<AnswerDelta> read();
  // No more comes. `is_whole`: the model has ended it. What has not been told yet is added to `rest`. An answer that
  // can't be read is all said.
  Answer end(bool is_whole, std::vector<AnswerDelta>& rest);

 private:
  // Reads the text as a whole, or as the beginning of an answer. Throws what libcommon throws.
  Answer parse(bool is_whole) const;
  // Tells what `answer` has more than was told. `is_over`: nothing comes behind it. False: it isn't what was told.
  bool tell(const Answer& answer, bool is_over, std::vector<AnswerDelta>& deltas);

  struct Parser;
  std::unique_ptr<Parser> parser_;
  std::string text_;
  Answer told_;
};

}  // namespace adaptive_spec
