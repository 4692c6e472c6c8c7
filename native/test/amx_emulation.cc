// Tiles as Intel's instruction set reference documents them (TILELOADD, TILESTORED, TDPBSUD, TDPBF16PS, LDTILECFG),
// in plain code, for the kernels of amx.inl. Built for AVX-512, which those kernels need beside the tiles.
#include "test/amx_emulation.h"

#include "kernels/avx512.inl"

namespace adaptive_spec {
namespace {

int faults, products;

struct Tiles {
  struct Tile {
    alignas(64) uint8_t bytes[16][64];
  };
  struct State {
    uint8_t config[64];
    Tile tiles[8];
  };
  static inline thread_local State state;

  static int rows(int tile) { return state.config[48 + tile]; }
  static int bytes(int tile) { return state.config[16 + 2 * tile] | state.config[17 + 2 * tile] << 8; }
  static void need(bool fine) { faults += !fine; }
  static bool usable(int tile) { return state.config[0] == 1 && rows(tile) > 0 && bytes(tile) > 0; }

  template <class Config>
  static void save(Config& config) {
    __builtin_memcpy(&config, state.config, 64);
  }
  template <class Config>
  static void configure(const Config& config) {
    __builtin_memset(&state, 0, sizeof state);
    __builtin_memcpy(state.config, &config, 64);
    need(state.config[0] == 1);
    for (int i = 1; i < 16; ++i) need(state.config[i] == 0);
    for (int tile = 0; tile < 16; ++tile) {
      need(tile < 8 ? rows(tile) <= 16 && bytes(tile) <= 64 : rows(tile) == 0 && bytes(tile) == 0);
      need((rows(tile) == 0) == (bytes(tile) == 0));
    }
  }
  static void release() { __builtin_memset(&state, 0, sizeof state); }

  static void zero(int tile) {
    need(usable(tile));
    __builtin_memset(&state.tiles[tile], 0, sizeof(Tile));
  }
  static void load(int tile, const void* p, size_t stride) {
    zero(tile);
    for (int row = 0; row < rows(tile); ++row)
      __builtin_memcpy(state.tiles[tile].bytes[row], static_cast<const char*>(p) + row * stride, bytes(tile));
  }
  static void store(int tile, void* p, size_t stride) {
    need(usable(tile));
    for (int row = 0; row < rows(tile); ++row)
      __builtin_memcpy(static_cast<char*>(p) + row * stride, state.tiles[tile].bytes[row], bytes(tile));
  }

  template <class T>
  static T at(int tile, int row, int i) {
    T value;
    __builtin_memcpy(&value, state.tiles[tile].bytes[row] + sizeof(T) * i, sizeof(T));
    return value;
  }
  template <class T>
  static void put(int tile, int row, int i, T value) {
    __builtin_memcpy(state.tiles[tile].bytes[row] + sizeof(T) * i, &value, sizeof(T));
  }
  // What TDP* check.
  static void product(int c, int a, int b) {
    ++products;
    need(a != b && b != c && a != c);
    need(usable(a) && usable(b) && usable(c));
    need(rows(a) == rows(c) && bytes(b) == bytes(c) && bytes(a) == 4 * rows(b));
    need(bytes(a) % 4 == 0 && bytes(b) % 4 == 0);
  }
  static void multiply_int8(int c, int a, int b) {
    product(c, a, b);
    for (int m = 0; m < rows(c); ++m)
      for (int k = 0; k < bytes(a) / 4; ++k)
        for (int n = 0; n < bytes(c) / 4; ++n) {
          uint32_t sum = at<uint32_t>(c, m, n);  // without saturation
          for (int i = 0; i < 4; ++i)
            sum += static_cast<uint32_t>(at<int8_t>(a, m, 4 * k + i) * at<uint8_t>(b, k, 4 * n + i));
          put(c, m, n, sum);
        }
  }

  // Denormals are zeros, as inputs and as results.
  static float normal(float x) { return __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0, x) : x; }
  static float bf16(int tile, int row, int i) {
    const uint32_t bits = static_cast<uint32_t>(at<uint16_t>(tile, row, i)) << 16;
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return normal(value);
  }
  static void multiply_bf16(int c, int a, int b) {
    product(c, a, b);
    for (int m = 0; m < rows(c); ++m)
      for (int n = 0; n < bytes(c) / 4; ++n) {
        float even = 0, odd = 0;
        for (int k = 0; k < bytes(a) / 4; ++k) {
          even = normal(__builtin_fmaf(bf16(a, m, 2 * k), bf16(b, k, 2 * n), even));
          odd = normal(__builtin_fmaf(bf16(a, m, 2 * k + 1), bf16(b, k, 2 * n + 1), odd));
        }
        put(c, m, n, normal(normal(at<float>(c, m, n)) + normal(even + odd)));
      }
  }

  // What amx.inl calls; the tiles of a product are those that amx.cc names.
  template <int tile>
  static void zero() {
    zero(tile);
  }
  template <int tile>
  static void load(const void* p, size_t stride) {
    load(tile, p, stride);
  }
  template <int tile>
  static void store(void* p, size_t stride) {
    store(tile, p, stride);
  }
  template <int sum>
  static void multiply_int8() {
    multiply_int8(sum, 4 + sum % 2, 6 + sum % 2);
  }
  template <int sum>
  static void multiply_bf16() {
    multiply_bf16(sum, 4 + sum % 2, 6 + sum % 2);
  }
};

#include "kernels/amx.inl"

}  // namespace

void fill_emulated_amx(KernelSet& set) {
  set.name = "emulated amx";
  add_amx_int8(set, 1);
}

void fill_emulated_amx_bf16(KernelSet& set) { add_amx_bf16(set); }

int emulated_tile_faults() { return faults; }
int emulated_tile_products() { return products; }

void configure_emulated_tiles() { Tiles::configure(tile_config(7, 3)); }
int emulate_amx_instruction(const uint8_t* code, const uint64_t* registers) {
  // Three-byte VEX of map 0F38, W0, 128 bits: what all instructions of AMX are.
  if (code[0] != 0xC4 || (code[1] & 31) != 2 || (code[2] & 0x84) != 0) return 0;
  enum Prefix { kNone, k66, kF3, kF2 };
  const int prefix = code[2] & 3, operation = code[3], mode = code[4] >> 6, low = code[4] & 7;
  const int reg = (code[4] >> 3 & 7) | (~code[1] >> 7 & 1) << 3, third = ~(code[2] >> 3) & 15;
  const int high_base = (~code[1] >> 5 & 1) << 3, high_index = (~code[1] >> 6 & 1) << 3;
  if (mode == 3) {
    if (operation == 0x49 && prefix == kF2)
      Tiles::zero(reg);
    else if (operation == 0x49 && prefix == kNone && code[4] == 0xC0)
      Tiles::release();
    else if (operation == 0x5E && prefix == kF3)
      Tiles::multiply_int8(reg, low | high_base, third);  // TDPBSUD
    else if (operation == 0x5C && prefix == kF3)
      Tiles::multiply_bf16(reg, low | high_base, third);
    else
      return 0;
    return 5;
  }
  int length = 5;
  uint64_t address = 0, stride = 0;
  int32_t displacement = 0;
  if (low == 4) {
    const int sib = code[length++], index = (sib >> 3 & 7) | high_index;
    if (mode == 0 && (sib & 7) == 5) return 0;
    address = registers[(sib & 7) | high_base];
    if (index != 4) stride = registers[index] << (sib >> 6);
  } else if (mode == 0 && low == 5) {  // beside the next instruction
    __builtin_memcpy(&displacement, code + length, 4);
    length += 4;
    address = reinterpret_cast<uint64_t>(code) + length + static_cast<int64_t>(displacement);
  } else {
    address = registers[low | high_base];
  }
  if (mode == 1) address += static_cast<int64_t>(static_cast<int8_t>(code[length++]));
  if (mode == 2) {
    __builtin_memcpy(&displacement, code + length, 4);
    length += 4;
    address += static_cast<int64_t>(displacement);
  }
  auto* p = reinterpret_cast<TileConfig*>(address);
  if (operation == 0x49 && prefix == kNone)
    Tiles::configure(*p);
  else if (operation == 0x49 && prefix == k66)
    Tiles::save(*p);
  else if (operation == 0x4B && prefix == kF2)
    Tiles::load(reg, p, stride);
  else if (operation == 0x4B && prefix == kF3)
    Tiles::store(reg, p, stride);
  else
    return 0;
  return length;
}

bool emulated_tiles_are_configured() {
  const TileConfig config = tile_config(7, 3);
  return __builtin_memcmp(Tiles::state.config, &config, 64) == 0;
}

}  // namespace adaptive_spec
