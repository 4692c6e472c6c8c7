// Puts our kernels into llama.cpp, unpatched: a ggml buffer type that repacks weights at load and computes their
// products, and the attention of contexts that ask for it.
#pragma once

#include <cstdint>

#include "kernels/attention.h"
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
// `has_branches`: the batch holds a token tree, whose rows don't see all cells between those that they see.
// `has_sequences`: the cache is shared by several sequences, and computes one batch while this lives.
class ComputeScope {
 public:
  explicit ComputeScope(const KernelSet* kernels, bool has_branches = false, bool has_sequences = false);
  ~ComputeScope();
  ComputeScope(const ComputeScope&) = delete;
  ComputeScope& operator=(const ComputeScope&) = delete;

 private:
  AttentionCall before_;
};

// Nodes of attention that this thread left to ggml while a ComputeScope asked for ours.
uint64_t attention_left_to_ggml();

}  // namespace adaptive_spec
