// Numbered questions, answers, deadline.
#include "engine/plan_desk.h"

#include <algorithm>
#include <utility>
#include <chrono>

namespace adaptive_spec {

int64_t PlanDesk::ask(int slot, bool early) {
  const std::lock_guard lock(mutex_);
  interrupted_ = false;
  Slot& s = slots_[slot];
  if (s.question != 0) return 0;
  s.overdue = false;
  s.early = early;
  // A late answer that nobody has taken yet stays: it holds if this question has none in time.
  return s.question = ++last_question_;
}

bool PlanDesk::any_awaited() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const Slot& s) { return s.question != 0 && !s.overdue && !s.early; });
}

void PlanDesk::press(int slot) {
  const std::lock_guard lock(mutex_);
  interrupted_ = false;
  slots_[slot].early = false;
}

bool PlanDesk::waiting() {
  const std::lock_guard lock(mutex_);
  return any_awaited();
}

void PlanDesk::wait(double deadline_ms) {
  std::unique_lock lock(mutex_);
  const bool done = answered_.wait_for(lock, std::chrono::duration<double, std::milli>(deadline_ms),
                                       [this] { return interrupted_ || closed_ || !any_awaited(); });
  if (done) return;
  for (Slot& s : slots_) s.overdue = s.question != 0 && !s.early;
}

std::optional<Plan> PlanDesk::take(int slot) {
  const std::lock_guard lock(mutex_);
  return std::exchange(slots_[slot].plan, std::nullopt);
}

void PlanDesk::forget(int slot) {
  const std::lock_guard lock(mutex_);
  slots_[slot] = {};
}

void PlanDesk::answer(int slot, int64_t question, const Plan& plan) {
  // Signalled under the lock, so that the desk can't be gone between the two.
  const std::lock_guard lock(mutex_);
  Slot& s = slots_[slot];
  if (question == 0 || s.question != question) return;
  s.plan = plan;
  s.question = 0;
  // The engine thread is woken once for all answers: each time it would take the core that answers are thought of on.
  if (!any_awaited()) answered_.notify_all();
}

void PlanDesk::interrupt(bool for_good) {
  const std::lock_guard lock(mutex_);
  interrupted_ = true;
  closed_ |= for_good;
  answered_.notify_all();
}

}  // namespace adaptive_spec
