// Who computes what: output rows are cut into one range per thread, columns into tiles.
//
// The activations are quantised once for all products that share them (query, key and value; gate and up). Where they
// are few, each thread does it for itself and waits for nobody; where they are many, the threads share the work and
// meet at one barrier.
#include "kernels/matmul.h"

#include <ggml.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <vector>

#include <ggml-cpu-impl.h>

#include "kernels/pack.h"

namespace adaptive_spec {
namespace {

// Up to so many columns one pass over the weights serves all; more are cut, so that their panels stay in the cache.
constexpr int64_t kColumnsPerPass = 64;
// Up to so many numbers a thread quantises everything for itself: sharing would cost a barrier, which costs more the
// more threads meet. With two threads some 6,000 is 5 % faster for nine rows of a small model than 16,384, and no slower
// than less; how it grows is an assumption.
constexpr int64_t kSharedFrom = 5888, kSharedFromPerThread = 128;

struct Free {
  void operator()(void* p) const { std::free(p); }
};

// Memory that grows and is kept; its contents don't survive growing.
class Scratch {
 public:
  uint8_t* of(size_t bytes) {
    if (bytes > size_) {
      size_ = (bytes + 4095) / 4096 * 4096;
      memory_.reset(static_cast<uint8_t*>(std::aligned_alloc(4096, size_)));
      if (!memory_) {
        size_ = 0;
        throw std::bad_alloc();
      }
    }
    return memory_.get();
  }

 private:
  std::unique_ptr<uint8_t, Free> memory_;
  size_t size_ = 0;
};

// What this thread holds in packed form.
struct Kept {
  const ggml_tensor* source = nullptr;
  const KernelSet* kernels = nullptr;
  PanelKind kind{};
  int most_columns = 0;
  // Products that were served: one that comes again is of another run of the graph.
  std::array<const ggml_tensor*, 8> served{};
  size_t count = 0;
};

struct ThreadState {
  Scratch panels;
  Kept kept;
  std::vector<const float*> columns;
  std::vector<float*> outputs;
};
thread_local ThreadState state;

// How a node's columns are cut into tiles, and where the tiles' panels lie.
struct Tiling {
  const KernelSet& kernels;
  Format format;
  PanelKind kind;
  int blocks, most;
  int64_t columns, tiles;

  Tiling(const KernelSet& kernels, const PackedShape& shape, int64_t columns)
      : kernels(kernels),
        format(shape.format),
        kind(kernels.panel_kinds[static_cast<int>(format)]),
        blocks(shape.blocks()),
        most(kernels.columns[static_cast<int>(format)]),
        columns(columns),
        tiles((columns + most - 1) / most) {}

  int64_t first(int64_t tile) const { return columns * tile / tiles; }
  int width(int64_t tile) const { return static_cast<int>(first(tile + 1) - first(tile)); }
  size_t column_bytes() const {
    constexpr size_t kBytes[] = {kInt8PanelBytes, kFloatPanelBytes, kBFloat16PanelBytes};
    return kBytes[static_cast<int>(kind)] * blocks;
  }
  size_t bytes() const { return column_bytes() * columns; }
  void* panel(uint8_t* panels, int64_t tile) const { return panels + column_bytes() * first(tile); }

  // Blocks [begin, end) of all columns.
  void fill(const float* const* sources, int begin, int end, uint8_t* panels) const {
    const PanelFunction function = kernels.panels[static_cast<int>(kind)];
    for (int64_t t = 0; t < tiles; ++t) function(sources + first(t), width(t), begin, end, panel(panels, t));
  }
};

// Groups [begin, end) times all columns; `outputs` are the columns' first rows.
void multiply_groups(const Tiling& tiling, const PackedShape& shape, const uint8_t* weights, int64_t begin, int64_t end,
                     uint8_t* panels, float* const* outputs) {
  const TileFunction* functions = tiling.kernels.tiles[static_cast<int>(tiling.format)];
  const size_t group_bytes = shape.group_bytes();
  float* out[kMaxColumns];
  const int64_t tiles_per_pass = std::max<int64_t>(1, kColumnsPerPass / tiling.most);
  for (int64_t pass = 0; pass < tiling.tiles; pass += tiles_per_pass) {
    const int64_t pass_end = std::min(tiling.tiles, pass + tiles_per_pass);
    for (int64_t g = begin; g < end; ++g) {
      const int rows = static_cast<int>(std::min<int64_t>(kGroupRows, shape.rows - g * kGroupRows));
      for (int64_t t = pass; t < pass_end; ++t) {
        const int width = tiling.width(t);
        for (int j = 0; j < width; ++j) out[j] = outputs[tiling.first(t) + j] + g * kGroupRows;
        functions[width - 1](weights + g * group_bytes, tiling.blocks, tiling.panel(panels, t), out, rows);
      }
    }
  }
}

template <class T>
T* at(const ggml_tensor* t, int64_t i1, int64_t i2, int64_t i3 = 0) {
  return reinterpret_cast<T*>(static_cast<char*>(t->data) + i1 * t->nb[1] + i2 * t->nb[2] + i3 * t->nb[3]);
}

bool is_shared(const Tiling& tiling, int threads) {
  return threads > 1 && tiling.columns * tiling.blocks * kBlockWeights > kSharedFrom + kSharedFromPerThread * threads;
}

// This thread's own panels of the node's activations, quantised unless the node before had the same.
uint8_t* own_panels(const Tiling& tiling, const ggml_tensor* op) {
  Kept& kept = state.kept;
  const ggml_tensor* source = op->src[1];
  const auto served_end = kept.served.begin() + kept.count;
  uint8_t* panels = state.panels.of(tiling.bytes());
  const bool again = kept.source == source && kept.kernels == &tiling.kernels && kept.kind == tiling.kind &&
                     kept.most_columns == tiling.most && kept.count < kept.served.size() &&
                     std::find(kept.served.begin(), served_end, op) == served_end;
  if (!again) {
    tiling.fill(state.columns.data(), 0, tiling.blocks, panels);
    // Only the result of a node can be recognised; an input or a view of one may hold other numbers next time.
    const bool recognisable = source->op != GGML_OP_NONE && !source->view_src;
    kept = {recognisable ? source : nullptr, &tiling.kernels, tiling.kind, tiling.most, {}, 0};
  }
  if (kept.count < kept.served.size()) kept.served[kept.count++] = op;
  return panels;
}

void multiply_plain(const KernelSet& kernels, const ggml_compute_params* params, ggml_tensor* op) {
  const ggml_tensor* source = op->src[1];
  const PackedShape shape = packed_shape(op->src[0]);
  state.columns.clear();
  state.outputs.clear();
  for (int64_t i3 = 0; i3 < source->ne[3]; ++i3)
    for (int64_t i2 = 0; i2 < source->ne[2]; ++i2)
      for (int64_t i1 = 0; i1 < source->ne[1]; ++i1) {
        state.columns.push_back(at<const float>(source, i1, i2, i3));
        state.outputs.push_back(at<float>(op, i1, i2, i3));
      }
  const Tiling tiling(kernels, shape, static_cast<int64_t>(state.columns.size()));
  uint8_t* panels;
  if (is_shared(tiling, params->nth)) {
    panels = static_cast<uint8_t*>(params->wdata);
    tiling.fill(state.columns.data(), tiling.blocks * params->ith / params->nth,
                tiling.blocks * (params->ith + 1) / params->nth, panels);
    ggml_barrier(params->threadpool);
  } else {
    panels = own_panels(tiling, op);
  }
  const int64_t groups = shape.groups();
  multiply_groups(tiling, shape, static_cast<const uint8_t*>(op->src[0]->data), groups * params->ith / params->nth,
                  groups * (params->ith + 1) / params->nth, panels, state.outputs.data());
}

// Row `slot` of token `token` goes through the expert that ids names; each expert serves all its rows in one pass.
void multiply_by_expert(const KernelSet& kernels, const ggml_compute_params* params, ggml_tensor* op) {
  const ggml_tensor *weights = op->src[0], *source = op->src[1], *ids = op->src[2];
  const PackedShape shape = packed_shape(weights);
  const int64_t experts = weights->ne[2], slots = ids->ne[0], tokens = ids->ne[1];
  // Rows by expert: every thread sorts them for itself, which is little beside waiting for one that does.
  std::vector<int64_t> starts(experts + 1, 0);
  const auto expert_of = [&](int64_t slot, int64_t token) {
    return *reinterpret_cast<const int32_t*>(static_cast<const char*>(ids->data) + token * ids->nb[1] +
                                             slot * ids->nb[0]);
  };
  for (int64_t token = 0; token < tokens; ++token)
    for (int64_t slot = 0; slot < slots; ++slot) {
      const int32_t expert = expert_of(slot, token);
      GGML_ASSERT(expert >= 0 && expert < experts);
      ++starts[expert + 1];
    }
  for (int64_t e = 0; e < experts; ++e) starts[e + 1] += starts[e];
  std::vector<int64_t> next(starts.begin(), starts.end() - 1);
  state.columns.assign(slots * tokens, nullptr);
  state.outputs.assign(slots * tokens, nullptr);
  for (int64_t token = 0; token < tokens; ++token)
    for (int64_t slot = 0; slot < slots; ++slot) {
      const int64_t i = next[expert_of(slot, token)]++;
      state.columns[i] = at<const float>(source, slot % source->ne[1], token);
      state.outputs[i] = at<float>(op, slot, token);
    }
  auto* panels = static_cast<uint8_t*>(params->wdata);
  const auto each_expert = [&](auto&& use) {
    for (int64_t e = 0; e < experts; ++e) {
      const int64_t rows = starts[e + 1] - starts[e];
      if (rows == 0) continue;
      const Tiling tiling(kernels, shape, rows);
      use(e, tiling, panels + tiling.column_bytes() * starts[e]);
    }
  };
  each_expert([&](int64_t e, const Tiling& tiling, uint8_t* own) {
    tiling.fill(state.columns.data() + starts[e], tiling.blocks * params->ith / params->nth,
                tiling.blocks * (params->ith + 1) / params->nth, own);
  });
  ggml_barrier(params->threadpool);
  const int64_t groups = shape.groups();
  each_expert([&](int64_t e, const Tiling& tiling, uint8_t* own) {
    multiply_groups(tiling, shape, static_cast<const uint8_t*>(weights->data) + e * shape.bytes(),
                    groups * params->ith / params->nth, groups * (params->ith + 1) / params->nth, own,
                    state.outputs.data() + starts[e]);
  });
}

}  // namespace

bool can_multiply(const ggml_tensor* op) {
  const ggml_tensor *weights = op->src[0], *source = op->src[1];
  if (op->op != GGML_OP_MUL_MAT && op->op != GGML_OP_MUL_MAT_ID) return false;
  if (!packed_format(weights->type, weights->ne[0]) || weights->view_src) return false;
  if (op->op == GGML_OP_MUL_MAT && ggml_get_op_params_i32(op, 1) == GGML_HINT_SRC0_IS_HADAMARD) return false;
  const int experts_at = op->op == GGML_OP_MUL_MAT ? 2 : 3;
  for (int i = experts_at; i < GGML_MAX_DIMS; ++i)
    if (weights->ne[i] != 1) return false;
  return source->type == GGML_TYPE_F32 && source->nb[0] == sizeof(float) && op->type == GGML_TYPE_F32;
}

size_t multiply_scratch(const KernelSet& kernels, const ggml_tensor* op) {
  const int64_t columns = op->ne[1] * op->ne[2] * op->ne[3];
  return Tiling(kernels, packed_shape(op->src[0]), columns).bytes();
}

void multiply(const KernelSet& kernels, const ggml_compute_params* params, ggml_tensor* op) {
  if (op->op == GGML_OP_MUL_MAT)
    multiply_plain(kernels, params, op);
  else
    multiply_by_expert(kernels, params, op);
}

void forget_activations() { state.kept.source = nullptr; }

}  // namespace adaptive_spec
