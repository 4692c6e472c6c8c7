// Weights from ggml's layout, row after row, into ours: groups of 16 rows interleaved (kernel_set.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernels/kernel_set.h"

struct ggml_tensor;

namespace adaptive_spec {

// The format that rows of `columns` weights of a ggml_type are packed as; none where they aren't.
std::optional<Format> packed_format(int ggml_type, int64_t columns);

// A matrix of `columns` weights a row, a multiple of the format's block.
struct PackedShape {
  Format format;
  int64_t rows, columns;

  // Groups of 16 rows; the last one's missing rows are zeros.
  int64_t groups() const { return (rows + kGroupRows - 1) / kGroupRows; }
  int blocks() const { return static_cast<int>(columns / kBlockWeights); }
  size_t group_bytes() const;
  size_t bytes() const { return groups() * group_bytes(); }
};

// Of weights that have a packed format: of one matrix, where a tensor holds one for each expert.
PackedShape packed_shape(const ggml_tensor* weights);

// Packs groups [begin, end) of the matrix whose rows start at `rows`, in ggml's layout, into `out`, where the
// matrix's first group starts.
void pack(const PackedShape& shape, const void* rows, int64_t begin, int64_t end, uint8_t* out);

}  // namespace adaptive_spec
