// AMX beside AVX-512: products of many columns on the tile unit.
#include "kernels/avx512.inl"

namespace adaptive_spec {
namespace {

// The intrinsics are macros that paste a tile's number into the instruction, so each number stands here. GCC's don't
// tell the compiler that tiles are loaded from memory, nor how much a configuration is; `in_memory` makes it take all
// that it knows of p for read and written.
struct Tiles {
  static void in_memory(const void* p) { __asm__ volatile("" ::"r"(p) : "memory"); }

  template <class Config>
  static void save(Config& config) {
    _tile_storeconfig(&config);
    in_memory(&config);
  }
  template <class Config>
  static void configure(const Config& config) {
    in_memory(&config);
    _tile_loadconfig(&config);
  }
  static void release() { _tile_release(); }

  template <int sum>
  static void zero() {
    if constexpr (sum == 0) _tile_zero(0);
    if constexpr (sum == 1) _tile_zero(1);
    if constexpr (sum == 2) _tile_zero(2);
    if constexpr (sum == 3) _tile_zero(3);
  }
  template <int tile>
  static void load(const void* p, size_t stride) {
    in_memory(p);
    if constexpr (tile == 4) _tile_loadd(4, p, stride);
    if constexpr (tile == 5) _tile_loadd(5, p, stride);
    if constexpr (tile == 6) _tile_loadd(6, p, stride);
    if constexpr (tile == 7) _tile_loadd(7, p, stride);
  }
  template <int sum>
  static void store(void* p, size_t stride) {
    if constexpr (sum == 0) _tile_stored(0, p, stride);
    if constexpr (sum == 1) _tile_stored(1, p, stride);
    if constexpr (sum == 2) _tile_stored(2, p, stride);
    if constexpr (sum == 3) _tile_stored(3, p, stride);
  }
  // Signed columns times unsigned weights.
  template <int sum>
  static void multiply_int8() {
    if constexpr (sum == 0) _tile_dpbsud(0, 4, 6);
    if constexpr (sum == 1) _tile_dpbsud(1, 5, 7);
    if constexpr (sum == 2) _tile_dpbsud(2, 4, 6);
    if constexpr (sum == 3) _tile_dpbsud(3, 5, 7);
  }
  template <int sum>
  static void multiply_bf16() {
    if constexpr (sum == 0) _tile_dpbf16ps(0, 4, 6);
    if constexpr (sum == 1) _tile_dpbf16ps(1, 5, 7);
    if constexpr (sum == 2) _tile_dpbf16ps(2, 4, 6);
    if constexpr (sum == 3) _tile_dpbf16ps(3, 5, 7);
  }
};

#include "kernels/amx.inl"

// Fewer columns than this stay with AVX-512, which gives the same bits. Reasoned, not measured, and the only machine with
// AMX so far does not bear it out (docs/kernels.md). A block of 16 x 32 weights and a column are 8 VPDPBUSD and some 4
// other vector operations, of which a core does two a cycle: 6 cycles a column. On tiles the column leaves some 5 vector
// operations, 2 or 3 cycles, and a tile product takes at most 16 cycles (Intel's figure for a whole one, of twice as many
// weights) beside them. Both unpack the weights, in about 15 cycles. With 4 columns AVX-512 needs some 40 cycles for a
// block of 288 bytes or more, about what memory needs to bring it, so tiles would gain nothing and cost what it takes to
// configure them.
constexpr int kFewestColumns = 5;

}  // namespace

void fill_amx(KernelSet& set) {
  set.name = "amx";
  add_amx_int8(set, kFewestColumns);
}

void fill_amx_bf16(KernelSet& set) { add_amx_bf16(set); }

}  // namespace adaptive_spec
