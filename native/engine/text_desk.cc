// A queue and a thread.
#include "engine/text_desk.h"

#include <algorithm>
#include <chrono>

#include "engine/thread_name.h"

namespace adaptive_spec {
namespace {

// Held while a job runs. Never destroyed: engines may end while the process does.
std::timed_mutex& one_at_a_time() {
  static auto* mutex = new std::timed_mutex;
  return *mutex;
}

}  // namespace

void TextDesk::add(int64_t id, Job job) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  jobs_.emplace_back(id, std::move(job));
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  work_.notify_one();
}

bool TextDesk::drop(int64_t id) {
  const std::lock_guard lock(mutex_);
  return std::erase_if(jobs_, [id](const auto& job) { return job.first == id; }) > 0;
}

void TextDesk::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    jobs_.clear();
    work_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void TextDesk::run() {
  name_this_thread("adaptive-text");
  let_others_go_first();
  while (true) {
    std::unique_lock lock(mutex_);
    work_.wait(lock, [this] { return closed_ || !jobs_.empty(); });
    if (closed_) return;
    lock.unlock();
    // Another engine's text may take long, and a close shouldn't.
    std::unique_lock alone(one_at_a_time(), std::chrono::milliseconds(20));
    if (!alone) continue;
    lock.lock();
    if (jobs_.empty()) continue;  // dropped meanwhile
    const Job job = std::move(jobs_.front().second);
    jobs_.pop_front();
    lock.unlock();
    job();
  }
}

}  // namespace adaptive_spec
