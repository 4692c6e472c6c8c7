// The threads that an engine's models compute on, shared with other engines (pool_share.h), and fewer of them while
// other processes are busy (load_watch.h).
#pragma once

#include <map>

#include "engine/context.h"
#include "engine/load_watch.h"

namespace adaptive_spec {

class Crew {
 public:
  explicit Crew(int threads);

  struct ggml_threadpool* pool() const { return pools_.at(threads_).get(); }
  int threads() const { return threads_; }
  // After a step. Answers true where pool() and threads() are others now, which the contexts must be told.
  bool observe(const ThreadUse& step);
  // Idle threads sleep, unless another engine computes on them; the next decode wakes them.
  void pause();

 private:
  LoadWatch watch_;
  int threads_;
  // By number of threads. A pool that was used stays: contexts point to it until their next decode.
  std::map<int, ThreadPoolHandle> pools_;
};

}  // namespace adaptive_spec
