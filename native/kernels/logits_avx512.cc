// The kernels of logits_kernels.h for AVX-512, of which F and DQ are needed. No other header may come in here.
#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in GCC's own header: its registers with undefined contents
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "kernels/logits_kernels.h"

namespace adaptive_spec {
namespace {

using Floats = __m512;
using Flags = __mmask16;
constexpr int kLanes = 16;

inline Floats load(const float* p) { return _mm512_loadu_ps(p); }
inline Floats all(float value) { return _mm512_set1_ps(value); }
inline Floats load_part(const float* p, int count) {
  return _mm512_mask_loadu_ps(all(-__builtin_inff()), static_cast<__mmask16>((1u << count) - 1), p);
}
inline Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats smaller(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats divide(Floats a, Floats b) { return _mm512_div_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats to_nearest(Floats a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Floats absolute(Floats a) { return _mm512_abs_ps(a); }
inline Floats power_of_two_times(Floats a, Floats whole) { return _mm512_scalef_ps(a, whole); }
inline Flags at_least(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
inline Flags not_finite_above(Floats a) {
  return _mm512_cmp_ps_mask(a, all(__builtin_inff()), _CMP_NLT_UQ);
}
inline Flags either(Flags a, Flags b) { return static_cast<Flags>(a | b); }
inline unsigned bits(Flags a) { return a; }
inline float largest_of(Floats a) { return _mm512_reduce_max_ps(a); }
inline float sum_of(Floats a) { return _mm512_reduce_add_ps(a); }

#include "kernels/logits_simd.inc"

}  // namespace

extern const LogitKernels kAvx512Logits = {"avx512",   argmax,              sums,     block_maxima,
                                           block_sums, candidates_at_least, add_units};

}  // namespace adaptive_spec
#endif
