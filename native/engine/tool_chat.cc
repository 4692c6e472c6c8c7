// libcommon's templates, parsers and schema converter, with their exceptions in our words.
#include "engine/tool_chat.h"

#include <chat.h>
#include <json-schema-to-grammar.h>

#include "engine/context.h"

namespace adaptive_spec {
namespace {

// Some of libcommon's messages hold the whole input.
std::string shortened(const std::exception& error) { return std::string(error.what()).substr(0, 400); }

void add_triggers(const std::vector<common_grammar_trigger>& triggers, GrammarSource& grammar) {
  for (const common_grammar_trigger& trigger : triggers) {
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN)
      grammar.patterns.push_back(trigger.value);
    else if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL)
      grammar.patterns.push_back("^(?:" + trigger.value + ")$");
    else if (!trigger.value.empty())
      grammar.words.push_back(trigger.value);
  }
}

}  // namespace

ToolPrompt apply_tools(const ChatTemplate& chat, const llama_vocab* vocab, const std::string& messages,
                       const std::string& tools, bool required, bool parallel, const TurnOptions& turn) {
  common_chat_templates_inputs inputs;
  set_turn(inputs, turn);
  common_chat_params params;
  try {
    inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(messages));
    inputs.tools = common_chat_tools_parse_oaicompat(common_json::parse(tools));
    inputs.tool_choice = required ? COMMON_CHAT_TOOL_CHOICE_REQUIRED : COMMON_CHAT_TOOL_CHOICE_AUTO;
    inputs.parallel_tool_calls = parallel;
    params = common_chat_templates_apply(chat.get(), inputs);
  } catch (const std::exception& error) {
    throw EngineError("INVALID_ARGUMENT", "The chat template refuses these messages or tools: " + shortened(error),
                      "Use the roles system, user, assistant and tool, in the order that the model expects.");
  }
  ToolPrompt made{.prompt = std::move(params.prompt), .stops = std::move(params.additional_stops)};
  made.knows_calls = common_chat_templates_get_caps(chat.get())["supports_tool_calls"];
  made.grammar.text = std::move(params.grammar);
  if (params.grammar_lazy)
    add_triggers(params.grammar_triggers, made.grammar);
  else
    made.grammar.prefill = params.generation_prompt;
  for (const std::string& name : params.preserved_tokens) {
    int32_t ids[2];
    if (llama_tokenize(vocab, name.data(), static_cast<int32_t>(name.size()), ids, 2, false, true) == 1)
      made.named.push_back(ids[0]);
  }
  made.syntax = {.format = params.format,
                 .parser = std::move(params.parser),
                 .generation_prompt = std::move(params.generation_prompt)};
  return made;
}

std::string schema_to_grammar(const std::string& schema) {
  try {
    return json_schema_to_grammar(common_json::parse(schema), true);
  } catch (const std::exception& error) {
    throw EngineError("SCHEMA_INVALID", "The JSON schema can't be used: " + shortened(error),
                      "Correct it, or leave out what llama.cpp's converter doesn't know (docs/structured-output.md).");
  }
}

}  // namespace adaptive_spec
