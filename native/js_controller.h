// Hands one report to JavaScript and reads the plan that it answers with.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "engine/plan.h"
#include "engine/report.h"
#include "napi_setup.h"

namespace adaptive_spec {

// A step of plain decoding, and whose.
struct PlainStep {
  int64_t request = 0;
  const StepReport* report = nullptr;
};

// The typed arrays in which reports and plans cross, allocated by JavaScript and filled only inside a call.
// lib/binding.ts has the same layout.
class JsController {
 public:
  // `exchange`: {header: Float64Array(24), tokens: Int32Array(maxDepth + 1), draftTokens: Int32Array(maxDepth),
  // probabilities, margins, entropies, matches: Float32Array(maxDepth), origins: Uint8Array(maxDepth),
  // besideTokens, besideParents: Int32Array(maxDepth), besideProbabilities: Float32Array(maxDepth),
  // plan: Float64Array(26 + 65), plainSteps: Float64Array(n * 26)}.
  void set_exchange(Napi::Object exchange);
  // Calls `dispatch(kind, request, text)`. Nothing, where JavaScript gave no plan: it threw, or is being ended.
  std::optional<Plan> report(Napi::Env env, napi_value dispatch, int kind, int64_t request, const StepReport& report);
  // Calls `dispatch(kind, 0, texts)` once for each n steps, which stand in `plainSteps` one behind the other.
  void report_plain(Napi::Env env, napi_value dispatch, int kind, std::span<const PlainStep> steps);

 private:
  Napi::Reference<Napi::Float64Array> header_, plan_, plain_steps_;
  Napi::Reference<Napi::Int32Array> tokens_, draft_tokens_, beside_tokens_, beside_parents_;
  Napi::Reference<Napi::Float32Array> probabilities_, margins_, entropies_, matches_, beside_probabilities_;
  Napi::Reference<Napi::Uint8Array> origins_;
};

// Calls a JavaScript function and swallows what it throws; false when it threw or could not run. Raw, since the
// C++ wrapper ends the process for some thrown values.
bool call_quietly(napi_env env, napi_value function, size_t argc, const napi_value* argv, napi_value* result);

}  // namespace adaptive_spec
