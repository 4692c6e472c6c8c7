// The kernels of logits_kernels.h for AVX2 with FMA. No other header may come in here.
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/logits_kernels.h"

namespace adaptive_spec {
namespace {

using Floats = __m256;
using Flags = __m256;
constexpr int kLanes = 8;

inline Floats load(const float* p) { return _mm256_loadu_ps(p); }
inline Floats all(float value) { return _mm256_set1_ps(value); }
inline Floats load_part(const float* p, int count) {
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  return _mm256_blendv_ps(all(-__builtin_inff()), _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask));
}
inline Floats larger(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats smaller(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats subtract(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
inline Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats divide(Floats a, Floats b) { return _mm256_div_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats to_nearest(Floats a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Floats absolute(Floats a) { return _mm256_andnot_ps(all(-0.0f), a); }
// Both factors and the product are normal numbers, so adding to the exponent bits is multiplying.
inline Floats power_of_two_times(Floats a, Floats whole) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23)));
}
inline Flags at_least(Floats a, Floats b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
inline Flags not_finite_above(Floats a) { return _mm256_cmp_ps(a, all(__builtin_inff()), _CMP_NLT_UQ); }
inline Flags either(Flags a, Flags b) { return _mm256_or_ps(a, b); }
inline unsigned bits(Flags a) { return static_cast<unsigned>(_mm256_movemask_ps(a)); }
inline float largest_of(Floats a) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
inline float sum_of(Floats a) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

#include "kernels/logits_simd.inc"

}  // namespace

extern const LogitKernels kAvx2Logits = {"avx2",     argmax,              sums,     block_maxima,
                                         block_sums, candidates_at_least, add_units};

}  // namespace adaptive_spec
#endif
