// ggml's MUL_MAT and MUL_MAT_ID over packed weights, inside its graph and thread pool.
#pragma once

#include <cstddef>

#include "kernels/kernel_set.h"

struct ggml_compute_params;
struct ggml_tensor;

namespace adaptive_spec {

// Whether the product can be computed: packed format, two dimensions of weights (three for MUL_MAT_ID), rows that
// fill blocks, activations in float.
bool can_multiply(const ggml_tensor* op);

// Bytes of shared scratch that multiply() wants for this node.
size_t multiply_scratch(const KernelSet& kernels, const ggml_tensor* op);

// Called by every thread of the pool, as ggml calls its own operations.
void multiply(const KernelSet& kernels, const ggml_compute_params* params, ggml_tensor* op);

// Called by every thread for any other node: activations that this thread keeps in packed form may change now.
void forget_activations();

}  // namespace adaptive_spec
