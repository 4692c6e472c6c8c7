// AVX2, included by avx2.cc and avx2_vnni.cc: 8 output rows in one register, so each group is read in two halves.
#include <immintrin.h>

#include "kernels/kernel_set.h"

namespace adaptive_spec {
namespace {

struct Isa {
  using Ints = __m256i;
  using Floats = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kColumns = 4;  // 16 registers hold no more
  static constexpr int kFloatColumns = 4;

  static Ints load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static Ints splat(int32_t x) { return _mm256_set1_epi32(x); }
  static Ints splat8(char x) { return _mm256_set1_epi8(x); }
  static Ints splat128(const void* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static Ints bit_and(Ints a, Ints b) { return _mm256_and_si256(a, b); }
  // a | (b & mask)
  static Ints merge(Ints a, Ints b, Ints mask) { return _mm256_or_si256(a, _mm256_and_si256(b, mask)); }
  template <int n>
  static Ints shift_left(Ints a) {
    return _mm256_slli_epi16(a, n);
  }
  template <int n>
  static Ints shift_right(Ints a) {
    return _mm256_srli_epi16(a, n);
  }
  template <int n>
  static Ints shift_left32(Ints a) {
    return n ? _mm256_slli_epi32(a, n) : a;
  }
  static Ints lookup(Ints table, Ints index) { return _mm256_shuffle_epi8(table, index); }
  template <bool wide>
  static Ints dot(Ints sum, Ints weights, const int32_t* four) {
    const Ints a = _mm256_set1_epi32(*four);
#ifdef __AVXVNNI__
    return _mm256_dpbusd_avx_epi32(sum, weights, a);
#else
    const Ints ones = _mm256_set1_epi16(1);
    // Pairs are summed with saturation at 32,767, which 255 x 127 x 2 would pass: the top bit goes apart.
    if constexpr (wide) {
      const Ints top = splat8(static_cast<char>(0x80));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(bit_and(weights, top), a), ones));
      weights = _mm256_andnot_si256(top, weights);
    }
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(weights, a), ones));
#endif
  }

  static Floats zero() { return _mm256_setzero_ps(); }
  static Floats splat(float x) { return _mm256_set1_ps(x); }
  static Floats as_float(Ints a) { return _mm256_castsi256_ps(a); }
  static Floats to_float(Ints a) { return _mm256_cvtepi32_ps(a); }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats subtract(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats divide(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats negate(Floats a) { return _mm256_sub_ps(_mm256_setzero_ps(), a); }
  static Floats load_floats(const float* p) { return _mm256_loadu_ps(p); }
  static Floats f16(const void* p, int half) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p) + half));
  }
  static Floats from_u8(const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static Floats from_s8(const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  // 2^(x - 128); x < 2 is a denormal
  static Floats half_of_e8m0(const uint8_t* p) {
    const Ints x = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const Ints normal = _mm256_slli_epi32(_mm256_sub_epi32(x, splat(1)), 23);
    const Ints denormal = _mm256_sllv_epi32(splat(0x00200000), x);
    return as_float(_mm256_blendv_epi8(normal, denormal, _mm256_cmpgt_epi32(splat(2), x)));
  }
  static void store(float* p, Floats a, int lanes) {
    if (lanes >= kLanes) {
      _mm256_storeu_ps(p, a);
    } else if (lanes > 0) {
      const Ints index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
      _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(splat(lanes), index), a);
    }
  }
  static float largest(Floats a) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
  }
  static Floats copy_sign(Floats size, Floats sign) {
    const Floats bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, size), _mm256_and_ps(bit, sign));
  }
  // a where x >= least, else 0
  static Floats zero_below(Floats x, Floats least, Floats a) {
    return _mm256_and_ps(_mm256_cmp_ps(x, least, _CMP_GE_OQ), a);
  }
  // 2^n for whole numbers n from -126 to 127
  static Floats power_of_two(Floats n) {
    return as_float(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), splat(127)), 23));
  }
  static Floats round(Floats a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

  // 32 floats as signed bytes; answers the scale and the sums of either 16.
  static float quantise(const float* x, int8_t* q, int32_t* sums) {
    const Floats sign = _mm256_set1_ps(-0.0f);
    Floats a[4], most = zero();
    for (int i = 0; i < 4; ++i) {
      a[i] = _mm256_loadu_ps(x + 8 * i);
      most = max(most, _mm256_andnot_ps(sign, a[i]));
    }
    const float top = largest(most);
    const Floats inverse = splat(top > 0 ? 127 / top : 0);
    for (int half = 0; half < 2; ++half) {
      const Ints low = _mm256_cvtps_epi32(mul(a[2 * half], inverse));
      const Ints high = _mm256_cvtps_epi32(mul(a[2 * half + 1], inverse));
      const Ints words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
      const __m128i bytes =
          _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q) + half, bytes);
      // Sums of eight unsigned bytes, less the 128 that was added to each.
      const __m128i eights =
          _mm_sad_epu8(_mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(0x80))), _mm_setzero_si128());
      sums[half] = static_cast<int32_t>(_mm_extract_epi64(eights, 0) + _mm_extract_epi64(eights, 1)) - 16 * 128;
    }
    return top / 127;
  }

  static constexpr int kQuantised = 1;
  static void quantise_several(const float* x, int8_t* const* q, float* scales, int32_t (*sums)[2]) {
    scales[0] = quantise(x, q[0], sums[0]);
  }

  // 8 cells' f16 rows of `dims` (a multiple of 16) to columns: out[d * stride + cell].
  static void transpose(const uint8_t* rows, size_t row_bytes, int dims, float* out, int stride) {
    alignas(32) float row[8];
    for (int c = 0; c < kLanes; ++c)
      for (int d = 0; d < dims; d += 8) {
        _mm256_store_ps(row, f16(rows + c * row_bytes + 2 * d, 0));
        for (int i = 0; i < 8; ++i) out[static_cast<size_t>(d + i) * stride + c] = row[i];
      }
  }
};

#include "kernels/tile.inl"
#include "kernels/attend.inl"

}  // namespace
}  // namespace adaptive_spec
