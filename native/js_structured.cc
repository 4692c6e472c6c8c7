// Field by field.
#include "js_structured.h"

#include <algorithm>

namespace adaptive_spec {
namespace {

using GrammarHandle = Napi::External<std::shared_ptr<Grammar>>;

std::string text(Napi::Object o, const char* key) { return o.Get(key).As<Napi::String>().Utf8Value(); }

std::vector<std::string> texts(Napi::Object o, const char* key) {
  const auto list = o.Get(key).As<Napi::Array>();
  std::vector<std::string> out;
  for (uint32_t i = 0; i < list.Length(); ++i) out.push_back(list.Get(i).As<Napi::String>().Utf8Value());
  return out;
}

Napi::Array to_array(Napi::Env env, const std::vector<std::string>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) array[i] = values[i];
  return array;
}

}  // namespace

void throw_error(Napi::Env env, const EngineError& error) {
  Napi::Error js = Napi::Error::New(env, error.what());
  js.Set("code", Napi::String::New(env, error.code));
  js.Set("hint", Napi::String::New(env, error.hint));
  throw js;
}

GrammarSource grammar_source(Napi::Object o) {
  return {.text = text(o, "text"),
          .words = texts(o, "words"),
          .patterns = texts(o, "patterns"),
          .prefill = text(o, "prefill")};
}

AnswerSyntax answer_syntax(Napi::Object o) {
  return {.format = o.Get("format").As<Napi::Number>().Int32Value(),
          .parser = text(o, "parser"),
          .generation_prompt = text(o, "generationPrompt")};
}

std::shared_ptr<Grammar> compiled_grammar(Napi::Value value) {
  return value.IsExternal() ? *value.As<GrammarHandle>().Data() : nullptr;
}

Napi::Value to_js(Napi::Env env, std::shared_ptr<Grammar> grammar) {
  auto handle = std::make_unique<std::shared_ptr<Grammar>>(std::move(grammar));
  return GrammarHandle::New(env, handle.release(), [](Napi::Env, std::shared_ptr<Grammar>* p) { delete p; });
}

Napi::Value to_js(Napi::Env env, const ToolPrompt& made) {
  Napi::Object grammar = Napi::Object::New(env);
  grammar["text"] = made.grammar.text;
  grammar["words"] = to_array(env, made.grammar.words);
  grammar["patterns"] = to_array(env, made.grammar.patterns);
  grammar["prefill"] = made.grammar.prefill;
  Napi::Object syntax = Napi::Object::New(env);
  syntax["format"] = made.syntax.format;
  syntax["parser"] = made.syntax.parser;
  syntax["generationPrompt"] = made.syntax.generation_prompt;
  Napi::Object o = Napi::Object::New(env);
  o["prompt"] = made.prompt;
  o["knowsCalls"] = made.knows_calls;
  o["grammar"] = grammar;
  o["stops"] = to_array(env, made.stops);
  Napi::Int32Array named = Napi::Int32Array::New(env, made.named.size());
  std::copy(made.named.begin(), made.named.end(), named.Data());
  o["named"] = named;
  o["syntax"] = syntax;
  return o;
}

Napi::Value to_js(Napi::Env env, const Answer& answer) {
  Napi::Array calls = Napi::Array::New(env, answer.calls.size());
  for (uint32_t i = 0; i < answer.calls.size(); ++i) {
    Napi::Object call = Napi::Object::New(env);
    call["id"] = answer.calls[i].id;
    call["name"] = answer.calls[i].name;
    call["arguments"] = answer.calls[i].arguments;
    calls[i] = call;
  }
  Napi::Object o = Napi::Object::New(env);
  o["content"] = answer.content;
  o["calls"] = calls;
  return o;
}

}  // namespace adaptive_spec
