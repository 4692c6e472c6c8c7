// Takes the cores, has it computed, gives them back.
#include "engine/context_threads.h"

#include <ggml-cpu.h>

#include <algorithm>

#include "engine/clock.h"
#include "engine/turn.h"

namespace adaptive_spec {

void ContextThreads::attach(llama_context* context, ggml_threadpool* pool, int threads) {
  context_ = context;
  settled_on_ = nullptr;
  use(pool, threads);
}

void ContextThreads::use(ggml_threadpool* pool, int threads) {
  llama_attach_threadpool(context_, pool, pool);
  llama_set_n_threads(context_, threads, threads);
  pool_ = pool;
  threads_ = threads;
}

void ContextThreads::compute(const std::function<bool()>& task) {
  Cores& cores = Cores::of_process();
  // A backend that changes pools puts the one that it had to sleep, which mustn't happen while others compute on it.
  const Turn turn(cores, pool_, settled_on_ == pool_ ? threads_ : std::max(threads_, cores.count()));
  const double start = now_ms();
  const bool reached = task();
  const double wall = now_ms() - start;
  use_ += {wall, wall * threads_};
  if (reached) settled_on_ = pool_;
  if (cores.is_wanted_elsewhere(pool_)) ggml_threadpool_pause(pool_);  // idle threads would spin on another's cores
}

}  // namespace adaptive_spec
