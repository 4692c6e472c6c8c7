// AVX-512 with VNNI, included by avx512.cc and by what adds AMX to it: 16 output rows in one register.
#include <immintrin.h>

#include "kernels/kernel_set.h"

namespace adaptive_spec {
namespace {

struct Isa {
  using Ints = __m512i;
  using Floats = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kColumns = 16;       // 16 sums, 8 registers of weights, scales: what 32 registers hold
  static constexpr int kFloatColumns = 12;  // two sums each

  static Ints load(const void* p) { return _mm512_loadu_si512(p); }
  static Ints splat(int32_t x) { return _mm512_set1_epi32(x); }
  static Ints splat8(char x) { return _mm512_set1_epi8(x); }
  static Ints splat128(const void* p) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static Ints bit_and(Ints a, Ints b) { return _mm512_and_si512(a, b); }
  // a | (b & mask)
  static Ints merge(Ints a, Ints b, Ints mask) { return _mm512_ternarylogic_epi32(a, b, mask, 0xF8); }
  template <int n>
  static Ints shift_left(Ints a) {
    return _mm512_slli_epi16(a, n);
  }
  template <int n>
  static Ints shift_right(Ints a) {
    return _mm512_srli_epi16(a, n);
  }
  template <int n>
  static Ints shift_left32(Ints a) {
    return n ? _mm512_slli_epi32(a, n) : a;
  }
  static Ints lookup(Ints table, Ints index) { return _mm512_shuffle_epi8(table, index); }
  template <bool wide>
  static Ints dot(Ints sum, Ints weights, const int32_t* four) {
    return _mm512_dpbusd_epi32(sum, weights, _mm512_set1_epi32(*four));
  }

  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats splat(float x) { return _mm512_set1_ps(x); }
  static Floats as_float(Ints a) { return _mm512_castsi512_ps(a); }
  static Floats to_float(Ints a) { return _mm512_cvtepi32_ps(a); }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats divide(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats negate(Floats a) { return _mm512_sub_ps(_mm512_setzero_ps(), a); }
  static Floats load_floats(const float* p) { return _mm512_loadu_ps(p); }
  static Floats f16(const void* p, int half) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p) + half));
  }
  static Floats from_u8(const uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static Floats from_s8(const uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  // 2^(x - 128); x < 2 is a denormal
  static Floats half_of_e8m0(const uint8_t* p) {
    const Ints x = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const Ints normal = _mm512_slli_epi32(_mm512_sub_epi32(x, splat(1)), 23);
    const Ints denormal = _mm512_sllv_epi32(splat(0x00200000), x);
    return as_float(_mm512_mask_mov_epi32(normal, _mm512_cmplt_epi32_mask(x, splat(2)), denormal));
  }
  static void store(float* p, Floats a, int lanes) {
    if (lanes >= kLanes)
      _mm512_storeu_ps(p, a);
    else
      _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << lanes) - 1), a);
  }
  static float largest(Floats a) { return _mm512_reduce_max_ps(a); }
  static Floats copy_sign(Floats size, Floats sign) {
    return as_float(_mm512_ternarylogic_epi32(splat(0x7FFFFFFF), _mm512_castps_si512(size),
                                              _mm512_castps_si512(sign), 0xCA));
  }
  // a where x >= least, else 0
  static Floats zero_below(Floats x, Floats least, Floats a) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, least, _CMP_GE_OQ), a);
  }
  // 2^n for whole numbers n from -126 to 127
  static Floats power_of_two(Floats n) {
    return as_float(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), splat(127)), 23));
  }
  static Floats round(Floats a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

  // 32 floats as signed bytes; answers the scale and the sums of either 16.
  static float quantise(const float* x, int8_t* q, int32_t* sums) {
    const Floats a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    const float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    const Floats inverse = _mm512_set1_ps(most > 0 ? 127 / most : 0);
    const __m128i low = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(a, inverse)));
    const __m128i high = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(b, inverse)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q), low);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q) + 1, high);
    // Sums of eight unsigned bytes, less the 128 that was added to each.
    const __m256i both = _mm256_xor_si256(_mm256_set_m128i(high, low), _mm256_set1_epi8(static_cast<char>(0x80)));
    const __m256i eights = _mm256_sad_epu8(both, _mm256_setzero_si256());
    sums[0] = static_cast<int32_t>(_mm256_extract_epi64(eights, 0) + _mm256_extract_epi64(eights, 1)) - 16 * 128;
    sums[1] = static_cast<int32_t>(_mm256_extract_epi64(eights, 2) + _mm256_extract_epi64(eights, 3)) - 16 * 128;
    return most / 127;
  }

  // The same of four blocks, whose largest numbers and sums are found side by side.
  static constexpr int kQuantised = 4;
  static void quantise_several(const float* x, int8_t* const* q, float* scales, int32_t (*sums)[2]) {
    Floats low[4], high[4], most[4];
    for (int i = 0; i < 4; ++i) {
      low[i] = _mm512_loadu_ps(x + 32 * i);
      high[i] = _mm512_loadu_ps(x + 32 * i + 16);
      most[i] = max(_mm512_abs_ps(low[i]), _mm512_abs_ps(high[i]));
    }
    const __m512d a = _mm512_castps_pd(max(_mm512_unpacklo_ps(most[0], most[1]), _mm512_unpackhi_ps(most[0], most[1])));
    const __m512d b = _mm512_castps_pd(max(_mm512_unpacklo_ps(most[2], most[3]), _mm512_unpackhi_ps(most[2], most[3])));
    Floats all = max(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    all = max(all, _mm512_shuffle_f32x4(all, all, 0x4E));
    all = max(all, _mm512_shuffle_f32x4(all, all, 0xB1));  // the four blocks' largest in each quarter
    const Floats inverses = _mm512_maskz_div_ps(_mm512_cmp_ps_mask(all, zero(), _CMP_GT_OQ), splat(127.0f), all);
    _mm_storeu_ps(scales, _mm512_castps512_ps128(_mm512_div_ps(all, splat(127.0f))));
    const Floats inverse[4] = {_mm512_permute_ps(inverses, 0x00), _mm512_permute_ps(inverses, 0x55),
                               _mm512_permute_ps(inverses, 0xAA), _mm512_permute_ps(inverses, 0xFF)};
    __m256i bytes[4];
    for (int i = 0; i < 4; ++i) {
      bytes[i] = _mm256_set_m128i(_mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(high[i], inverse[i]))),
                                  _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(low[i], inverse[i]))));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(q[i]), bytes[i]);
    }
    // Each quarter holds four sums of four bytes, of one half of one block.
    const Ints ones = splat8(1);
    const Ints first = _mm512_dpbusd_epi32(
        splat(0), ones, _mm512_inserti64x4(_mm512_castsi256_si512(bytes[0]), bytes[1], 1));
    const Ints second = _mm512_dpbusd_epi32(
        splat(0), ones, _mm512_inserti64x4(_mm512_castsi256_si512(bytes[2]), bytes[3], 1));
    Ints both = _mm512_add_epi32(_mm512_unpacklo_epi32(first, second), _mm512_unpackhi_epi32(first, second));
    both = _mm512_add_epi32(both, _mm512_shuffle_epi32(both, _MM_PERM_BADC));
    alignas(64) int32_t found[16];
    _mm512_store_si512(found, both);
    for (int i = 0; i < 4; ++i)
      for (int half = 0; half < 2; ++half) sums[i][half] = found[8 * (i % 2) + 4 * half + i / 2];
  }

  // 16 cells' f16 rows of `dims` (a multiple of 16) to columns: out[d * stride + cell].
  static void transpose(const uint8_t* rows, size_t row_bytes, int dims, float* out, int stride) {
    for (int d = 0; d < dims; d += 16) {
      Floats r[16];
      for (int c = 0; c < 16; ++c) r[c] = f16(rows + c * row_bytes + 2 * d, 0);
      transpose16(r);
      for (int i = 0; i < 16; ++i) _mm512_storeu_ps(out + static_cast<size_t>(d + i) * stride, r[i]);
    }
  }

 private:
  static void transpose16(Floats (&r)[16]) {
    Floats t[16];
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
      for (int j = 0; j < 2; ++j) {
        const __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + j + 2]);
        r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
      }
    // r[4 g + k] holds column k of each 128-bit quarter, for rows 4 g to 4 g + 3.
    for (int k = 0; k < 4; ++k) {
      t[k] = _mm512_shuffle_f32x4(r[k], r[4 + k], 0x44);
      t[4 + k] = _mm512_shuffle_f32x4(r[k], r[4 + k], 0xEE);
      t[8 + k] = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0x44);
      t[12 + k] = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0xEE);
    }
    for (int k = 0; k < 4; ++k) {
      r[k] = _mm512_shuffle_f32x4(t[k], t[8 + k], 0x88);
      r[4 + k] = _mm512_shuffle_f32x4(t[k], t[8 + k], 0xDD);
      r[8 + k] = _mm512_shuffle_f32x4(t[4 + k], t[12 + k], 0x88);
      r[12 + k] = _mm512_shuffle_f32x4(t[4 + k], t[12 + k], 0xDD);
    }
  }
};

#include "kernels/tile.inl"

}  // namespace
}  // namespace adaptive_spec
