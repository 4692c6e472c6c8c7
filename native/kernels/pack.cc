// Block by block: ggml's block structs in, sixteen of them interleaved out.
#include "kernels/pack.h"

#include <ggml.h>

#include <algorithm>
#include <cstring>

#define GGML_COMMON_DECL_C
#include <ggml-common.h>

namespace adaptive_spec {
namespace {

// Four neighbouring weights of a row are a 32-bit lane: chunk i of a block holds weights 4 i to 4 i + 3 of each row.
// Most of packing is done on such words, four weights at a time.
uint32_t word(const void* from) {
  uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void put_word(uint8_t* chunks, int chunk, int row, uint32_t value) {
  std::memcpy(chunks + 64 * chunk + 4 * row, &value, sizeof value);
}

// Low four bits: chunk i shares its bytes with chunk i + 4, the first in the low halves. ggml keeps weight k beside
// weight k + 16 too, so its bytes only move.
void put_nibbles(uint8_t* block, int row, const uint8_t* qs) {
  for (int i = 0; i < 4; ++i) put_word(block, i, row, word(qs + 4 * i));
}

// The same where ggml keeps 32 weights in the low (shift 0) or the high (shift 4) halves of 32 bytes.
void put_nibbles_of_halves(uint8_t* block, int row, const uint8_t* qs, int shift) {
  const auto four = [&](int k) { return word(qs + k) >> shift & 0x0F0F0F0Fu; };
  for (int i = 0; i < 4; ++i) put_word(block, i, row, four(4 * i) | four(16 + 4 * i) << 4);
}

// Fifth bits, which ggml keeps as bit k of a word: bit i of each byte of one more chunk belongs to chunk i.
void put_fifth_bits(uint8_t* plane, int row, const uint8_t* qh) {
  const uint32_t bits = word(qh);
  uint32_t all = 0;
  // The multiplication spreads four bits over four bytes.
  for (int i = 0; i < 8; ++i) all |= ((bits >> (4 * i) & 15) * 0x00204081u & 0x01010101u) << i;
  put_word(plane, 0, row, all);
}

// The same where ggml keeps them as bit `bit` of 32 bytes.
void put_fifth_bits_of_bytes(uint8_t* plane, int row, const uint8_t* qh, int bit) {
  uint32_t all = 0;
  for (int i = 0; i < 8; ++i) all |= (word(qh + 4 * i) >> bit & 0x01010101u) << i;
  put_word(plane, 0, row, all);
}

// Fifth and sixth bits, bits `shift` and `shift` + 1 of 32 bytes: of four chunks in one more chunk, of four in another.
void put_upper_two_bits(uint8_t* planes, int row, const uint8_t* qh, int shift) {
  for (int plane = 0; plane < 2; ++plane) {
    uint32_t all = 0;
    for (int i = 0; i < 4; ++i) all |= (word(qh + 16 * plane + 4 * i) >> shift & 0x03030303u) << (2 * i);
    put_word(planes, plane, row, all);
  }
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

// Hands out one row's blocks and where they go in their group.
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
        for (int i = 0; i < 8; ++i) put_word(out, i, r, word(b.qs + 4 * i) ^ 0x80808080u);  // + 128
        put_half(out + 512, r, b.d);
      });
    case Format::kQ4_K:
      return each_block<block_q4_K>(row, columns, QK_K, layout, group, [&](const block_q4_K& b, uint8_t* out) {
        put_half(out, r, b.d);
        put_half(out + 32, r, b.dmin);
        out += layout.head;
        for (int i = 0; i < layout.blocks; ++i, out += layout.bytes) {
          put_nibbles_of_halves(out, r, b.qs + 32 * (i / 2), 4 * (i % 2));
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
          put_nibbles_of_halves(out, r, b.qs + 32 * (i / 2), 4 * (i % 2));
          put_fifth_bits_of_bytes(out + 256, r, b.qh, i);
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
          put_nibbles_of_halves(out, r, b.ql + 64 * (i / 4) + 32 * (quarter % 2), 4 * (quarter / 2));
          put_upper_two_bits(out + 256, r, b.qh + 32 * (i / 4), 2 * quarter);
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

std::optional<Format> packed_format(int type, int64_t columns) {
  for (int i = 0; i < kFormats; ++i)
    if (kTypes[i] == type && columns % (kPackedLayouts[i].blocks * kBlockWeights) == 0) return static_cast<Format>(i);
  return std::nullopt;
}

PackedShape packed_shape(const ggml_tensor* weights) {
  return {*packed_format(weights->type, weights->ne[0]), weights->ne[1], weights->ne[0]};
}

size_t PackedShape::group_bytes() const {
  const PackedLayout layout = kPackedLayouts[static_cast<int>(format)];
  return static_cast<size_t>(blocks() / layout.blocks) * (layout.head + layout.blocks * layout.bytes);
}

void pack(const PackedShape& shape, const void* rows, int64_t begin, int64_t end, uint8_t* out) {
  const size_t row_bytes = ggml_row_size(kTypes[static_cast<int>(shape.format)], shape.columns);
  for (int64_t g = begin; g < end; ++g) {
    uint8_t* group = out + g * shape.group_bytes();
    const int valid = static_cast<int>(std::min<int64_t>(kGroupRows, shape.rows - g * kGroupRows));
    if (valid < kGroupRows) std::memset(group, 0, shape.group_bytes());
    for (int r = 0; r < valid; ++r)
      pack_row(shape.format, static_cast<const uint8_t*>(rows) + (g * kGroupRows + r) * row_bytes, shape.columns, r,
               group);
  }
}

}  // namespace adaptive_spec
