// Block by block: ggml's block structs in, sixteen of them interleaved out.
#include "kernels/pack.h"

#include <ggml.h>

#include <algorithm>
#include <cstring>

#define GGML_COMMON_DECL_C
#include <ggml-common.h>

namespace adaptive_spec {
namespace {

// Position of weight k (of 32) of a row in the interleaved bytes: four neighbours of a row are a 32-bit lane.
size_t byte_at(int row, int k) { return static_cast<size_t>(k / 4) * 64 + 4 * row + k % 4; }

// Weight k's four low bits: of weights 0 to 15 in the low half of the byte at its place, of the others in the high.
void put_nibble(uint8_t* block, int row, int k, int value) {
  block[byte_at(row, k % 16)] |= static_cast<uint8_t>(value << (k < 16 ? 0 : 4));
}

// ggml keeps weight k beside weight k + 16 too, so its bytes only move.
void put_nibbles(uint8_t* block, int row, const uint8_t* qs) {
  for (int i = 0; i < 4; ++i) std::memcpy(block + 64 * i + 4 * row, qs + 4 * i, 4);
}

// Bits above the low four, `bits` wide, in planes of 64 bytes behind the nibbles.
void put_upper(uint8_t* planes, int row, int k, int value, int bits) {
  const int chunk = k / 4, per_plane = 8 / bits;
  planes[64 * (chunk / per_plane) + 4 * row + k % 4] |= static_cast<uint8_t>(value << (bits * (chunk % per_plane)));
}

void put_fifth_bits(uint8_t* plane, int row, const uint8_t* qh) {
  uint32_t bits;
  std::memcpy(&bits, qh, sizeof bits);
  for (int k = 0; k < kBlockWeights; ++k) put_upper(plane, row, k, bits >> k & 1, 1);
}

void put_half(uint8_t* at, int row, ggml_half value) { std::memcpy(at + 2 * row, &value, 2); }

// Scale j and minimum j of a super-block, six bits each.
void six_bits(int j, const uint8_t* scales, int& scale, int& minimum) {
  if (j < 4) {
    scale = scales[j] & 63;
    minimum = scales[j + 4] & 63;
  } else {
    scale = (scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4;
    minimum = scales[j + 4] >> 4 | (scales[j] >> 6) << 4;
  }
}

// pack_row writes one row's blocks into a group that was zeroed before.
template <class Block, class Put>
void each_block(const void* row, int64_t columns, int weights, const PackedLayout& layout, uint8_t* group, Put put) {
  const auto* block = static_cast<const Block*>(row);
  const size_t bytes = layout.head + static_cast<size_t>(layout.blocks) * layout.bytes;
  for (int64_t k = 0; k < columns; k += weights, ++block, group += bytes) put(*block, group);
}

void pack_row(Format format, const void* row, int64_t columns, int r, uint8_t* group) {
  const PackedLayout layout = kPackedLayouts[static_cast<int>(format)];
  switch (format) {
    case Format::kQ4_0:
      return each_block<block_q4_0>(row, columns, 32, layout, group, [r](const block_q4_0& b, uint8_t* out) {
        put_nibbles(out, r, b.qs);
        put_half(out + 256, r, b.d);
      });
    case Format::kIQ4_NL:
      return each_block<block_iq4_nl>(row, columns, 32, layout, group, [r](const block_iq4_nl& b, uint8_t* out) {
        put_nibbles(out, r, b.qs);
        put_half(out + 256, r, b.d);
      });
    case Format::kMXFP4:
      return each_block<block_mxfp4>(row, columns, 32, layout, group, [r](const block_mxfp4& b, uint8_t* out) {
        put_nibbles(out, r, b.qs);
        out[256 + r] = b.e;
      });
    case Format::kQ4_1:
      return each_block<block_q4_1>(row, columns, 32, layout, group, [r](const block_q4_1& b, uint8_t* out) {
        put_nibbles(out, r, b.qs);
        put_half(out + 256, r, b.d);
        put_half(out + 288, r, b.m);
      });
    case Format::kQ5_0:
      return each_block<block_q5_0>(row, columns, 32, layout, group, [r](const block_q5_0& b, uint8_t* out) {
        put_nibbles(out, r, b.qs);
        put_fifth_bits(out + 256, r, b.qh);
        put_half(out + 320, r, b.d);
      });
    case Format::kQ5_1:
      return each_block<block_q5_1>(row, columns, 32, layout, group, [r](const block_q5_1& b, uint8_t* out) {
        put_nibbles(out, r, b.qs);
        put_fifth_bits(out + 256, r, b.qh);
        put_half(out + 320, r, b.d);
        put_half(out + 352, r, b.m);
      });
    case Format::kQ8_0:
      return each_block<block_q8_0>(row, columns, 32, layout, group, [r](const block_q8_0& b, uint8_t* out) {
        for (int k = 0; k < kBlockWeights; ++k) out[byte_at(r, k)] = static_cast<uint8_t>(b.qs[k] + 128);
        put_half(out + 512, r, b.d);
      });
    case Format::kQ4_K:
      return each_block<block_q4_K>(row, columns, QK_K, layout, group, [&](const block_q4_K& b, uint8_t* out) {
        put_half(out, r, b.d);
        put_half(out + 32, r, b.dmin);
        out += layout.head;
        for (int i = 0; i < layout.blocks; ++i, out += layout.bytes) {
          const uint8_t* qs = b.qs + 32 * (i / 2);
          for (int k = 0; k < kBlockWeights; ++k) put_nibble(out, r, k, qs[k] >> (4 * (i % 2)) & 15);
          int scale, minimum;
          six_bits(i, b.scales, scale, minimum);
          out[256 + r] = static_cast<uint8_t>(scale);
          out[272 + r] = static_cast<uint8_t>(minimum);
        }
      });
    case Format::kQ5_K:
      return each_block<block_q5_K>(row, columns, QK_K, layout, group, [&](const block_q5_K& b, uint8_t* out) {
        put_half(out, r, b.d);
        put_half(out + 32, r, b.dmin);
        out += layout.head;
        for (int i = 0; i < layout.blocks; ++i, out += layout.bytes) {
          const uint8_t* qs = b.qs + 32 * (i / 2);
          for (int k = 0; k < kBlockWeights; ++k) {
            put_nibble(out, r, k, qs[k] >> (4 * (i % 2)) & 15);
            put_upper(out + 256, r, k, b.qh[k] >> i & 1, 1);
          }
          int scale, minimum;
          six_bits(i, b.scales, scale, minimum);
          out[320 + r] = static_cast<uint8_t>(scale);
          out[336 + r] = static_cast<uint8_t>(minimum);
        }
      });
    case Format::kQ6_K:
      return each_block<block_q6_K>(row, columns, QK_K, layout, group, [&](const block_q6_K& b, uint8_t* out) {
        put_half(out, r, b.d);
        out += layout.head;
        for (int i = 0; i < layout.blocks; ++i, out += layout.bytes) {
          // ggml keeps 128 weights in four quarters, which share bytes.
          const int quarter = i % 4;
          const uint8_t* low = b.ql + 64 * (i / 4) + 32 * (quarter % 2);
          const uint8_t* high = b.qh + 32 * (i / 4);
          for (int k = 0; k < kBlockWeights; ++k) {
            put_nibble(out, r, k, low[k] >> (4 * (quarter / 2)) & 15);
            put_upper(out + 256, r, k, high[k] >> (2 * quarter) & 3, 2);
          }
          out[384 + r] = static_cast<uint8_t>(b.scales[2 * i]);
          out[400 + r] = static_cast<uint8_t>(b.scales[2 * i + 1]);
        }
      });
    case Format::kF16: {
      const auto* x = static_cast<const ggml_half*>(row);
      for (int64_t k = 0; k < columns; ++k) std::memcpy(group + 32 * k + 2 * r, x + k, 2);
      return;
    }
    case Format::kBF16: {
      const auto* x = static_cast<const uint8_t*>(row);
      for (int64_t k = 0; k < columns; k += 2) std::memcpy(group + 32 * k + 4 * r, x + 2 * k, 4);
      return;
    }
  }
}

constexpr ggml_type kTypes[kFormats] = {GGML_TYPE_Q4_0,   GGML_TYPE_Q4_1,  GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
                                        GGML_TYPE_Q8_0,   GGML_TYPE_Q4_K,  GGML_TYPE_Q5_K, GGML_TYPE_Q6_K,
                                        GGML_TYPE_IQ4_NL, GGML_TYPE_MXFP4, GGML_TYPE_F16,  GGML_TYPE_BF16};

}  // namespace

std::optional<Format> packed_format(int type) {
  for (int i = 0; i < kFormats; ++i)
    if (kTypes[i] == type) return static_cast<Format>(i);
  return std::nullopt;
}

size_t PackedShape::group_bytes() const {
  const PackedLayout layout = kPackedLayouts[static_cast<int>(format)];
  return static_cast<size_t>(blocks() / layout.blocks) * (layout.head + layout.blocks * layout.bytes);
}

void pack(const PackedShape& shape, const void* rows, int64_t begin, int64_t end, uint8_t* out) {
  const size_t row_bytes = ggml_row_size(kTypes[static_cast<int>(shape.format)], shape.columns);
  for (int64_t g = begin; g < end; ++g) {
    uint8_t* group = out + g * shape.group_bytes();
    std::memset(group, 0, shape.group_bytes());
    const int valid = static_cast<int>(std::min<int64_t>(kGroupRows, shape.rows - g * kGroupRows));
    for (int r = 0; r < valid; ++r)
      pack_row(shape.format, static_cast<const uint8_t*>(rows) + (g * kGroupRows + r) * row_bytes, shape.columns, r,
               group);
  }
}

}  // namespace adaptive_spec
