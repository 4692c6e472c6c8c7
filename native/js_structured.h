// Grammars, tool prompts and answers as JavaScript sees them; names as in lib/binding.ts.
#pragma once

#include <memory>

#include "engine/answer_reader.h"
#include "engine/context.h"
#include "engine/tool_chat.h"
#include "napi_setup.h"

namespace adaptive_spec {

[[noreturn]] void throw_error(Napi::Env env, const EngineError& error);

// What `call` answers; an EngineError becomes a JavaScript error with code and hint.
template <class Call>
Napi::Value with_errors(Napi::Env env, Call&& call) {
  try {
    return call();
  } catch (const EngineError& error) {
    throw_error(env, error);
  }
}

GrammarSource grammar_source(Napi::Object o);
// A grammar that has been compiled for a request, and for that one only; null where the value is none.
std::shared_ptr<Grammar> compiled_grammar(Napi::Value value);
Napi::Value to_js(Napi::Env env, std::shared_ptr<Grammar> grammar);
Napi::Value to_js(Napi::Env env, const ToolPrompt& prompt);

// An answer while it is written.
class JsAnswerReader : public Napi::ObjectWrap<JsAnswerReader> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  explicit JsAnswerReader(const Napi::CallbackInfo& info);

 private:
  void add(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value end(const Napi::CallbackInfo& info);

  std::unique_ptr<AnswerReader> reader_;
};

}  // namespace adaptive_spec
