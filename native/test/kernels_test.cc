// Matrix products and attention through ggml's own graphs: exact in any batch, and no less precise than ggml's.
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>
#include <traits.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "engine/context.h"
#include "kernels/buffer_type.h"
#include "kernels/instruction_set.h"
#include "test/harness.h"
#include "test/random.h"

namespace adaptive_spec {

#ifdef ADAPTIVE_SPEC_X86
void fill_avx2(KernelSet& set);
#endif

namespace {

using test::Random;

constexpr ggml_type kTypes[] = {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0,   GGML_TYPE_Q5_1,
                                GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K,   GGML_TYPE_Q6_K,
                                GGML_TYPE_IQ4_NL, GGML_TYPE_MXFP4, GGML_TYPE_F16, GGML_TYPE_BF16};

// Those of this CPU, and AVX2 without dot products, which a CPU that has them would never choose.
std::vector<const KernelSet*> sets() {
  std::vector<const KernelSet*> all;
  for (const std::string& name : available_kernels())
    if (const KernelSet* set = kernel_set(name)) all.push_back(set);
#ifdef ADAPTIVE_SPEC_X86
  static const KernelSet plain = [] {
    KernelSet set{};
    fill_avx2(set);
    set.name = "avx2 without VNNI";
    return set;
  }();
  if (!all.empty()) all.push_back(&plain);
#endif
  return all;
}

struct FreeContext {
  void operator()(ggml_context* p) const { ggml_free(p); }
};
using GgmlContext = std::unique_ptr<ggml_context, FreeContext>;
struct FreeBuffer {
  void operator()(ggml_backend_buffer_t p) const { ggml_backend_buffer_free(p); }
};
using Buffer = std::unique_ptr<ggml_backend_buffer, FreeBuffer>;

GgmlContext context() { return GgmlContext(ggml_init({1 << 20, nullptr, true})); }

// Computes one node on so many threads.
void compute(ggml_context* ctx, ggml_tensor* node, int threads) {
  ggml_cgraph* graph = ggml_new_graph(ctx);
  ggml_build_forward_expand(graph, node);
  static std::map<int, ThreadPoolHandle> pools;
  ThreadPoolHandle& pool = pools[threads];
  if (!pool) pool = make_thread_pool(threads);
  ggml_cplan plan = ggml_graph_plan(graph, threads, pool.get());
  std::vector<uint8_t> work(plan.work_size);
  plan.work_data = work.data();
  ggml_graph_compute(graph, &plan);
}

// A matrix of weights, of one or more experts, in ggml's buffer or repacked for a kernel set.
class Weights {
 public:
  Weights(ggml_type type, int64_t columns, int64_t rows, int64_t experts, const KernelSet* kernels, uint32_t seed)
      : ctx_(context()) {
    start_backend();
    tensor_ = experts > 1 ? ggml_new_tensor_3d(ctx_.get(), type, columns, rows, experts)
                          : ggml_new_tensor_2d(ctx_.get(), type, columns, rows);
    const LoadScope scope(kernels, 2, false);
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(
        ctx_.get(), kernels ? ggml_backend_cpu_get_extra_buffer_types().front() : ggml_backend_cpu_buffer_type()));
    const std::vector<float> values = Random(seed).row(static_cast<int>(columns * rows * experts), 0.05);
    std::vector<uint8_t> data(ggml_nbytes(tensor_));
    ggml_quantize_chunk(type, values.data(), data.data(), 0, rows * experts, columns, nullptr);
    ggml_backend_tensor_set(tensor_, data.data(), 0, data.size());
    exact_.resize(values.size());
    ggml_get_type_traits(type)->to_float(data.data(), exact_.data(), static_cast<int64_t>(values.size()));
  }
  ggml_tensor* tensor() { return tensor_; }
  const std::vector<float>& exact() const { return exact_; }  // what the quantised weights stand for

 private:
  GgmlContext ctx_;
  Buffer buffer_;
  ggml_tensor* tensor_;
  std::vector<float> exact_;
};

// Rows [first, first + n) of x (columns floats each) times the weights.
std::vector<float> product(Weights& weights, const std::vector<float>& x, int first, int n, int threads) {
  GgmlContext ctx = context();
  const int64_t columns = weights.tensor()->ne[0];
  ggml_tensor* source = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, columns, n);
  ggml_tensor* result = ggml_mul_mat(ctx.get(), weights.tensor(), source);
  const Buffer buffer(ggml_backend_alloc_ctx_tensors_from_buft(ctx.get(), ggml_backend_cpu_buffer_type()));
  std::memcpy(source->data, x.data() + first * columns, n * columns * sizeof(float));
  compute(ctx.get(), result, threads);
  const auto* out = static_cast<const float*>(result->data);
  return {out, out + ggml_nelements(result)};
}

bool same_bits(const float* a, const float* b, size_t n) { return std::memcmp(a, b, n * sizeof(float)) == 0; }

std::string name_of(ggml_type type, const KernelSet& set) { return std::string(ggml_type_name(type)) + " " + set.name; }

TEST("a row's product depends on the other rows, on its place or on the threads") {
  struct Shape {
    int columns, rows;
  };
  for (const KernelSet* set : sets())
    for (const ggml_type type : kTypes)
      for (const Shape shape : {Shape{256, 16}, Shape{512, 100}, Shape{1280, 33}}) {
        Weights weights(type, shape.columns, shape.rows, 1, set, 1);
        constexpr int kRows = 130;
        const std::vector<float> x = Random(2).row(shape.columns * kRows, 1);
        std::vector<float> alone;
        for (int j = 0; j < kRows; ++j) {
          const std::vector<float> one = product(weights, x, j, 1, 1);
          alone.insert(alone.end(), one.begin(), one.end());
        }
        for (const int n : {2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 31, 32, 33, 64, 65, 130})
          for (const int threads : {1, 2, 3}) {
            const int first = (n * 7 + threads) % (kRows - n + 1);
            const std::vector<float> together = product(weights, x, first, n, threads);
            if (!same_bits(together.data(), alone.data() + static_cast<size_t>(first) * shape.rows, together.size()))
              test::fail(__FILE__, __LINE__,
                         name_of(type, *set) + " " + std::to_string(shape.columns) + " x " +
                             std::to_string(shape.rows) + ", " + std::to_string(n) + " rows from " +
                             std::to_string(first) + " on " + std::to_string(threads) + " threads");
          }
      }
}

TEST("products are less precise than ggml's, or wrong") {
  for (const KernelSet* set : sets())
    for (const ggml_type type : kTypes) {
      constexpr int kColumns = 2048, kRows = 64, kBatch = 24;
      Weights ours(type, kColumns, kRows, 1, set, 3), theirs(type, kColumns, kRows, 1, nullptr, 3);
      // A few large numbers among small ones, as activations have them.
      std::vector<float> x = Random(4).row(kColumns * kBatch, 1);
      for (size_t i = 0; i < x.size(); i += 97) x[i] *= 12;
      const std::vector<float> a = product(ours, x, 0, kBatch, 2), b = product(theirs, x, 0, kBatch, 2);
      double our_error = 0, their_error = 0, size = 0;
      for (int j = 0; j < kBatch; ++j)
        for (int r = 0; r < kRows; ++r) {
          double exact = 0;
          for (int k = 0; k < kColumns; ++k)
            exact += static_cast<double>(ours.exact()[r * kColumns + k]) * x[j * kColumns + k];
          our_error += std::pow(a[j * kRows + r] - exact, 2);
          their_error += std::pow(b[j * kRows + r] - exact, 2);
          size += exact * exact;
        }
      our_error = std::sqrt(our_error / size);
      their_error = std::sqrt(their_error / size);
      std::printf("  %-14s relative error %.3g, ggml %.3g\n", name_of(type, *set).c_str(), our_error, their_error);
      // The same rounding of activations gives errors that agree to a few parts in a hundred.
      CHECK(our_error < 0.02);
      if (our_error > 1.02 * their_error)
        test::fail(__FILE__, __LINE__,
                   name_of(type, *set) + ": " + test::show(our_error) + " against " + test::show(their_error));
    }
}

TEST("kernels of one process differ from each other") {
  const std::vector<const KernelSet*> all = sets();
  for (const ggml_type type : kTypes) {
    if (type == GGML_TYPE_BF16) continue;  // AVX-512 BF16 rounds the activations, AVX2 needn't
    std::vector<float> first;
    for (const KernelSet* set : all) {
      Weights weights(type, 768, 50, 1, set, 5);
      const std::vector<float> out = product(weights, Random(6).row(768 * 9, 1), 0, 9, 2);
      if (first.empty()) first = out;
      if (!same_bits(first.data(), out.data(), out.size())) test::fail(__FILE__, __LINE__, name_of(type, *set));
    }
  }
}

TEST("products that share their activations use those of the run before") {
  for (const KernelSet* set : sets()) {
    Weights first(GGML_TYPE_Q4_0, 256, 32, 1, set, 7), second(GGML_TYPE_Q8_0, 256, 48, 1, set, 8);
    GgmlContext ctx = context();
    ggml_tensor* input = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, 256, 3);
    ggml_tensor* source = ggml_scale(ctx.get(), input, 2);
    ggml_tensor* a = ggml_mul_mat(ctx.get(), first.tensor(), source);
    ggml_tensor* b = ggml_mul_mat(ctx.get(), second.tensor(), source);
    const Buffer buffer(ggml_backend_alloc_ctx_tensors_from_buft(ctx.get(), ggml_backend_cpu_buffer_type()));
    ggml_cgraph* graph = ggml_new_graph(ctx.get());
    ggml_build_forward_expand(graph, a);
    ggml_build_forward_expand(graph, b);
    ThreadPoolHandle pool = make_thread_pool(2);
    ggml_cplan plan = ggml_graph_plan(graph, 2, pool.get());
    std::vector<uint8_t> work(plan.work_size);
    plan.work_data = work.data();
    for (uint32_t run = 0; run < 4; ++run) {
      std::vector<float> x = Random(100 + run).row(256 * 3, 1);
      std::memcpy(input->data, x.data(), x.size() * sizeof(float));
      ggml_graph_compute(graph, &plan);
      for (float& value : x) value *= 2;
      const std::vector<float> of_first = product(first, x, 0, 3, 1), of_second = product(second, x, 0, 3, 1);
      CHECK(same_bits(static_cast<float*>(a->data), of_first.data(), of_first.size()));
      CHECK(same_bits(static_cast<float*>(b->data), of_second.data(), of_second.size()));
    }
  }
}

TEST("an expert's product isn't that of a matrix of its own") {
  constexpr int kColumns = 256, kRows = 40, kExperts = 5, kUsed = 2, kTokens = 23;
  for (const KernelSet* set : sets())
    for (const ggml_type type : kTypes)
      for (const bool shared_input : {true, false}) {
        Weights weights(type, kColumns, kRows, kExperts, set, 9);
        GgmlContext ctx = context();
        ggml_tensor* source = ggml_new_tensor_3d(ctx.get(), GGML_TYPE_F32, kColumns, shared_input ? 1 : kUsed, kTokens);
        ggml_tensor* ids = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_I32, kUsed, kTokens);
        ggml_tensor* result = ggml_mul_mat_id(ctx.get(), weights.tensor(), source, ids);
        const Buffer buffer(ggml_backend_alloc_ctx_tensors_from_buft(ctx.get(), ggml_backend_cpu_buffer_type()));
        Random random(10);
        const std::vector<float> x = random.row(static_cast<int>(ggml_nelements(source)), 1);
        std::memcpy(source->data, x.data(), ggml_nbytes(source));
        for (int i = 0; i < kUsed * kTokens; ++i) static_cast<int32_t*>(ids->data)[i] = random.below(kExperts - 1);
        std::vector<float> once;
        for (const int threads : {1, 2, 5}) {
          compute(ctx.get(), result, threads);
          const auto* out = static_cast<const float*>(result->data);
          if (once.empty()) once.assign(out, out + ggml_nelements(result));
          CHECK(same_bits(once.data(), out, once.size()));
        }
        double error = 0, size = 0;
        for (int t = 0; t < kTokens; ++t)
          for (int s = 0; s < kUsed; ++s)
            for (int r = 0; r < kRows; ++r) {
              const int expert = static_cast<int32_t*>(ids->data)[t * kUsed + s];
              double exact = 0;
              for (int k = 0; k < kColumns; ++k)
                exact += static_cast<double>(weights.exact()[(expert * kRows + r) * kColumns + k]) *
                         x[(t * (shared_input ? 1 : kUsed) + (shared_input ? 0 : s)) * kColumns + k];
              error += std::pow(once[(t * kUsed + s) * kRows + r] - exact, 2);
              size += exact * exact;
            }
        if (std::sqrt(error / size) > 0.02) test::fail(__FILE__, __LINE__, name_of(type, *set));
      }
}

// --- attention

struct AttentionShape {
  int head, heads, key_heads, cells;
  float softcap = 0, max_bias = 0;
  bool sinks = false;
};

// Rows of queries that each see the cells up to `seen[row]`, some of them hidden.
class Attention {
 public:
  Attention(const AttentionShape& shape, int all_rows) : shape_(shape) {
    start_backend();
    Random random(11);
    q_ = random.row(shape.head * shape.heads * all_rows, 1);
    const auto halves = [&](int n) {
      std::vector<ggml_fp16_t> out(n);
      for (ggml_fp16_t& x : out) x = ggml_fp32_to_fp16(static_cast<float>(random.normal()));
      return out;
    };
    k_ = halves(shape.head * shape.key_heads * shape.cells);
    v_ = halves(shape.head * shape.key_heads * shape.cells);
    sinks_ = random.row(shape.heads, 1);
    for (int row = 0; row < all_rows; ++row)
      for (int cell = 0; cell < shape.cells; ++cell) {
        const bool visible = cell <= shape.cells / 2 + row % (shape.cells / 2) && (cell * 7 + row) % 5 != 0;
        // With a slope the mask holds distances.
        mask_.push_back(visible ? (shape.max_bias > 0 ? -0.01f * static_cast<float>(cell % 50) : 0)
                                : -std::numeric_limits<float>::infinity());
      }
  }

  // From now on a row sees the cells before `base`, and of the others those in `seen[row]` alone.
  void move(int base, const std::vector<std::vector<int>>& seen) {
    for (size_t row = 0; row < seen.size(); ++row)
      for (int cell = 0; cell < shape_.cells; ++cell) {
        const bool visible = cell < base || std::find(seen[row].begin(), seen[row].end(), cell) != seen[row].end();
        mask_[row * shape_.cells + cell] = visible ? 0 : -std::numeric_limits<float>::infinity();
      }
  }
  // One cell gets another one's key and value, a row another one's query.
  void copy_cell(int to, int from) {
    const int floats = shape_.head * shape_.key_heads;
    for (auto* cells : {&k_, &v_}) std::copy_n(cells->begin() + from * floats, floats, cells->begin() + to * floats);
  }
  void copy_cell_from(const Attention& other, int to, int from) {
    const int floats = shape_.head * shape_.key_heads;
    std::copy_n(other.k_.begin() + from * floats, floats, k_.begin() + to * floats);
    std::copy_n(other.v_.begin() + from * floats, floats, v_.begin() + to * floats);
  }
  void copy_query(int to, int from) {
    const int floats = shape_.head * shape_.heads;
    std::copy_n(q_.begin() + from * floats, floats, q_.begin() + to * floats);
  }

  // [row][head][value]
  std::vector<float> run(const KernelSet* set, int first, int n, int threads, bool has_branches = false,
                         bool has_sequences = false) {
    GgmlContext ctx = context();
    const auto& s = shape_;
    ggml_tensor* q = ggml_new_tensor_3d(ctx.get(), GGML_TYPE_F32, s.head, s.heads, n);
    ggml_tensor* k = ggml_new_tensor_3d(ctx.get(), GGML_TYPE_F16, s.head, s.key_heads, s.cells);
    ggml_tensor* v = ggml_new_tensor_3d(ctx.get(), GGML_TYPE_F16, s.head, s.key_heads, s.cells);
    ggml_tensor* mask = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F16, s.cells, n);
    ggml_tensor* sinks = ggml_new_tensor_1d(ctx.get(), GGML_TYPE_F32, s.heads);
    ggml_tensor* out = ggml_flash_attn_ext(ctx.get(), ggml_permute(ctx.get(), q, 0, 2, 1, 3),
                                           ggml_permute(ctx.get(), k, 0, 2, 1, 3), ggml_permute(ctx.get(), v, 0, 2, 1, 3),
                                           mask, scale(), s.max_bias, s.softcap);
    if (s.sinks) ggml_flash_attn_ext_add_sinks(out, sinks);
    const Buffer buffer(ggml_backend_alloc_ctx_tensors_from_buft(ctx.get(), ggml_backend_cpu_buffer_type()));
    std::memcpy(q->data, q_.data() + static_cast<size_t>(first) * s.head * s.heads, ggml_nbytes(q));
    std::memcpy(k->data, k_.data(), ggml_nbytes(k));
    std::memcpy(v->data, v_.data(), ggml_nbytes(v));
    std::memcpy(sinks->data, sinks_.data(), ggml_nbytes(sinks));
    for (int i = 0; i < n * s.cells; ++i)
      static_cast<ggml_fp16_t*>(mask->data)[i] = ggml_fp32_to_fp16(mask_[static_cast<size_t>(first) * s.cells + i]);
    const ComputeScope scope(set, has_branches, has_sequences);
    const uint64_t left = attention_left_to_ggml();
    compute(ctx.get(), out, threads);
    CHECK_EQUAL(attention_left_to_ggml(), left);
    const auto* data = static_cast<const float*>(out->data);
    return {data, data + ggml_nelements(out)};
  }

  // The same in double precision, of one row.
  std::vector<double> exact(int row) const {
    const auto& s = shape_;
    std::vector<double> out;
    for (int head = 0; head < s.heads; ++head) {
      const int key_head = head / (s.heads / s.key_heads);
      const double below = std::exp2(std::floor(std::log2(s.heads)));
      const double slope = s.max_bias <= 0 ? 1
                           : head < below  ? std::pow(2, -s.max_bias / below * (head + 1))
                                           : std::pow(2, -s.max_bias / 2 / below * (2 * (head - below) + 1));
      std::vector<double> weight(s.cells);
      double total = s.sinks ? std::exp(sinks_[head]) : 0;
      for (int cell = 0; cell < s.cells; ++cell) {
        const float hidden = mask_[row * s.cells + cell];
        if (std::isinf(hidden)) continue;
        double dot = 0;
        for (int d = 0; d < s.head; ++d)
          dot += static_cast<double>(q_[(row * s.heads + head) * s.head + d]) *
                 ggml_fp16_to_fp32(k_[(cell * s.key_heads + key_head) * s.head + d]);
        dot *= scale();
        if (s.softcap > 0) dot = s.softcap * std::tanh(dot / s.softcap);
        weight[cell] = std::exp(dot + slope * ggml_fp16_to_fp32(ggml_fp32_to_fp16(hidden)));
        total += weight[cell];
      }
      for (int d = 0; d < s.head; ++d) {
        double sum = 0;
        for (int cell = 0; cell < s.cells; ++cell)
          sum += weight[cell] * ggml_fp16_to_fp32(v_[(cell * s.key_heads + key_head) * s.head + d]);
        out.push_back(sum / total);
      }
    }
    return out;
  }

  size_t row_floats() const { return static_cast<size_t>(shape_.head) * shape_.heads; }

 private:
  float scale() const { return 1 / std::sqrt(static_cast<float>(shape_.head)); }

  AttentionShape shape_;
  std::vector<float> q_, mask_, sinks_;
  std::vector<ggml_fp16_t> k_, v_;
};

constexpr AttentionShape kAttentionShapes[] = {
    {64, 9, 3, 512}, {128, 4, 4, 256}, {16, 8, 1, 256, 30}, {80, 6, 2, 256, 0, 8}, {64, 8, 2, 1024, 0, 0, true},
    {256, 2, 1, 256, 50, 0, true}};

TEST("a query's attention depends on the other rows, on its place or on the threads") {
  constexpr int kRows = 140;
  for (const AttentionShape& shape : kAttentionShapes) {
    Attention attention(shape, kRows);
    std::vector<float> first_set;
    for (const KernelSet* set : sets()) {
      std::vector<float> alone;
      for (int row = 0; row < kRows; ++row) {
        const std::vector<float> one = attention.run(set, row, 1, 1);
        alone.insert(alone.end(), one.begin(), one.end());
      }
      if (first_set.empty()) first_set = alone;
      CHECK(same_bits(first_set.data(), alone.data(), alone.size()));
      for (const int n : {1, 2, 3, 5, 9, 17, 33, 64, 65, 140})
        for (const int threads : {1, 2, 3, 7}) {
          const int first = (n * 5 + threads) % (kRows - n + 1);
          const std::vector<float> together = attention.run(set, first, n, threads);
          if (!same_bits(together.data(), alone.data() + first * attention.row_floats(), together.size()))
            test::fail(__FILE__, __LINE__,
                       std::string(set->name) + ", head " + std::to_string(shape.head) + ", " + std::to_string(n) +
                           " rows on " + std::to_string(threads) + " threads");
        }
    }
  }
}

TEST("a row beside a token tree's chain gets another attention than it would in the chain") {
  // Rows 0 to 3 are root and chain in cells base to base + 3; row 4 is a leaf under row 1, in the cell behind them.
  for (const AttentionShape& shape : kAttentionShapes) {
    if (shape.max_bias > 0) continue;  // whose masks hold distances, which this test doesn't model
    for (const int base : {5, 60, 61, 62, 63, 64, 126, 200}) {
      Attention tree(shape, 5), chain(shape, 5);
      tree.move(base, {{base},
                       {base, base + 1},
                       {base, base + 1, base + 2},
                       {base, base + 1, base + 2, base + 3},
                       {base, base + 1, base + 4}});
      chain.move(base, {{base}, {base, base + 1}, {base, base + 1, base + 2}});
      chain.copy_cell(base + 2, base + 4);
      tree.copy_query(4, 2);
      const size_t row = tree.row_floats();
      for (const KernelSet* set : sets())
        for (const int threads : {1, 3}) {
          const std::vector<float> in_tree = tree.run(set, 0, 5, threads, true);
          const std::vector<float> in_chain = chain.run(set, 0, 3, threads);
          if (!same_bits(in_tree.data(), in_chain.data(), 2 * row) ||
              !same_bits(in_tree.data() + 4 * row, in_chain.data() + 2 * row, row))
            test::fail(__FILE__, __LINE__,
                       std::string(set->name) + ", head " + std::to_string(shape.head) + ", from cell " +
                           std::to_string(base) + " on " + std::to_string(threads) + " threads");
        }
    }
  }
}

TEST("a sequence's attention depends on the cells that others have between its own") {
  constexpr int kSequences = 3;
  for (const AttentionShape& shape : kAttentionShapes) {
    if (shape.max_bias > 0) continue;  // whose masks hold distances, which this test doesn't model
    for (const int prompt : {0, 40}) {
      // Each sequence has `prompt` cells side by side, then every third one; its last `chain` tokens are in the batch.
      for (const int chain : {1, 7}) {
        const int length = shape.cells / kSequences;
        if (prompt + chain > length) continue;
        const int rows = kSequences * chain;
        const Attention source(shape, rows);
        Attention together(shape, rows);
        const auto cell_of = [&](int seq, int i) {
          return i < prompt ? seq * prompt + i : kSequences * i + seq;
        };
        std::vector<std::vector<int>> seen(rows);
        for (int seq = 0; seq < kSequences; ++seq)
          for (int row = 0; row < chain; ++row)
            for (int i = 0; i <= length - chain + row; ++i) seen[seq * chain + row].push_back(cell_of(seq, i));
        together.move(0, seen);
        for (int seq = 0; seq < kSequences; ++seq) {
          Attention alone(shape, rows);
          std::vector<std::vector<int>> own(rows);
          for (int row = 0; row < chain; ++row)
            for (int i = 0; i <= length - chain + row; ++i) own[seq * chain + row].push_back(i);
          alone.move(0, own);
          for (int i = 0; i < length; ++i) alone.copy_cell_from(source, i, cell_of(seq, i));
          for (const KernelSet* set : sets())
            for (const int threads : {1, 3}) {
              const std::vector<float> all = together.run(set, 0, rows, threads, false, true);
              const std::vector<float> one = alone.run(set, seq * chain, chain, threads);
              if (!same_bits(all.data() + seq * chain * together.row_floats(), one.data(), one.size()))
                test::fail(__FILE__, __LINE__,
                           std::string(set->name) + ", head " + std::to_string(shape.head) + ", prompt " +
                               std::to_string(prompt) + ", chain " + std::to_string(chain) + " on " +
                               std::to_string(threads) + " threads");
            }
        }
      }
    }
  }
}

TEST("attention is less precise than ggml's, or wrong") {
  constexpr int kRows = 7;
  for (const AttentionShape& shape : kAttentionShapes) {
    Attention attention(shape, kRows);
    for (const KernelSet* set : sets()) {
      const std::vector<float> ours = attention.run(set, 0, kRows, 2), theirs = attention.run(nullptr, 0, kRows, 2);
      double our_error = 0, their_error = 0, size = 0;
      for (int row = 0; row < kRows; ++row) {
        const std::vector<double> exact = attention.exact(row);
        for (size_t i = 0; i < exact.size(); ++i) {
          our_error += std::pow(ours[row * exact.size() + i] - exact[i], 2);
          their_error += std::pow(theirs[row * exact.size() + i] - exact[i], 2);
          size += exact[i] * exact[i];
        }
      }
      our_error = std::sqrt(our_error / size);
      their_error = std::sqrt(their_error / size);
      CHECK(our_error < 1e-5);
      CHECK(our_error <= their_error);
    }
  }
}

}  // namespace
}  // namespace adaptive_spec
