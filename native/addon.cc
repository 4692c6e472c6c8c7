// What JavaScript can call.
#include "js_engine.h"
#include "js_structured.h"
#include "kernels/instruction_set.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  adaptive_spec::JsEngine::define(env, exports);
  adaptive_spec::JsAnswerReader::define(env, exports);
  exports["variant"] = ADAPTIVE_SPEC_VARIANT;  // native: tuned for the CPU it was built on; portable: x86-64-v3
  exports["llamaTree"] = ADAPTIVE_SPEC_LLAMA_TREE;
  exports["llamaVersion"] = llama_version();
  exports["systemInfo"] = Napi::Function::New(
      env, [](const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), llama_print_system_info()); });
  exports["availableKernels"] = Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
    Napi::Array names = Napi::Array::New(info.Env());
    for (const std::string& name : adaptive_spec::available_kernels()) names[names.Length()] = name;
    return names;
  });
  exports["schemaToGrammar"] = Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
    return adaptive_spec::with_errors(info.Env(), [&] {
      const std::string schema = info[0].As<Napi::String>().Utf8Value();
      return Napi::String::New(info.Env(), adaptive_spec::schema_to_grammar(schema));
    });
  });
  return exports;
}

}  // namespace

NODE_API_MODULE(adaptive_spec, init)
