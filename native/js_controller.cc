// Fills the exchange arrays, makes the call, reads the plan.
#include "js_controller.h"

#include <algorithm>

namespace adaptive_spec {
namespace {

// Copies into a typed array as much as fits: a controller may have detached it, then nothing fits.
template <class Array, class Values>
void fill(Napi::Reference<Array>& reference, const Values& values) {
  Array array = reference.Value();
  const size_t n = std::min<size_t>(array.ElementLength(), values.size());
  if (n > 0 && array.Data()) std::copy_n(values.begin(), n, array.Data());
}

}  // namespace

bool call_quietly(napi_env env, napi_value function, size_t argc, const napi_value* argv, napi_value* result) {
  napi_value global;
  if (napi_get_global(env, &global) != napi_ok) return false;
  const napi_status status = napi_call_function(env, global, function, argc, argv, result);
  if (status == napi_ok) return true;
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) {
    napi_value ignored;
    napi_get_and_clear_last_exception(env, &ignored);
  }
  return false;
}

void JsController::set_exchange(Napi::Object exchange) {
  const auto keep = [&](const char* name, auto& reference) {
    using Array = std::decay_t<decltype(reference.Value())>;
    reference = Napi::Persistent(exchange.Get(name).template As<Array>());
  };
  keep("header", header_);
  keep("plan", plan_);
  keep("tokens", tokens_);
  keep("probabilities", probabilities_);
  keep("margins", margins_);
  keep("entropies", entropies_);
}

std::optional<Plan> JsController::report(Napi::Env env, napi_value dispatch, int kind, int64_t request,
                                         const StepReport& r) {
  const auto number = [](auto value) { return static_cast<double>(value); };
  const std::initializer_list<double> header = {
      number(r.question != 0), number(r.step),    number(r.position),       number(r.depth),
      number(r.drafted),       number(r.accepted), number(r.tokens.size()), r.draft_ms,
      r.verify_ms,             r.catch_up_ms,      r.other_ms,              r.wait_ms,
      number(r.rows),          number(r.context_length), number(r.drafter), number(r.drafter_lag),
      number(r.late),          number(r.running),  number(r.waiting),       number(r.last)};
  fill(header_, header);
  fill(tokens_, r.tokens);
  fill(probabilities_, r.probabilities);
  fill(margins_, r.margins);
  fill(entropies_, r.entropies);

  napi_value arguments[3], result;
  if (napi_create_int32(env, kind, &arguments[0]) != napi_ok ||
      napi_create_int64(env, request, &arguments[1]) != napi_ok ||
      napi_create_string_utf8(env, r.text.data(), r.text.size(), &arguments[2]) != napi_ok)
    return std::nullopt;
  if (!call_quietly(env, dispatch, 3, arguments, &result)) return std::nullopt;
  bool answered = false;
  if (napi_get_value_bool(env, result, &answered) != napi_ok || !answered) return std::nullopt;
  Napi::Float64Array plan = plan_.Value();
  if (plan.ElementLength() < 3) return std::nullopt;
  return Plan{.depth = static_cast<int>(std::clamp(plan[0], 0.0, 1e6)),
              .min_probability = static_cast<float>(plan[1]),
              .drafter = 0};
}

}  // namespace adaptive_spec
