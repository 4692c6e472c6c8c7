// One speculation step: plan, draft, verify, accept, roll back. The file to read first is step.cc.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "draft/drafter.h"
#include "engine/context.h"
#include "engine/listener.h"
#include "engine/plan_desk.h"
#include "engine/sequence.h"

namespace adaptive_spec {

class Step {
 public:
  Step(Context& target, std::vector<std::unique_ptr<Drafter>>& drafters, PlanDesk& desk, Listener& listener,
       int max_depth, double deadline_ms)
      : target_(target),
        drafters_(drafters),
        desk_(desk),
        listener_(listener),
        max_depth_(max_depth),
        deadline_ms_(deadline_ms) {}

  // Runs one step for all `sequences`; each emits 1 to depth + 1 tokens. False when it was aborted or failed:
  // nothing was emitted and both caches are as before. `failure()` says which.
  bool run(std::span<Sequence*> sequences);
  // The prompt's report, which asks for the first plan.
  void begin(Sequence& sequence);
  void set_load(int running, int waiting) { running_ = running, waiting_ = waiting; }
  const std::string& failure() const { return failure_; }  // empty: aborted

 private:
  void start_drafts();
  void await_plans();
  // What the plan makes of a first token that was drafted before it was known.
  void judge_start(Sequence& sequence);
  void extend_drafts();
  // What of the drafts is verified.
  void grow_trees();
  // The rows of what is drafted, behind the last accepted token's.
  void add_rows(const Sequence& sequence, int position);
  bool verify();
  void accept();
  void roll_back();
  // `is_asking`: some sequence is due for a plan.
  void tell(Sequence& sequence, const AcceptedPath& accepted, bool is_asking);
  // Whether it is time to ask: the last plan holds for one step more at most, or was made for another load.
  // For a request alone, lib/control/held-plan.ts says the same.
  bool is_due(const Sequence& sequence) const;
  int depth_of(const Sequence& sequence) const;
  int drafter_of(const Sequence& sequence) const;
  // Draft tokens that are verified at most with those beside the chain; 0: a chain alone.
  int tree_nodes_of(const Sequence& sequence) const;
  // Whether the drafter is asked for guesses. Beside drawn tokens others are drawn: a guess would be what was not drawn,
  // and tell which token was.
  bool wants_guesses(const Sequence& sequence) const { return tree_nodes_of(sequence) > 0 && !sequence.draft.sampling; }
  // Grows the drafts in to_extend_, each by the drafter of its plan.
  void extend();

  Context& target_;
  std::vector<std::unique_ptr<Drafter>>& drafters_;
  PlanDesk& desk_;
  Listener& listener_;
  const int max_depth_;
  const double deadline_ms_;
  int running_ = 0, waiting_ = 0;

  std::span<Sequence*> sequences_;
  std::vector<Sequence*> to_extend_;
  std::vector<Draft*> drafts_;
  std::vector<int> first_row_, length_before_;  // by index in sequences_
  std::vector<AcceptedPath> accepted_;
  std::vector<uint32_t> branches_of_nodes_;
  std::vector<int> forks_;
  std::string failure_;
  double flushed_ms_ = 0;   // when the listener was last woken
  double crossing_ms_ = 0;  // what waking it took, for the step whose plan it brings
};

}  // namespace adaptive_spec
