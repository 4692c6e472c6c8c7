// Field by field; names as in lib/binding.ts.
#include "js_options.h"

namespace adaptive_spec {
namespace {

std::string text(Napi::Object o, const char* key) { return o.Get(key).As<Napi::String>().Utf8Value(); }
int integer(Napi::Object o, const char* key) { return o.Get(key).As<Napi::Number>().Int32Value(); }
double real(Napi::Object o, const char* key) { return o.Get(key).As<Napi::Number>().DoubleValue(); }
bool flag(Napi::Object o, const char* key) { return o.Get(key).As<Napi::Boolean>().Value(); }

Napi::Int32Array int32_array(Napi::Env env, const std::vector<int32_t>& values) {
  Napi::Int32Array array = Napi::Int32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

template <class T>
std::vector<T> values_of(Napi::Object o, const char* key) {
  const auto array = o.Get(key).As<Napi::TypedArrayOf<T>>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::shared_ptr<SessionState> session_state(Napi::Object o) {
  auto state = std::make_shared<SessionState>();
  state->tokens = values_of<int32_t>(o, "tokens");
  state->target = values_of<uint8_t>(o, "target");
  state->draft = values_of<uint8_t>(o, "draft");
  state->draft_tokens = integer(o, "draftTokens");
  return state;
}

// Without a copy: the memory goes when JavaScript lets go of it.
Napi::Uint8Array bytes_of(Napi::Env env, std::shared_ptr<SessionState> state, std::vector<uint8_t>& bytes) {
  const size_t size = bytes.size();
  auto owner = std::make_unique<std::shared_ptr<SessionState>>(std::move(state));
  auto buffer = size == 0 ? Napi::ArrayBuffer::New(env, 0)
                          : Napi::ArrayBuffer::New(env, bytes.data(), size,
                                                   [](Napi::Env, void*, std::shared_ptr<SessionState>* p) { delete p; },
                                                   owner.get());
  if (size > 0) owner.release();
  return Napi::Uint8Array::New(env, size, buffer, 0);
}

DryParams dry(Napi::Object o) {
  DryParams params{.multiplier = static_cast<float>(real(o, "multiplier")),
                   .base = static_cast<float>(real(o, "base")),
                   .allowed_length = integer(o, "allowedLength"),
                   .last_n = integer(o, "lastN")};
  const auto breakers = o.Get("breakers").As<Napi::Array>();
  for (uint32_t i = 0; i < breakers.Length(); ++i)
    params.breakers.push_back(breakers.Get(i).As<Napi::String>().Utf8Value());
  return params;
}

}  // namespace

EngineOptions engine_options(Napi::Object o) {
  EngineOptions options;
  options.model_path = text(o, "modelPath");
  options.draft_path = text(o, "draftPath");
  options.mtp = flag(o, "mtp");
  options.context_size = integer(o, "contextSize");
  options.parallel = integer(o, "parallel");
  options.max_depth = integer(o, "maxDepth");
  options.branches = integer(o, "branches");
  options.batch_size = integer(o, "batchSize");
  options.threads = integer(o, "threads");
  options.draft_threads = integer(o, "draftThreads");
  options.cores = integer(o, "cores");
  options.mmap = flag(o, "mmap");
  options.mlock = flag(o, "mlock");
  options.kv_type = text(o, "kvCacheType");
  options.flash_attention = integer(o, "flashAttention");
  options.kernels = text(o, "kernels");
  options.numa = text(o, "numa");
  options.plan_deadline_ms = real(o, "planDeadlineMs");
  options.store_tokens = o.Get("storeTokens").As<Napi::Number>().Uint32Value();
  options.store_path = text(o, "storePath");
  options.chat_template = text(o, "chatTemplate");
  return options;
}

Request request(Napi::Object o) {
  Request r;
  r.id = o.Get("id").As<Napi::Number>().Int64Value();
  const auto prompt = o.Get("prompt").As<Napi::Int32Array>();
  r.prompt.assign(prompt.Data(), prompt.Data() + prompt.ElementLength());
  r.max_tokens = integer(o, "maxTokens");
  const auto stops = o.Get("stop").As<Napi::Array>();
  for (uint32_t i = 0; i < stops.Length(); ++i) r.stops.push_back(stops.Get(i).As<Napi::String>().Utf8Value());
  const auto named = o.Get("named").As<Napi::Int32Array>();
  r.named.assign(named.Data(), named.Data() + named.ElementLength());
  r.ignore_eos = flag(o, "ignoreEos");
  r.keep_steps = flag(o, "keepSteps");
  r.logprobs = integer(o, "logprobs");
  r.session = o.Get("session").As<Napi::Number>().Int64Value();
  r.saves = flag(o, "saves");
  if (const Napi::Value state = o.Get("restored"); state.IsObject()) r.restored = session_state(state.As<Napi::Object>());
  r.shares = flag(o, "shares");
  r.asks = flag(o, "asks");
  r.plan.depth = integer(o, "depth");
  r.plan.drafter = integer(o, "drafter");
  r.plan.tree_nodes = integer(o, "treeNodes");
  r.sampling = {.temperature = static_cast<float>(real(o, "temperature")),
                .top_k = integer(o, "topK"),
                .top_p = static_cast<float>(real(o, "topP")),
                .min_p = static_cast<float>(real(o, "minP")),
                .repeat_penalty = static_cast<float>(real(o, "repeatPenalty")),
                .frequency_penalty = static_cast<float>(real(o, "frequencyPenalty")),
                .presence_penalty = static_cast<float>(real(o, "presencePenalty")),
                .penalty_last_n = integer(o, "penaltyLastN"),
                .dry = dry(o.Get("dry").As<Napi::Object>()),
                .seed = o.Get("seed").As<Napi::Number>().Uint32Value(),
                .rejection = flag(o, "rejection")};
  const auto biased = o.Get("biasedTokens").As<Napi::Int32Array>();
  const auto biases = o.Get("biases").As<Napi::Float32Array>();
  for (size_t i = 0; i < biased.ElementLength(); ++i) r.sampling.biases.push_back({biased[i], biases[i]});
  return r;
}

TurnOptions turn_options(Napi::Object o) {
  return {.answers = flag(o, "answers"), .continues = flag(o, "continues"), .thinks = flag(o, "thinks")};
}

Napi::Object to_js(Napi::Env env, const LoadedInfo& info) {
  Napi::Object o = Napi::Object::New(env);
  o["description"] = info.description;
  o["vocabSize"] = info.vocab_size;
  o["contextSize"] = info.context_size;
  o["trainedContext"] = info.trained_context;
  o["parameters"] = static_cast<double>(info.parameters);
  o["modelBytes"] = static_cast<double>(info.model_bytes);
  o["threads"] = info.threads;
  o["draftThreads"] = info.draft_threads;
  o["kernels"] = info.kernels;
  o["canRollBack"] = info.can_roll_back;
  o["reuses"] = info.reuses;
  o["saves"] = info.saves;
  o["branches"] = info.branches;
  o["hasChatTemplate"] = info.has_chat_template;
  o["loadMs"] = info.load_ms;
  Napi::Array drafters = Napi::Array::New(env);
  for (const std::string& name : info.drafters) drafters[drafters.Length()] = name;
  o["drafters"] = drafters;
  return o;
}

Napi::Object to_js(Napi::Env env, const RequestResult& r) {
  static constexpr const char* kReasons[] = {"stop", "length", "aborted", "error"};
  Napi::Object o = Napi::Object::New(env);
  o["reason"] = kReasons[static_cast<int>(r.reason)];
  o["errorCode"] = r.error_code;
  o["errorMessage"] = r.error_message;
  o["errorHint"] = r.error_hint;
  o["stopString"] = r.stop_string;
  o["tokens"] = int32_array(env, r.tokens);
  o["promptTokens"] = r.prompt_tokens;
  o["reusedTokens"] = r.reused_tokens;
  o["steps"] = r.steps;
  o["draftTokens"] = r.draft_tokens;
  o["verifiedTokens"] = r.verified_tokens;
  o["acceptedTokens"] = r.accepted_tokens;
  o["besideTokens"] = r.beside_tokens;
  o["besideAccepted"] = r.beside_accepted;
  o["latePlans"] = r.late_plans;
  o["overlappedDrafts"] = r.overlapped_drafts;
  o["wastedDrafts"] = r.wasted_drafts;
  o["verifiedPerPosition"] = int32_array(env, r.verified_per_position);
  o["acceptedPerPosition"] = int32_array(env, r.accepted_per_position);
  o["promptMs"] = r.prompt_ms;
  o["firstTokenMs"] = r.first_token_ms;
  o["decodeMs"] = r.decode_ms;
  o["draftMs"] = r.draft_ms;
  o["verifyMs"] = r.verify_ms;
  o["catchUpMs"] = r.catch_up_ms;
  o["otherMs"] = r.other_ms;
  o["waitMs"] = r.wait_ms;
  o["queueMs"] = r.queue_ms;
  if (r.saved) {
    Napi::Object saved = Napi::Object::New(env);
    saved["tokens"] = int32_array(env, r.saved->tokens);
    saved["target"] = bytes_of(env, r.saved, r.saved->target);
    saved["draftTokens"] = r.saved->draft_tokens;
    saved["draft"] = bytes_of(env, r.saved, r.saved->draft);
    o["saved"] = saved;
  }
  if (r.keep_steps) {
    o["stepDepth"] = int32_array(env, r.step_depth);
    o["stepDrafted"] = int32_array(env, r.step_drafted);
    o["stepAccepted"] = int32_array(env, r.step_accepted);
  }
  return o;
}

}  // namespace adaptive_spec
