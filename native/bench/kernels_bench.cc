// kernels_bench THREADS: the machine's roofs and what the matrix products reach under them, as JSON. Weights are read
// from memory (512 MB of them, more than any cache), activations are quantised, threads meet: a product as a graph
// has it.
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>
#include <immintrin.h>
#include <sys/mman.h>
#include <traits.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "engine/context.h"
#include "kernels/buffer_type.h"
#include "kernels/instruction_set.h"

namespace adaptive_spec {
namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Best of some runs of f(thread) on all threads: a roof is what the machine can do when nothing disturbs it.
template <class F>
double best_of(int runs, int threads, F f) {
  double best = 1e9;
  for (int run = 0; run < runs; ++run) {
    const double start = seconds();
    {
      std::vector<std::jthread> others;
      for (int t = 1; t < threads; ++t) others.emplace_back(f, t);
      f(0);
    }
    best = std::min(best, seconds() - start);
  }
  return best;
}

double read_bandwidth(int threads) {
  constexpr size_t kBytes = 512 << 20, kHuge = 2 << 20;
  auto* memory = static_cast<char*>(std::aligned_alloc(kHuge, kBytes));
  madvise(memory, kBytes, MADV_HUGEPAGE);
  std::memset(memory, 1, kBytes);
  const double time = best_of(7, threads, [&](int t) __attribute__((target("avx512f"))) {
    const char* p = memory + kBytes / threads * t;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t i = 0; i < kBytes / threads; i += 256) {
      a = _mm512_or_si512(a, _mm512_loadu_si512(p + i));
      b = _mm512_or_si512(b, _mm512_loadu_si512(p + i + 64));
      c = _mm512_or_si512(c, _mm512_loadu_si512(p + i + 128));
      d = _mm512_or_si512(d, _mm512_loadu_si512(p + i + 192));
    }
    a = _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d));
    asm volatile("" ::"v"(a));
  });
  std::free(memory);
  return kBytes / time;
}

#define DOT(sum) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #sum "\n"
#define DOTS DOT(0) DOT(1) DOT(2) DOT(3) DOT(4) DOT(5) DOT(6) DOT(7)
#define SCALE(sum) "vcvtdq2ps %%zmm" #sum ", %%zmm28\n vmulps %%zmm26, %%zmm27, %%zmm29\n" \
                   "vfmadd231ps %%zmm28, %%zmm29, %%zmm2" #sum "\n"
#define CLOBBER "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm20", "xmm21", "xmm22", "xmm23", \
                "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29"

// Multiply-adds of VPDPBUSD alone, and with the scaling that a block of 32 (or of 16) weights needs.
double dot_peak(int threads) {
  constexpr long kRounds = 6'000'000;
  return 64.0 * 8 * kRounds * threads / best_of(5, threads, [](int) {
    for (long i = 0; i < kRounds; ++i) asm volatile(DOTS ::: CLOBBER);
  });
}
double dot_with_scales_of_32(int threads) {
  constexpr long kRounds = 1'000'000;
  return 64.0 * 48 * kRounds * threads / best_of(5, threads, [](int) {
    // Eight dot products for each of six sums, side by side, then their scaling.
    for (long i = 0; i < kRounds; ++i)
      asm volatile(DOTS DOTS DOTS DOTS DOTS DOTS SCALE(0) SCALE(1) SCALE(2) SCALE(3) SCALE(4) SCALE(5)::: CLOBBER);
  });
}
double dot_with_scales_of_16(int threads) {
  constexpr long kRounds = 1'000'000;
  return 64.0 * 24 * kRounds * threads / best_of(5, threads, [](int) {
    for (long i = 0; i < kRounds; ++i)
      asm volatile(DOTS DOTS DOTS SCALE(0) SCALE(1) SCALE(2) SCALE(3) SCALE(4) SCALE(5)::: CLOBBER);
  });
}

void products(int threads, const KernelSet& kernels) {
  constexpr ggml_type kTypes[] = {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q8_0, GGML_TYPE_Q4_K,
                                  GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_F16,  GGML_TYPE_BF16};
  constexpr int64_t kColumns = 2048;
  const ThreadPoolHandle pool = make_thread_pool(threads);
  const char* comma = "";
  for (const ggml_type type : kTypes) {
    ggml_context* ctx = ggml_init({1 << 20, nullptr, true});
    const int64_t rows = (size_t{512} << 20) / ggml_row_size(type, kColumns) / 64 * 64;
    ggml_tensor* weights = ggml_new_tensor_2d(ctx, type, kColumns, rows);
    ggml_backend_buffer_t buffer;
    {
      const LoadScope scope(&kernels, threads, false);
      buffer = ggml_backend_alloc_ctx_tensors_from_buft(ctx, ggml_backend_cpu_get_extra_buffer_types().front());
      // 0x1C: scales of 0.004, and any weights.
      const std::vector<uint8_t> data(ggml_nbytes(weights), 0x1C);
      ggml_backend_tensor_set(weights, data.data(), 0, data.size());
    }
    for (const int n : {1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 32}) {
      ggml_context* inner = ggml_init({1 << 20, nullptr, true});
      ggml_tensor* x = ggml_new_tensor_2d(inner, GGML_TYPE_F32, kColumns, n);
      ggml_tensor* y = ggml_mul_mat(inner, weights, x);
      ggml_backend_buffer_t io = ggml_backend_alloc_ctx_tensors_from_buft(inner, ggml_backend_cpu_buffer_type());
      std::fill_n(static_cast<float*>(x->data), ggml_nelements(x), 0.5f);
      ggml_cgraph* graph = ggml_new_graph(inner);
      ggml_build_forward_expand(graph, y);
      ggml_cplan plan = ggml_graph_plan(graph, threads, pool.get());
      std::vector<uint8_t> work(plan.work_size + 1);
      plan.work_data = work.data();
      std::vector<double> times;
      for (int run = 0; run < 9; ++run) {
        const double start = seconds();
        ggml_graph_compute(graph, &plan);
        times.push_back(seconds() - start);
      }
      std::sort(times.begin(), times.end());
      const double time = times[times.size() / 2], bytes = static_cast<double>(ggml_nbytes(weights));
      std::printf("%s{\"format\":\"%s\",\"rows\":%d,\"ms\":%.3f,\"low\":%.3f,\"high\":%.3f,\"bytesPerSecond\":%.4g,"
                  "\"multiplyAddsPerSecond\":%.4g}",
                  comma, ggml_type_name(type), n, time * 1e3, times[2] * 1e3, times[6] * 1e3, bytes / time,
                  static_cast<double>(rows * kColumns) * n / time);
      comma = ",\n  ";
      ggml_backend_buffer_free(io);
      ggml_free(inner);
    }
    ggml_backend_buffer_free(buffer);
    ggml_free(ctx);
  }
}

}  // namespace
}  // namespace adaptive_spec

int main(int argc, char** argv) {
  using namespace adaptive_spec;
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  start_backend();
  const KernelSet* kernels = kernel_set("auto");
  if (!kernels || std::strcmp(kernels->name, "avx2") == 0) {
    std::fprintf(stderr, "kernels_bench needs AVX-512\n");
    return 1;
  }
  std::printf("{\"kernels\":\"%s\",\"threads\":%d,\n \"readBytesPerSecond\":%.4g,\n \"dotPeak\":%.4g,\n"
              " \"dotWithScalesOf32\":%.4g,\n \"dotWithScalesOf16\":%.4g,\n \"products\":[",
              kernels->name, threads, read_bandwidth(threads), dot_peak(threads), dot_with_scales_of_32(threads),
              dot_with_scales_of_16(threads));
  products(threads, *kernels);
  std::printf("],\n \"readBytesPerSecondAfter\":%.4g}\n", read_bandwidth(threads));
}
