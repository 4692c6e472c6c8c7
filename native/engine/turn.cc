// A queue of tickets in front of a count.
#include "engine/turn.h"

#include <algorithm>
#include <thread>

namespace adaptive_spec {

void Cores::take(int threads) {
  std::unique_lock lock(mutex_);
  const uint64_t ticket = ++last_ticket_;
  changed_.wait(lock, [&] { return served_ + 1 == ticket && taken_ + clamped(threads) <= count_; });
  ++served_;
  taken_ += clamped(threads);
  changed_.notify_all();  // there may be cores for the next one too
}

void Cores::give_back(int threads) {
  const std::lock_guard lock(mutex_);
  taken_ -= clamped(threads);
  changed_.notify_all();
}

bool Cores::is_wanted() {
  const std::lock_guard lock(mutex_);
  return served_ != last_ticket_;
}

Cores& Cores::of_process() {
  // Never destroyed: engines may end while the process does.
  static auto* cores = new Cores(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  return *cores;
}

}  // namespace adaptive_spec
