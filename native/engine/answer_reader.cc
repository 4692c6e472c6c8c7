// libcommon's parser reads the beginning of an answer as well; what may still change there is held back.
#include "engine/answer_reader.h"

#include <chat.h>

#include <utility>

#include "engine/context.h"

namespace adaptive_spec {
namespace {

std::string_view without_space_behind(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

}  // namespace

struct AnswerReader::Parser {
  common_chat_parser_params params;
  bool has_ids = false;  // the format may give calls ids, in front of the arguments or behind them
};

AnswerReader::AnswerReader(const AnswerSyntax& syntax) : parser_(std::make_unique<Parser>()) {
  common_chat_parser_params& params = parser_->params;
  params.format = static_cast<common_chat_format>(syntax.format);
  params.generation_prompt = syntax.generation_prompt;
  try {
    if (!syntax.parser.empty()) params.parser.load(syntax.parser);
  } catch (const std::exception& error) {
    throw EngineError("NATIVE_FAILURE", std::string("The answers' syntax can't be read: ") + error.what(),
                      "Run `adaptive-spec doctor`; the engine stays usable.");
  }
  parser_->has_ids = syntax.parser.find("\"tool-id\"") != std::string::npos;
}

AnswerReader::~AnswerReader() = default;

Answer AnswerReader::parse(bool is_whole) const {
  const common_chat_msg message = common_chat_parse(text_, !is_whole, parser_->params);
  Answer answer{.content = message.content};
  for (const common_chat_tool_call& call : message.tool_calls)
    answer.calls.push_back({call.id, call.name, call.arguments});
  return answer;
}

std::vector<AnswerDelta> AnswerReader::read() {
  std::vector<AnswerDelta> deltas;
  try {
    tell(parse(false), false, deltas);
  } catch (const std::exception&) {
    // What was told stands; the end will say what it is.
  }
  return deltas;
}

Answer AnswerReader::end(bool is_whole, std::vector<AnswerDelta>& rest) {
  Answer answer{.content = text_};
  try {
    answer = parse(is_whole);
  } catch (const std::exception&) {
    // The model has mixed words and calls in a way that the parser doesn't know.
  }
  // Of a call that is cut the name may be cut as well, until there are arguments.
  if (!is_whole && !answer.calls.empty() && answer.calls.back().arguments.size() < 2) answer.calls.pop_back();
  tell(answer, true, rest);
  return told_;
}

bool AnswerReader::tell(const Answer& answer, bool is_over, std::vector<AnswerDelta>& deltas) {
  const auto& calls = answer.calls;
  // White space at the end may be what stands before a call.
  const bool is_said = is_over || !calls.empty();
  const std::string_view said = is_said ? std::string_view(answer.content) : without_space_behind(answer.content);
  if (!said.starts_with(told_.content) || calls.size() < told_.calls.size()) return false;
  for (size_t i = 0; i < told_.calls.size(); ++i)
    if (calls[i].name != told_.calls[i].name || !calls[i].arguments.starts_with(told_.calls[i].arguments)) return false;

  if (said.size() > told_.content.size()) {
    deltas.push_back({.text = std::string(said.substr(told_.content.size()))});
    told_.content = said;
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    const ToolCall& call = calls[i];
    const bool is_done = is_over || i + 1 < calls.size();
    AnswerDelta delta{.call = static_cast<int>(i)};
    if (i == told_.calls.size()) {
      // A name that has nothing behind it may be the beginning of a longer one.
      if (!is_done && (call.arguments.size() < 2 || (parser_->has_ids && call.id.empty()))) break;
      delta.begins = true;
      delta.id = call.id;
      delta.name = call.name;
      told_.calls.push_back({call.id, call.name, ""});
    }
    const std::string_view arguments = is_done ? std::string_view(call.arguments) : without_space_behind(call.arguments);
    std::string& told = told_.calls[i].arguments;
    if (arguments.size() > told.size()) {
      delta.text = arguments.substr(told.size());
      told += delta.text;
    }
    if (delta.begins || !delta.text.empty()) deltas.push_back(std::move(delta));
  }
  return true;
}

}  // namespace adaptive_spec
