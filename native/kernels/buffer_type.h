// Puts our kernels into llama.cpp, unpatched: a ggml buffer type that repacks weights at load and computes their
// products, and the attention of contexts that ask for it.
#pragma once

#include <cstdint>

#include "kernels/kernel_set.h"

namespace adaptive_spec {

// Registers the buffer type. Before the first model is loaded, since ggml keeps a copy of its list from then on.
void install_kernels();

// While it lives, models that this thread loads are repacked for these kernels; none (null) leaves them to ggml.
// Memory of repacked weights is locked where `lock` says so; packing runs on `threads`.
class LoadScope {
 public:
  LoadScope(const KernelSet* kernels, int threads, bool lock);
  ~LoadScope();
  LoadScope(const LoadScope&) = delete;
  LoadScope& operator=(const LoadScope&) = delete;
};

// While it lives, graphs that this thread computes use these kernels' attention; none (null) leaves it to ggml.
class ComputeScope {
 public:
  explicit ComputeScope(const KernelSet* kernels);
  ~ComputeScope();
  ComputeScope(const ComputeScope&) = delete;
  ComputeScope& operator=(const ComputeScope&) = delete;

 private:
  const KernelSet* before_;
};

// Nodes of attention that this thread left to ggml while a ComputeScope asked for ours.
uint64_t attention_left_to_ggml();

}  // namespace adaptive_spec
