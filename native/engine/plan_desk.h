// Where the engine thread asks for plans and waits for them, with a deadline; answers come from another thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/plan.h"

namespace adaptive_spec {

// Per sequence there is at most one open question. One that is not answered by its deadline is overdue: nothing
// waits for it any more and no other is asked until its answer comes, which then sets the next plan. Nothing waits for
// an early one either, until it is pressed.
class PlanDesk {
 public:
  explicit PlanDesk(int slots) : slots_(slots) {}

  // Engine thread. The number of a new question, or 0 while one is open.
  int64_t ask(int slot, bool early = false);
  // Its answer is wanted now.
  void press(int slot);
  // Whether an answer is being waited for.
  bool waiting();
  // Waits until no question is open or the deadline, counted from now, is over; then the open ones are overdue.
  void wait(double deadline_ms);
  std::optional<Plan> take(int slot);
  // A sequence ends: later answers to its question are ignored.
  void forget(int slot);

  // Any thread.
  void answer(int slot, int64_t question, const Plan& plan);
  // Ends the wait of now, and with `for_good` every later one.
  void interrupt(bool for_good);

 private:
  struct Slot {
    int64_t question = 0;  // open, or 0
    bool overdue = false, early = false;
    std::optional<Plan> plan;
  };
  bool any_awaited() const;

  std::mutex mutex_;
  std::condition_variable answered_;
  std::vector<Slot> slots_;
  int64_t last_question_ = 0;
  bool interrupted_ = false, closed_ = false;
};

}  // namespace adaptive_spec
