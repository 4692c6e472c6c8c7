// A queue of tickets in front of a count.
#include "engine/turn.h"

#include <algorithm>
#include <thread>

namespace adaptive_spec {

void Cores::take(const ggml_threadpool* pool, int threads) {
  std::unique_lock lock(mutex_);
  const uint64_t ticket = ++last_ticket_;
  waiting_.push_back(pool);
  // Who wants more cores than there are waits for all of them.
  changed_.wait(lock, [&] {
    return served_ + 1 == ticket && !computing_.contains(pool) && (taken_ == 0 || taken_ + threads <= count_);
  });
  ++served_;
  waiting_.pop_front();
  computing_.insert(pool);
  taken_ += threads;
  changed_.notify_all();  // there may be cores for the next one too
}

void Cores::give_back(const ggml_threadpool* pool, int threads) {
  const std::lock_guard lock(mutex_);
  computing_.erase(pool);
  taken_ -= threads;
  changed_.notify_all();
}

bool Cores::is_wanted_elsewhere(const ggml_threadpool* pool) {
  const std::lock_guard lock(mutex_);
  return !waiting_.empty() && waiting_.front() != pool;
}

void Cores::if_free(const ggml_threadpool* pool, const std::function<void()>& deed) {
  const std::lock_guard lock(mutex_);
  if (!computing_.contains(pool)) deed();
}

int Cores::count() {
  const std::lock_guard lock(mutex_);
  return count_;
}

void Cores::set_count(int count) {
  const std::lock_guard lock(mutex_);
  count_ = std::max(1, count);
  changed_.notify_all();
}

Cores& Cores::of_process() {
  // Never destroyed: engines may end while the process does.
  static auto* cores = new Cores(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  return *cores;
}

}  // namespace adaptive_spec
