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

Napi::Value to_js(Napi::Env env, const std::vector<AnswerDelta>& deltas) {
  Napi::Array array = Napi::Array::New(env, deltas.size());
  for (uint32_t i = 0; i < deltas.size(); ++i) {
    Napi::Object delta = Napi::Object::New(env);
    if (deltas[i].call >= 0) delta["call"] = deltas[i].call;
    if (deltas[i].begins) {
      delta["id"] = deltas[i].id;
      delta["name"] = deltas[i].name;
    }
    delta["text"] = deltas[i].text;
    array[i] = delta;
  }
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

void JsAnswerReader::define(Napi::Env env, Napi::Object exports) {
  exports["AnswerReader"] = DefineClass(env, "AnswerReader",
                                        {InstanceMethod<&JsAnswerReader::add>("add"),
                                         InstanceMethod<&JsAnswerReader::read>("read"),
                                         InstanceMethod<&JsAnswerReader::end>("end")});
}

JsAnswerReader::JsAnswerReader(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const auto o = info[0].As<Napi::Object>();
  const AnswerSyntax syntax{.format = o.Get("format").As<Napi::Number>().Int32Value(),
                            .parser = text(o, "parser"),
                            .generation_prompt = text(o, "generationPrompt")};
  with_errors(info.Env(), [&] {
    reader_ = std::make_unique<AnswerReader>(syntax);
    return info.Env().Undefined();
  });
}

void JsAnswerReader::add(const Napi::CallbackInfo& info) { reader_->add(info[0].As<Napi::String>().Utf8Value()); }

Napi::Value JsAnswerReader::read(const Napi::CallbackInfo& info) { return to_js(info.Env(), reader_->read()); }

Napi::Value JsAnswerReader::end(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<AnswerDelta> rest;
  const Answer answer = reader_->end(info[0].As<Napi::Boolean>(), rest);
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
  o["rest"] = to_js(env, rest);
  return o;
}

}  // namespace adaptive_spec
