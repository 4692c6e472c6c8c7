// How many threads to compute on while other processes want the cores too. Pure: numbers in, numbers out.
//
// ggml's threads meet at a barrier after every operation and spin until the last one is there. Where one of them has
// lost its core to another process for a few milliseconds, all wait for it, hundreds of times a step: two threads on
// two cores beside one busy process run at a tenth of their speed. One thread fewer leaves that process a core and
// loses no more than its share.
#pragma once

#include <algorithm>

namespace adaptive_spec {

// What decoding took.
struct ThreadUse {
  double wall_ms = 0;
  double wanted_ms = 0;  // wall time times threads

  void operator+=(const ThreadUse& other) {
    wall_ms += other.wall_ms;
    wanted_ms += other.wanted_ms;
  }
};

class LoadWatch {
 public:
  explicit LoadWatch(int threads) : most_(threads), threads_(threads) {}

  // Told of each step, and of the process's CPU time so far. Threads that have a core compute or spin, so over a window
  // the process has used as much as the threads were wanted, or more: what is missing went to others. (A single decode
  // is too short: the system counts a running thread's time at its ticks.) Answers how many threads to use from now on.
  int observe(const ThreadUse& step, double cpu_ms) {
    window_ += step;
    if (window_.wall_ms < kWindowMs) return threads_;
    const bool disturbed = cpu_ms - cpu_before_ms_ < (1 - kLost) * window_.wanted_ms;
    // One window alone is a moment's: what it lost is less than a thread that is given up for the shortest hold. A probe
    // asks about who was there before.
    const bool lasts = disturbed && (was_disturbed_ || probing_);
    was_disturbed_ = disturbed;
    since_change_ms_ += window_.wall_ms;
    window_ = {};
    cpu_before_ms_ = cpu_ms;
    const int before = threads_;
    if (lasts && threads_ > 1) {
      // A probe that failed makes the next one wait longer.
      if (threads_ == most_) hold_ms_ = std::min(probing_ ? 2 * hold_ms_ : kFirstHoldMs, kLongestHoldMs);
      threads_ = threads_ == most_ ? most_ - 1 : std::max(1, most_ - 2 * (most_ - threads_));
      probing_ = false;
    } else if (threads_ < most_ && since_change_ms_ >= hold_ms_) {
      threads_ = most_;
      probing_ = true;
    } else if (!disturbed) {
      probing_ = false;
    }
    if (threads_ != before) {
      since_change_ms_ = 0;
      was_disturbed_ = false;
    }
    return threads_;
  }

 private:
  // All in milliseconds of decoding.
  static constexpr double kWindowMs = 40, kLost = 0.15, kFirstHoldMs = 80, kLongestHoldMs = 6400;

  int most_, threads_;
  ThreadUse window_;
  double cpu_before_ms_ = 0;
  double since_change_ms_ = 0, hold_ms_ = kFirstHoldMs;
  bool was_disturbed_ = false, probing_ = false;
};

}  // namespace adaptive_spec
