// Turns messages into a prompt with the model's own chat template.
#pragma once

#include <llama.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

struct common_chat_templates;

namespace adaptive_spec {

class ChatTemplate {
 public:
  // Throws EngineError MODEL_INVALID for a template that can't be parsed.
  explicit ChatTemplate(const llama_model* model);
  ~ChatTemplate();
  // Role and content of each message; the prompt ends where the assistant's answer begins. Throws EngineError
  // INVALID_ARGUMENT for messages that the template refuses. May run on any one thread.
  std::string apply(const std::vector<std::pair<std::string, std::string>>& messages) const;
  const common_chat_templates* get() const { return templates_.get(); }

 private:
  std::unique_ptr<common_chat_templates, void (*)(common_chat_templates*)> templates_;
};

}  // namespace adaptive_spec
