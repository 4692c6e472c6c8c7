// Turns messages into a prompt with the model's own chat template.
#pragma once

#include <llama.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

struct common_chat_templates;
struct common_chat_templates_inputs;

namespace adaptive_spec {

// How the end of a prompt looks.
struct TurnOptions {
  bool answers = true;     // it ends where the assistant's answer begins, not with the last message
  bool continues = false;  // the last message is an answer that has begun: the prompt ends within it
  bool thinks = true;      // for templates that know how to do without thinking first
};

class ChatTemplate {
 public:
  // The model's own, unless `source` is another. For one that can't be parsed throws EngineError MODEL_INVALID, or
  // INVALID_ARGUMENT for the source.
  explicit ChatTemplate(const llama_model* model, const std::string& source = "");
  ~ChatTemplate();
  // Role and content of each message. Throws EngineError INVALID_ARGUMENT for messages that the template refuses. May run
  // on any one thread.
  std::string apply(const std::vector<std::pair<std::string, std::string>>& messages,
                    const TurnOptions& turn = {}) const;
  const common_chat_templates* get() const { return templates_.get(); }

 private:
  std::unique_ptr<common_chat_templates, void (*)(common_chat_templates*)> templates_;
};

// For whatever else a template is applied to.
void set_turn(common_chat_templates_inputs& inputs, const TurnOptions& turn);

}  // namespace adaptive_spec
