// The model's chat template, run by libcommon's Jinja.
#include "engine/chat.h"

#include <chat.h>
#include <log.h>

#include "engine/context.h"

namespace adaptive_spec {

ChatTemplate::ChatTemplate(const llama_model* model, const std::string& source)
    : templates_(nullptr, [](common_chat_templates* p) { common_chat_templates_free(p); }) {
  // libcommon's log would start a thread of its own.
  common_log_set_verbosity_thold(-1);
  try {
    templates_.reset(common_chat_templates_init(model, source).release());
  } catch (const std::exception& error) {
    if (!source.empty())
      throw EngineError("INVALID_ARGUMENT", std::string("The chat template can't be read: ") + error.what(),
                        "Give the text of a Jinja template, as llama.cpp takes it.");
    throw EngineError("MODEL_INVALID", std::string("The model's chat template can't be read: ") + error.what(),
                      "Pass `prompt` instead of `messages`, or a model with a valid template.");
  }
}

ChatTemplate::~ChatTemplate() = default;

void set_turn(common_chat_templates_inputs& inputs, const TurnOptions& turn) {
  inputs.add_generation_prompt = turn.answers && !turn.continues;
  inputs.continue_final_message = turn.continues ? COMMON_CHAT_CONTINUATION_CONTENT : COMMON_CHAT_CONTINUATION_NONE;
  inputs.enable_thinking = turn.thinks;
}

std::string ChatTemplate::apply(const std::vector<std::pair<std::string, std::string>>& messages,
                                const TurnOptions& turn) const {
  common_chat_templates_inputs inputs;
  set_turn(inputs, turn);
  for (const auto& [role, content] : messages) {
    common_chat_msg message;
    message.role = role;
    message.content = content;
    inputs.messages.push_back(std::move(message));
  }
  try {
    return common_chat_templates_apply(templates_.get(), inputs).prompt;
  } catch (const std::exception& error) {
    throw EngineError("INVALID_ARGUMENT", std::string("The chat template refuses these messages: ") + error.what(),
                      "Use the roles system, user and assistant, in the order that the model expects.");
  }
}

}  // namespace adaptive_spec
