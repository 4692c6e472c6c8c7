// ggml asks the extra buffer types of its CPU backend three things: whether they want a weight (while a model is
// loaded), memory for it, and, at every node of a graph, whether they compute it.
#include "kernels/buffer_type.h"

#include <ggml-backend-impl.h>
#include <ggml-cpu.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <traits.h>

#include "kernels/attention.h"
#include "kernels/matmul.h"
#include "kernels/pack.h"

namespace adaptive_spec {
namespace {

// What LoadScope says.
struct Load {
  const KernelSet* kernels = nullptr;
  int threads = 1;
  bool lock = false;
};
thread_local Load load;
thread_local AttentionCall attention_call;
thread_local uint64_t left_to_ggml = 0;

// Hangs on each repacked weight (ggml_tensor::extra) and computes its products. One for each kernel set.
class ProductTraits final : public ggml::cpu::tensor_traits {
 public:
  explicit ProductTraits(const KernelSet& kernels) : kernels_(kernels) {}
  bool work_size(int, const ggml_tensor* op, size_t& size) override {
    size = multiply_scratch(kernels_, op);
    return true;
  }
  bool compute_forward(ggml_compute_params* params, ggml_tensor* op) override {
    multiply(kernels_, params, op);
    return true;
  }
  const KernelSet& kernels() const { return kernels_; }

 private:
  const KernelSet& kernels_;
};

ProductTraits* traits_of(const KernelSet& kernels) {
  static std::mutex mutex;
  static std::vector<std::unique_ptr<ProductTraits>> all;
  const std::lock_guard lock(mutex);
  for (const auto& traits : all)
    if (&traits->kernels() == &kernels) return traits.get();
  return all.emplace_back(std::make_unique<ProductTraits>(kernels)).get();
}

// Attention's inputs are no weights, so the choice stands on the node: ggml asks for the work size on the thread that
// starts a graph, before its threads compute; there the node is marked with that thread's choice, or with none.
class AttentionTraits final : public ggml::cpu::tensor_traits {
 public:
  bool work_size(int threads, const ggml_tensor* op, size_t& size) override {
    const_cast<ggml_tensor*>(op)->extra = attention_call.kernels ? &attention_call : nullptr;
    if (!attention_call.kernels) return false;
    size = attend_scratch(op, threads);
    return true;
  }
  bool compute_forward(ggml_compute_params* params, ggml_tensor* op) override {
    if (!op->extra) return false;
    attend(*static_cast<const AttentionCall*>(op->extra), params, op);
    return true;
  }
};

ggml_backend_buffer_type_t buffer_type();

bool is_ours(const ggml_tensor* weights) { return weights->buffer && weights->buffer->buft == buffer_type(); }

class ExtraBufferType final : public ggml::cpu::extra_buffer_type {
 public:
  bool supports_op(ggml_backend_dev_t, const ggml_tensor* op) override {
    if (!op->src[0] || !is_ours(op->src[0]) || !can_multiply(op)) return false;
    if (op->src[1]->buffer && !ggml_backend_buft_is_host(op->src[1]->buffer->buft)) return false;
    // While a model is loaded, the weight has no memory yet and ggml asks whether we want it.
    return op->src[0]->extra || load.kernels;
  }
  ggml::cpu::tensor_traits* get_tensor_traits(const ggml_tensor* op) override {
    switch (op->op) {
      case GGML_OP_MUL_MAT:
      case GGML_OP_MUL_MAT_ID:
        return is_ours(op->src[0]) ? static_cast<ggml::cpu::tensor_traits*>(op->src[0]->extra) : nullptr;
      // What stands between the products that share their activations, and writes none.
      case GGML_OP_ROPE:
      case GGML_OP_ADD:
      case GGML_OP_RMS_NORM:
      case GGML_OP_SET_ROWS:
      case GGML_OP_CPY:
      case GGML_OP_CONT:
        return nullptr;
      case GGML_OP_FLASH_ATTN_EXT:
        forget_activations();
        if (can_attend(op)) return &attention_;
        left_to_ggml += attention_call.kernels != nullptr;
        return nullptr;
      default:
        forget_activations();
        return nullptr;
    }
  }

 private:
  AttentionTraits attention_;
};

// Memory in huge pages where the system has them: without, looking up pages takes a third of the bandwidth.
class Memory {
 public:
  static constexpr size_t kHugePage = 2 << 20;

  static Memory* allocate(size_t size, bool lock) {
    const size_t mapped = (size + kHugePage - 1) / kHugePage * kHugePage + kHugePage;
    void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    auto* memory = new Memory(base, mapped);
#ifdef MADV_HUGEPAGE
    madvise(memory->data_, mapped - kHugePage, MADV_HUGEPAGE);
#endif
    // As llama.cpp does: what can't be locked (ulimit -l) is used all the same.
    if (lock) static_cast<void>(mlock(memory->data_, size));
    return memory;
  }
  ~Memory() { munmap(base_, mapped_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data() const { return data_; }

 private:
  Memory(void* base, size_t mapped) : base_(base), mapped_(mapped) {
    const auto address = reinterpret_cast<uintptr_t>(base);
    data_ = reinterpret_cast<void*>((address + kHugePage - 1) / kHugePage * kHugePage);
  }
  void *base_, *data_;
  size_t mapped_;
};

// Experts are matrices one after the other.
int64_t matrices(const ggml_tensor* weights) { return weights->ne[2] * weights->ne[3]; }

void free_buffer(ggml_backend_buffer_t buffer) { delete static_cast<Memory*>(buffer->context); }

void* get_base(ggml_backend_buffer_t buffer) { return static_cast<Memory*>(buffer->context)->data(); }

ggml_status init_tensor(ggml_backend_buffer_t, ggml_tensor* weights) {
  weights->extra = load.kernels ? traits_of(*load.kernels) : nullptr;
  return weights->extra ? GGML_STATUS_SUCCESS : GGML_STATUS_FAILED;
}

// Each thread packs one range of groups: as contiguous as the ranges that the threads will read.
void set_tensor(ggml_backend_buffer_t, ggml_tensor* weights, const void* data, size_t offset, size_t size) {
  GGML_ASSERT(offset == 0 && size == ggml_nbytes(weights));  // llama.cpp sets a weight in one piece
  const PackedShape shape = packed_shape(weights);
  const int64_t groups = shape.groups();
  // A thread for less than a megabyte takes longer to start than to run.
  const int threads = static_cast<int>(std::clamp<int64_t>(static_cast<int64_t>(size >> 20), 1, load.threads));
  const auto pack_range = [&](int i) {
    for (int64_t m = 0; m < matrices(weights); ++m)
      pack(shape, static_cast<const char*>(data) + m * weights->nb[2], groups * i / threads, groups * (i + 1) / threads,
           static_cast<uint8_t*>(weights->data) + m * shape.bytes());
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(pack_range, i);
  pack_range(0);
}

const char* get_name(ggml_backend_buffer_type_t) { return "ADAPTIVE_SPEC"; }

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t size) {
  Memory* memory = Memory::allocate(size, load.lock);
  if (!memory) return nullptr;
  ggml_backend_buffer_i interface{};
  interface.free_buffer = free_buffer;
  interface.get_base = get_base;
  interface.init_tensor = init_tensor;
  interface.set_tensor = set_tensor;
  return ggml_backend_buffer_init(type, interface, memory, size);
}

size_t get_alignment(ggml_backend_buffer_type_t) { return 64; }

size_t get_alloc_size(ggml_backend_buffer_type_t, const ggml_tensor* weights) {
  if (!packed_format(weights->type, weights->ne[0])) return ggml_nbytes(weights);
  return packed_shape(weights).bytes() * matrices(weights);
}

ggml_backend_buffer_type_t buffer_type() {
  static ggml_backend_buffer_type type = [] {
    ggml_backend_buffer_type t{};
    t.iface.get_name = get_name;
    t.iface.alloc_buffer = alloc_buffer;
    t.iface.get_alignment = get_alignment;
    t.iface.get_alloc_size = get_alloc_size;
    t.device = ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0);
    t.context = new ExtraBufferType;  // as long as the process, like ggml's own
    return t;
  }();
  return &type;
}

}  // namespace

void install_kernels() {
  auto& types = ggml_backend_cpu_get_extra_buffer_types();
  types.insert(types.begin(), buffer_type());
}

LoadScope::LoadScope(const KernelSet* kernels, int threads, bool lock) { load = {kernels, std::max(1, threads), lock}; }
LoadScope::~LoadScope() { load = {}; }

ComputeScope::ComputeScope(const KernelSet* kernels, bool has_branches, bool has_sequences) {
  static std::atomic<uint64_t> batches{0};
  before_ = std::exchange(attention_call, {kernels, has_branches, has_sequences, ++batches});
}
ComputeScope::~ComputeScope() { attention_call = before_; }

uint64_t attention_left_to_ggml() { return left_to_ggml; }

}  // namespace adaptive_spec
