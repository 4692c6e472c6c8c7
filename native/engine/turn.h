// Engines of one process take turns with the cores: threads that meet after every operation get nothing done where
// two engines' threads want the same core.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace adaptive_spec {

// So many threads may compute at once. First come, first served.
class Cores {
 public:
  explicit Cores(int count) : count_(count) {}

  // Waits until these threads have a core each, or, where they are more than there are, all cores.
  void take(int threads);
  void give_back(int threads);
  bool is_wanted();  // whether somebody waits

  // Those that this process may use.
  static Cores& of_process();

 private:
  int clamped(int threads) const { return threads < count_ ? threads : count_; }

  const int count_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t last_ticket_ = 0, served_ = 0;
  int taken_ = 0;
};

// One decode's turn.
class Turn {
 public:
  Turn(Cores& cores, int threads) : cores_(cores), threads_(threads) { cores_.take(threads_); }
  ~Turn() { cores_.give_back(threads_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Cores& cores_;
  const int threads_;
};

}  // namespace adaptive_spec
