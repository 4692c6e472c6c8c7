// Fills the exchange arrays, makes the call, reads the plan.
#include "js_controller.h"

#include <algorithm>
#include <array>
#include <functional>
#include <span>

namespace adaptive_spec {
namespace {

// Copies into a typed array as much as fits: a controller may have detached it, then nothing fits.
template <class Array, class Values, class Part = std::identity>
void fill(Napi::Reference<Array>& reference, const Values& values, Part part = {}) {
  Array array = reference.Value();
  const size_t n = std::min<size_t>(array.ElementLength(), values.size());
  if (n == 0 || !array.Data()) return;
  std::transform(values.begin(), values.begin() + n, array.Data(),
                 [&](const auto& value) { return std::invoke(part, value); });
}

// Places in the plan's array; the cost curve is the rest. lib/exchange.ts has the same.
enum PlanPlace {
  kDepth, kDrafter, kSteps, kVerify, kTrim, kTreeNodes, kBranches, kMinProbability, kMaxEntropy, kMinAcceptance, kMinSurvival,
  kKeep, kHasModel, kBias, kLogit, kMargin, kEntropy, kPlace, kMatch, kNgramBias, kNgramLogit,
  kTokensPerMs, kDraftMs, kStartMs, kRebuildMs, kAhead, kCurveLength, kCurveStart
};

// lib/control/driver.ts has checked the numbers; the clamps are for arrays that a controller has laid hands on.
Plan read_plan(Napi::Float64Array& array) {
  const std::span<const double> a(array.Data(), array.ElementLength());
  const auto whole = [&](PlanPlace place, double low, double high) {
    return static_cast<int>(a[place] >= low ? std::min(a[place], high) : low);
  };
  Plan plan{.depth = whole(kDepth, 0, 1e6),
            .drafter = whole(kDrafter, -1, 1e6),
            .steps = whole(kSteps, 1, 256),
            .verify = whole(kVerify, 0, 1e6),
            .trim = a[kTrim] != 0,
            .tree_nodes = whole(kTreeNodes, -1, 1e6),
            .branches = whole(kBranches, 0, 1e6)};
  StopRule& stop = plan.stop;
  stop.min_probability = a[kMinProbability];
  stop.max_entropy = a[kMaxEntropy];
  stop.min_acceptance = a[kMinAcceptance];
  stop.min_survival = a[kMinSurvival];
  stop.keep = a[kKeep] != 0;
  stop.acceptance = {.bias = a[kBias],
                     .logit = a[kLogit],
                     .margin = a[kMargin],
                     .entropy = a[kEntropy],
                     .place = a[kPlace],
                     .match = a[kMatch],
                     .ngram_bias = a[kNgramBias],
                     .ngram_logit = a[kNgramLogit],
                     .is_drafters_own = a[kHasModel] == 0};
  stop.curve = whole(kCurveLength, 0, StopRule::kCurve);
  stop.tokens_per_ms = stop.curve > 0 ? a[kTokensPerMs] : 0;
  stop.draft_ms = a[kDraftMs];
  stop.start_ms = a[kStartMs];
  stop.rebuild_ms = a[kRebuildMs];
  stop.ahead = a[kAhead];
  for (int i = 0; i < stop.curve; ++i) stop.verify_ms[i] = a[kCurveStart + i];
  return plan;
}

// lib/exchange.ts has the same order.
constexpr size_t kHeader = 25;
std::array<double, kHeader> header_of(const StepReport& r) {
  const auto number = [](auto value) { return static_cast<double>(value); };
  return {number(r.question != 0), number(r.step),    number(r.position),       number(r.depth),
          number(r.drafted),       number(r.accepted), number(r.tokens.size()), r.draft_ms,
          r.verify_ms,             r.catch_up_ms,      r.other_ms,              r.wait_ms,
          number(r.rows),          number(r.context_length), number(r.drafter), number(r.drafter_lag),
          number(r.late),          number(r.running),  number(r.waiting),       number(r.last),
          number(r.asked),         number(r.verified), number(r.beside_tokens.size()),
          number(r.beside_accepted), number(r.reused)};
}
// Of a plain step: its request, its header, its token.
constexpr size_t kPlainStep = 1 + kHeader + 1;

Napi::Object to_js(Napi::Env env, const TokenChance& chance) {
  Napi::Object o = Napi::Object::New(env);
  o["token"] = chance.id;
  o["logprob"] = chance.logprob;
  Napi::Uint8Array bytes = Napi::Uint8Array::New(env, chance.piece.size());
  std::copy(chance.piece.begin(), chance.piece.end(), bytes.Data());
  o["bytes"] = bytes;
  return o;
}

Napi::Array to_js(Napi::Env env, const std::vector<TokenLogprobs>& tokens) {
  Napi::Array array = Napi::Array::New(env, tokens.size());
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    Napi::Object o = to_js(env, tokens[i].token);
    Napi::Array top = Napi::Array::New(env, tokens[i].top.size());
    for (uint32_t j = 0; j < tokens[i].top.size(); ++j) top[j] = to_js(env, tokens[i].top[j]);
    o["top"] = top;
    array[i] = o;
  }
  return array;
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
  keep("plainSteps", plain_steps_);
  keep("tokens", tokens_);
  keep("draftTokens", draft_tokens_);
  keep("probabilities", probabilities_);
  keep("margins", margins_);
  keep("entropies", entropies_);
  keep("matches", matches_);
  keep("origins", origins_);
  keep("besideTokens", beside_tokens_);
  keep("besideParents", beside_parents_);
  keep("besideProbabilities", beside_probabilities_);
}

std::optional<Plan> JsController::report(Napi::Env env, napi_value dispatch, int kind, int64_t request,
                                         const StepReport& r) {
  fill(header_, header_of(r));
  fill(tokens_, r.tokens);
  fill(draft_tokens_, r.draft_tokens);
  fill(probabilities_, r.signals, &Signals::probability);
  fill(margins_, r.signals, &Signals::margin);
  fill(entropies_, r.signals, &Signals::entropy);
  fill(matches_, r.signals, &Signals::match);
  fill(origins_, r.signals, [](const Signals& s) { return static_cast<uint8_t>(s.origin); });
  fill(beside_tokens_, r.beside_tokens);
  fill(beside_parents_, r.beside_parents);
  fill(beside_probabilities_, r.beside_probabilities);

  napi_value arguments[4], result;
  if (napi_create_int32(env, kind, &arguments[0]) != napi_ok ||
      napi_create_int64(env, request, &arguments[1]) != napi_ok ||
      napi_create_string_utf8(env, r.text.data(), r.text.size(), &arguments[2]) != napi_ok)
    return std::nullopt;
  size_t count = 3;
  if (!r.logprobs.empty()) arguments[count++] = to_js(env, r.logprobs);
  if (!call_quietly(env, dispatch, count, arguments, &result)) return std::nullopt;
  bool answered = false;
  if (napi_get_value_bool(env, result, &answered) != napi_ok || !answered) return std::nullopt;
  Napi::Float64Array plan = plan_.Value();
  if (plan.ElementLength() < kCurveStart + StopRule::kCurve) return std::nullopt;
  return read_plan(plan);
}

void JsController::report_plain(Napi::Env env, napi_value dispatch, int kind, std::span<const PlainStep> steps) {
  // No controller ever sees this array, so that it is always whole.
  Napi::Float64Array array = plain_steps_.Value();
  const size_t most = array.ElementLength() / kPlainStep;
  while (!steps.empty()) {
    const Napi::HandleScope scope(env);
    const std::span<const PlainStep> now = steps.first(std::min(most, steps.size()));
    steps = steps.subspan(now.size());
    napi_value texts, text, arguments[3], ignored;
    if (napi_create_array_with_length(env, now.size(), &texts) != napi_ok) return;
    double* to = array.Data();
    for (uint32_t i = 0; i < now.size(); ++i) {
      const StepReport& r = *now[i].report;
      *to++ = static_cast<double>(now[i].request);
      to = std::ranges::copy(header_of(r), to).out;
      *to++ = r.tokens.empty() ? 0 : r.tokens[0];
      if (napi_create_string_utf8(env, r.text.data(), r.text.size(), &text) != napi_ok ||
          napi_set_element(env, texts, i, text) != napi_ok)
        return;
    }
    if (napi_create_int32(env, kind, &arguments[0]) != napi_ok || napi_create_int32(env, 0, &arguments[1]) != napi_ok)
      return;
    arguments[2] = texts;
    call_quietly(env, dispatch, 3, arguments, &ignored);
  }
}

}  // namespace adaptive_spec
