// Engines of one process take turns with the cores and with the thread pools that they share: threads that meet after
// every operation get nothing done where two engines' threads want the same core.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <set>

struct ggml_threadpool;

namespace adaptive_spec {

// So many threads may compute at once, and one graph at a time on each pool. First come, first served.
class Cores {
 public:
  explicit Cores(int count) : count_(count) {}

  // Waits until nobody else computes on the pool and these threads have a core each, or, where they are more than there
  // are, all cores.
  void take(const ggml_threadpool* pool, int threads);
  void give_back(const ggml_threadpool* pool, int threads);
  // Whether somebody waits, the next one for another pool than this.
  bool is_wanted_elsewhere(const ggml_threadpool* pool);
  // Does something with a pool while nobody computes on it; nothing where somebody does.
  void if_free(const ggml_threadpool* pool, const std::function<void()>& deed);
  int count();
  // The process may use so many: fewer than there are, say, in a container.
  void set_count(int count);

  // Those that this process may use.
  static Cores& of_process();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_;
  uint64_t last_ticket_ = 0, served_ = 0;
  std::deque<const ggml_threadpool*> waiting_;  // what those who wait want, the next one first
  std::set<const ggml_threadpool*> computing_;
  int taken_ = 0;
};

// One decode's turn.
class Turn {
 public:
  Turn(Cores& cores, const ggml_threadpool* pool, int threads) : cores_(cores), pool_(pool), threads_(threads) {
    cores_.take(pool_, threads_);
  }
  ~Turn() { cores_.give_back(pool_, threads_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Cores& cores_;
  const ggml_threadpool* const pool_;
  const int threads_;
};

}  // namespace adaptive_spec
