// Long texts are tokenized and put into templates on a thread of their own, so that JavaScript's goes on meanwhile.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace adaptive_spec {

// One engine's. Its thread begins with the first job. Of all engines one job runs at a time, so that however many texts
// wait, they take no more than one core from the threads that compute.
class TextDesk {
 public:
  using Job = std::function<void()>;

  TextDesk() = default;
  ~TextDesk() { close(); }
  TextDesk(const TextDesk&) = delete;
  TextDesk& operator=(const TextDesk&) = delete;

  // In order. Never run after close.
  void add(int64_t id, Job job);
  // False where it has begun, or is over.
  bool drop(int64_t id);
  // Drops the jobs that wait, and waits for the one that runs.
  void close();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<std::pair<int64_t, Job>> jobs_;
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace adaptive_spec
