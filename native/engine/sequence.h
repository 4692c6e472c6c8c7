// One request while it runs: its tokens, sampler, text, draft, plan and counters.
#pragma once

#include <string>
#include <vector>

#include "draft/drafter.h"
#include "engine/context.h"
#include "engine/draft_walk.h"
#include "engine/plan.h"
#include "engine/report.h"
#include "engine/session_shelf.h"
#include "engine/text_stream.h"
#include "verify/accept.h"
#include "verify/sampler.h"

namespace adaptive_spec {

// What is asked of the engine. Everything was validated by the caller.
struct Request {
  int64_t id = 0;
  std::vector<int32_t> prompt;
  int max_tokens = 0;
  std::vector<std::string> stops;
  SamplingParams sampling;
  std::shared_ptr<Grammar> grammar;  // this request's own; null: none
  std::vector<int32_t> named;        // control tokens whose names belong to the text
  bool ignore_eos = false;
  bool keep_steps = false;
  bool shares = false;  // its text goes into the engine's store, and it may draft from there
  bool asks = false;  // a controller is asked at every step; without one `plan` holds throughout
  Plan plan;
  int logprobs = -1;    // of so many likely tokens beside each emitted one; -1: of none, nor of that
  int64_t session = 0;  // whose cells it goes on from, and leaves in its slot at its end; 0: none
  std::shared_ptr<const SessionState> restored;  // what the session begins from; null: what it left in a slot
  bool saves = false;                            // the result is to have the session's state
  double submitted_ms = 0;
};

class Sequence {
 public:
  Sequence(Request request, int slot, const llama_vocab* vocab, const std::vector<int32_t>& eog, int context_size);

  // The token that the target's row after node `row` - 1 of the tree gives; -1 where the row is bad.
  int32_t pick(float* logits, size_t row);
  // To be called before a row's token is chosen.
  void look(const float* logits);
  // Appends a token that the target chose. False when the sequence is over; `finish` then says why.
  bool emit(int32_t token, const float* logits);
  // Prompt tokens to be read before the first step, which reads the last one with its draft.
  int unread() const { return static_cast<int>(request.prompt.size()) - 1 - prefilled; }
  // Tokens that a draft may have at most now: limits of length, and of the context.
  int room() const;
  // Fills the next report from this step's draft and resets the step's counters.
  StepReport report(const AcceptedPath& accepted);
  // Ends the sequence with an error.
  void fail(const EngineError& error);
  // The result, when the sequence is over.
  RequestResult finish();

  Request request;
  const int slot;
  std::vector<int32_t> tokens;  // prompt and emitted; the last one is not in the target's cache
  int prefilled = 0;            // prompt tokens in the target's cache
  Sampler sampler;
  TextStream text;
  Draft draft;
  Plan plan;          // for the step in progress
  std::optional<DraftWalk> walk;  // through the grammar, where there is one
  int drafter = -1;   // that drafted in this step
  int verified = 0;   // draft tokens in this step's batch
  TokenTree tree;     // they, and what hangs beside them
  std::vector<Proposal> proposals;  // of one of its rows
  int cached = 0;     // positions in the target's cache; what is behind them, but the last token, is read again
  int rows = 0;         // in this step's batch
  int rows_before = 0;  // rows of the step before, 0 before the first
  bool awaits = false;  // a plan was asked for, or is still to come
  bool asked_early = false;  // for a plan that takes over after the step in progress
  int held = 0;         // steps that the plan holds for after this one
  int planned_for = 0;  // sequences that ran when the plan was asked for
  bool late = false;  // the plan was not there in time
  bool over = false;
  int step = 0;
  double verify_ms = 0, wait_ms = 0;
  double mark_ms = 0;  // when the last report was made
  std::vector<int32_t> emitted;  // in this step
  std::vector<TokenLogprobs> logprobs;  // of these
  RequestResult result;

 private:
  const llama_vocab* vocab_;
  const std::vector<int32_t>& eog_;
  const int context_size_;
  std::optional<LogprobReader> reader_;
};

}  // namespace adaptive_spec
