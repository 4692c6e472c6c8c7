// ggml's FLASH_ATTN_EXT over an f16 cache: each query's result is the same for any batch and number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_set.h"

struct ggml_compute_params;
struct ggml_tensor;

namespace adaptive_spec {

// Whether this node can be computed: f16 keys and values, head sizes that are multiples of 16, whole chunks of
// cells (llama.cpp pads to 256), float queries.
bool can_attend(const ggml_tensor* op);

// Bytes of shared scratch that attend() wants for this node.
size_t attend_scratch(const ggml_tensor* op, int threads);

// Who computes a graph's attention, and what kind of batch it is.
struct AttentionCall {
  const KernelSet* kernels = nullptr;  // null: ggml
  bool has_branches = false;           // rows with gaps in what they see are computed as if there were none
  bool has_sequences = false;          // between a sequence's cells lie others', which cost its rows nothing
  uint64_t batch = 0;                  // masks at one address are alike within it
};

// Called by every thread of the pool, as ggml calls its own operations. `call` has kernels.
void attend(const AttentionCall& call, const ggml_compute_params* params, ggml_tensor* op);

}  // namespace adaptive_spec
