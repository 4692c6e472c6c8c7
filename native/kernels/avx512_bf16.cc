// bf16 weights on a CPU that multiplies bf16: columns are rounded to bf16 too, as ggml does it.
#include <immintrin.h>

#include "kernels/kernel_set.h"

namespace adaptive_spec {
namespace {

constexpr int kColumns = 12;

// Weights lie in pairs, as VDPBF16PS wants them: a chunk of 64 bytes is two weights of each row.
template <int N>
void tile(const uint8_t* group, int blocks, const void* panel, float* const* out, int rows) {
  const auto* a = static_cast<const int32_t*>(panel);  // [pair][N]
  __m512 even[N], odd[N];
  for (int j = 0; j < N; ++j) even[j] = odd[j] = _mm512_setzero_ps();
  const int pairs = blocks * kBlockWeights / 2;
  for (int k = 0; k < pairs; k += 2, group += 128, a += 2 * N) {
    _mm_prefetch(reinterpret_cast<const char*>(group) + 8192, _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(group) + 8192 + 64, _MM_HINT_T0);
    const auto first = reinterpret_cast<__m512bh>(_mm512_loadu_si512(group));
    const auto second = reinterpret_cast<__m512bh>(_mm512_loadu_si512(group + 64));
#pragma GCC unroll 12
    for (int j = 0; j < N; ++j) {
      even[j] = _mm512_dpbf16_ps(even[j], first, reinterpret_cast<__m512bh>(_mm512_set1_epi32(a[j])));
      odd[j] = _mm512_dpbf16_ps(odd[j], second, reinterpret_cast<__m512bh>(_mm512_set1_epi32(a[N + j])));
    }
  }
  const auto mask = static_cast<__mmask16>((1u << rows) - 1);
  for (int j = 0; j < N; ++j) _mm512_mask_storeu_ps(out[j], mask, _mm512_add_ps(even[j], odd[j]));
}

void panel(const float* const* columns, int n, int begin, int end, void* out) {
  auto* pairs = static_cast<int32_t*>(out) + static_cast<size_t>(begin) * (kBlockWeights / 2) * n;
  for (int b = begin; b < end; ++b, pairs += (kBlockWeights / 2) * n)
    for (int j = 0; j < n; ++j) {
      const float* x = columns[j] + b * kBlockWeights;
      const auto both =
          reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
      int32_t values[16];
      _mm512_storeu_si512(values, both);
      for (int k = 0; k < 16; ++k) pairs[k * n + j] = values[k];
    }
}

template <int N>
void fill(TileFunction* tiles) {
  if constexpr (N > 0) {
    fill<N - 1>(tiles);
    tiles[N - 1] = tile<N>;
  }
}

}  // namespace

void fill_avx512_bf16(KernelSet& set) {
  const int format = static_cast<int>(Format::kBF16);
  set.columns[format] = kColumns;
  set.panel_kinds[format] = PanelKind::kBFloat16;
  set.panels[static_cast<int>(PanelKind::kBFloat16)] = panel;
  fill<kColumns>(set.tiles[format]);
}

}  // namespace adaptive_spec
