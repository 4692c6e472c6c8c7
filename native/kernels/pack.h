// Weights from ggml's layout, row after row, into ours: groups of 16 rows interleaved (kernel_set.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernels/kernel_set.h"

namespace adaptive_spec {

// The format that a ggml_type is packed as; none where it isn't.
std::optional<Format> packed_format(int ggml_type);

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

// Packs groups [begin, end) of the matrix whose rows start at `rows`, in ggml's layout, into `out`, where the
// matrix's first group starts.
void pack(const PackedShape& shape, const void* rows, int64_t begin, int64_t end, uint8_t* out);

}  // namespace adaptive_spec
