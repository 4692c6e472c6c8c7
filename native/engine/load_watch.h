// How many threads to compute on while other processes want the cores too. Pure: numbers in, numbers out.
//
// ggml's threads meet at a barrier after every operation and spin until the last one is there. Where one of them has
// lost its core to another process for a few milliseconds, all wait for it, hundreds of times a step: two threads on
// two cores beside one busy process run at a tenth of their speed. One thread fewer leaves that process a core and
// loses no more than its share.
#pragma once

#include <algorithm>

namespace adaptive_spec {

class LoadWatch {
 public:
  explicit LoadWatch(int threads) : most_(threads), threads_(threads) {}

  // Told after each step of the time and of the involuntary context switches that this process has counted so far.
  // Answers how many threads to use from now on.
  int observe(double now_ms, long switches) {
    if (begin_ms_ < 0 || now_ms - last_ms_ > kGapMs) return restart(now_ms, switches);  // nothing ran in between
    last_ms_ = now_ms;
    if (now_ms - begin_ms_ < kWindowMs) return threads_;
    const bool disturbed = static_cast<double>(switches - begin_switches_) > kPerMs * (now_ms - begin_ms_);
    begin_ms_ = now_ms;
    begin_switches_ = switches;
    if (disturbed && threads_ > 1) {
      // A probe that failed makes the next one wait longer.
      if (threads_ == most_) hold_ms_ = std::min(probing_ ? 2 * hold_ms_ : kFirstHoldMs, kLongestHoldMs);
      threads_ = threads_ == most_ ? most_ - 1 : std::max(1, most_ - 2 * (most_ - threads_));
      until_ms_ = now_ms + hold_ms_;
      probing_ = false;
    } else if (threads_ < most_ && now_ms >= until_ms_) {
      threads_ = most_;
      probing_ = true;
    } else if (threads_ == most_ && !disturbed) {
      probing_ = false;
    }
    return threads_;
  }

 private:
  // Two windows of a quiet machine have a switch or none; a busy neighbour makes one every few milliseconds.
  static constexpr double kWindowMs = 40, kPerMs = 0.06, kGapMs = 200;
  static constexpr double kFirstHoldMs = 400, kLongestHoldMs = 6400;

  int restart(double now_ms, long switches) {
    begin_ms_ = last_ms_ = now_ms;
    begin_switches_ = switches;
    return threads_;
  }

  int most_, threads_;
  double begin_ms_ = -1, last_ms_ = 0, until_ms_ = 0, hold_ms_ = kFirstHoldMs;
  long begin_switches_ = 0;
  bool probing_ = false;
};

}  // namespace adaptive_spec
