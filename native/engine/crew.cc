// A pool of its own for each number of threads: the threads that a larger pool leaves out would spin all the same.
#include "engine/crew.h"

#include <ggml-cpu.h>
#ifndef _WIN32
#include <sys/resource.h>
#endif

#include "engine/clock.h"

namespace adaptive_spec {
namespace {

// Of all threads of this process: ours are the ones that run.
long involuntary_switches() {
#ifdef _WIN32
  return 0;
#else
  rusage usage{};
  return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_nivcsw : 0;
#endif
}

}  // namespace

Crew::Crew(int threads) : watch_(threads), threads_(threads) { pools_.emplace(threads, make_thread_pool(threads)); }

bool Crew::observe() {
  const int threads = watch_.observe(now_ms(), involuntary_switches());
  if (threads == threads_) return false;
  pause();
  threads_ = threads;
  if (!pools_.contains(threads)) pools_.emplace(threads, make_thread_pool(threads));
  return true;
}

void Crew::pause() { ggml_threadpool_pause(pool()); }

}  // namespace adaptive_spec
