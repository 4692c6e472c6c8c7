// The threads that a context computes on: its turn with them, and what they were used.
#pragma once

#include <llama.h>

#include <functional>
#include <utility>

#include "engine/load_watch.h"

namespace adaptive_spec {

class ContextThreads {
 public:
  // The threads of a context that is new, and outlives this or is followed by another.
  void attach(llama_context* context, ggml_threadpool* pool, int threads);
  // Computes on these from now on; at most as many as the pool has. What was used before must live until the next
  // compute().
  void use(ggml_threadpool* pool, int threads);
  // Runs `task`, which has llama.cpp compute, when it is this engine's turn. It answers whether llama.cpp got as far as
  // the pool.
  void compute(const std::function<bool()>& task);
  // Of all tasks since the last call.
  ThreadUse take_use() { return std::exchange(use_, {}); }

 private:
  llama_context* context_ = nullptr;
  ggml_threadpool* pool_ = nullptr;
  ggml_threadpool* settled_on_ = nullptr;  // what llama.cpp's backend surely has, and no other
  int threads_ = 1;
  ThreadUse use_;
};

}  // namespace adaptive_spec
