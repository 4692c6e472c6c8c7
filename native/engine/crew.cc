// A pool of its own for each number of threads: the threads that a larger pool leaves out would spin all the same.
#include "engine/crew.h"

#include <ggml-cpu.h>

#include "engine/clock.h"
#include "engine/pool_share.h"
#include "engine/turn.h"

namespace adaptive_spec {

Crew::Crew(int threads) : watch_(threads), threads_(threads) { pools_.emplace(threads, share_thread_pool(threads)); }

bool Crew::observe(const ThreadUse& step) {
  const int threads = watch_.observe(step, cpu_ms());
  if (threads == threads_) return false;
  pause();
  threads_ = threads;
  if (!pools_.contains(threads)) pools_.emplace(threads, share_thread_pool(threads));
  return true;
}

void Crew::pause() {
  // Put to sleep under a graph that has begun, a pool would never end it.
  Cores::of_process().if_free(pool(), [this] { ggml_threadpool_pause(pool()); });
}

}  // namespace adaptive_spec
