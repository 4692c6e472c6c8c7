// What a step tells the controller and the caller, and what a request leaves behind.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "draft/stop_rule.h"
#include "engine/session_shelf.h"
#include "verify/token_logprobs.h"

namespace adaptive_spec {

struct StepReport {
  int64_t question = 0;  // number of the question that this report asks; 0: it asks nothing
  int step = 0;          // 0 is the prompt's report
  int position = 0;      // tokens emitted so far
  int depth = 0;         // as planned
  int drafted = 0;
  int verified = 0;      // of them
  int accepted = 0;
  std::vector<int32_t> tokens;  // emitted in this step
  std::string text;             // released in this step: whole UTF-8 characters
  std::vector<TokenLogprobs> logprobs;  // of `tokens`, where the request wants them
  std::vector<int32_t> draft_tokens;
  std::vector<Signals> signals;  // one per draft token
  std::vector<int32_t> beside_tokens, beside_parents;  // verified beside the chain
  // A parent is a draft token, -1 for the last accepted one, or from `verified` on one of these.
  std::vector<float> beside_probabilities;             // that all of their paths are right
  int beside_accepted = 0;                             // of them, behind the accepted draft tokens
  double draft_ms = 0, verify_ms = 0, catch_up_ms = 0, other_ms = 0, wait_ms = 0;  // other includes wait
  int rows = 0;            // of the target's batch, this sequence's
  int context_length = 0;  // tokens in the target's cache after the step
  int drafter = -1;        // index, -1 where none drafted
  int drafter_lag = 0;     // accepted tokens that the drafter has not read yet
  bool late = false;       // the plan came too late and the one before was used
  bool asked = false;      // a plan is wanted after this step, whether or not this report asks for it
  int reused = 0;          // prompt tokens that were in the cache already; the prompt's report says it
  int running = 0, waiting = 0;
  bool last = false;  // the request is over

  // Whether it is told in a few numbers and its text: a step of plain decoding that asks for no plan.
  bool is_plain() const {
    return step > 0 && !asked && drafted == 0 && beside_tokens.empty() && tokens.size() <= 1 && logprobs.empty();
  }
};

// The code of a request that its target's logits ended (kernels/logits.h says by which).
inline constexpr char kBadLogits[] = "BAD_LOGITS";

enum class FinishReason { kStop, kLength, kAborted, kError };

struct RequestResult {
  FinishReason reason = FinishReason::kStop;
  std::string error_code, error_message, error_hint;  // with kError
  std::string stop_string;                            // the one that ended the text, if one did
  std::vector<int32_t> tokens;                        // all emitted ids
  int prompt_tokens = 0;
  int reused_tokens = 0;  // of the prompt, that a session's cells held
  int steps = 0, draft_tokens = 0, verified_tokens = 0, accepted_tokens = 0, late_plans = 0;
  int beside_tokens = 0, beside_accepted = 0;  // verified beside the chains of draft tokens, and right
  std::vector<int32_t> verified_per_position, accepted_per_position;  // index 0 is the first draft token
  double prompt_ms = 0;       // prefill of the target
  double first_token_ms = 0;  // from submission
  double decode_ms = 0;       // from the first step's start to the end
  double draft_ms = 0, verify_ms = 0, catch_up_ms = 0, other_ms = 0, wait_ms = 0;
  double queue_ms = 0;
  int overlapped_drafts = 0, wasted_drafts = 0;  // first tokens drafted while the plan was awaited; not wanted
  std::shared_ptr<SessionState> saved;  // with Request::saves; null where there was nothing to save, or no memory
  bool keep_steps = false;
  std::vector<int32_t> step_depth, step_drafted, step_accepted;  // with keep_steps
};

}  // namespace adaptive_spec
