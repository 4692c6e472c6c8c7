// Prompts that offer tools, by libcommon, and how their answers are to be read (engine/answer_reader.h).
#pragma once

#include <string>
#include <vector>

#include "engine/chat.h"
#include "verify/grammar.h"

namespace adaptive_spec {

// How an answer is to be read.
struct AnswerSyntax {
  int format = 0;
  std::string parser;  // libcommon's, in its own words
  std::string generation_prompt;
};

struct ToolPrompt {
  std::string prompt;
  bool knows_calls = false;        // the template has a way to put tool calls
  GrammarSource grammar;           // text '': of nothing
  std::vector<std::string> stops;  // that the template asks for
  std::vector<int32_t> named;      // control tokens whose names belong to the answer's text
  AnswerSyntax syntax;
};

// Messages and tools as JSON, in the form that OpenAI's chat completions have. `required`: the answer is a call;
// `parallel`: one answer may have several. Throws EngineError INVALID_ARGUMENT for what the template refuses.
ToolPrompt apply_tools(const ChatTemplate& chat, const llama_vocab* vocab, const std::string& messages,
                       const std::string& tools, bool required, bool parallel, const TurnOptions& turn = {});

// A JSON schema as a GBNF grammar. Throws EngineError SCHEMA_INVALID.
std::string schema_to_grammar(const std::string& schema);

}  // namespace adaptive_spec
