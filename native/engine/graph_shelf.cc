// The one file that reads a private part of llama.cpp: which members a context keeps its last graph in.
#include "engine/graph_shelf.h"

#include <llama-context.h>
#include <llama-graph.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace adaptive_spec {
namespace {

// Each shape has a compute buffer of its own, which grows with its rows: larger batches share the one that
// llama.cpp has reserved.
constexpr int kMostRows = 32;
constexpr size_t kMostShapes = 8;

// An explicit instantiation may name private members, and fails to compile where a release has them otherwise.
template <class Tag, typename Tag::Type member>
struct Opened {
  friend typename Tag::Type open(Tag) { return member; }
};
struct Scheduler {
  using Type = ggml_backend_sched_ptr llama_context::*;
  friend Type open(Scheduler);
};
struct Results {
  using Type = std::array<llm_graph_result_ptr, 2> llama_context::*;
  friend Type open(Results);
};
struct ActiveResult {
  using Type = llm_graph_result* llama_context::*;
  friend Type open(ActiveResult);
};
struct Backends {
  using Type = std::vector<ggml_backend_t> llama_context::*;
  friend Type open(Backends);
};
struct BufferTypes {
  using Type = std::vector<ggml_backend_buffer_type_t> llama_context::*;
  friend Type open(BufferTypes);
};
template struct Opened<Scheduler, &llama_context::sched>;
template struct Opened<Results, &llama_context::gf_res_prev>;
template struct Opened<ActiveResult, &llama_context::gf_res_prev_active>;
template struct Opened<Backends, &llama_context::backend_ptrs>;
template struct Opened<BufferTypes, &llama_context::backend_buft>;

struct Shape {
  int rows = 0, rows_with_logits = 0;
  uint64_t last_use = 0;
  // Empty while the context has them.
  ggml_backend_sched_ptr scheduler;
  std::array<llm_graph_result_ptr, 2> results;
  llm_graph_result* active = nullptr;
};

}  // namespace

struct GraphShelf::Shelf {
  llama_context& context;
  // The first is that of all large batches, and what the context began with.
  std::vector<Shape> shapes = std::vector<Shape>(1);
  size_t current = 0;
  uint64_t uses = 0;

  size_t find(int rows, int rows_with_logits) {
    if (rows > kMostRows) return 0;
    const auto found = std::find_if(shapes.begin() + 1, shapes.end(), [&](const Shape& s) {
      return s.rows == rows && s.rows_with_logits == rows_with_logits;
    });
    size_t i = static_cast<size_t>(found - shapes.begin());
    if (found == shapes.end() && shapes.size() <= kMostShapes) {
      Shape shape;
      auto& backends = context.*open(Backends());
      shape.scheduler.reset(ggml_backend_sched_new(backends.data(), (context.*open(BufferTypes())).data(),
                                                   static_cast<int>(backends.size()),
                                                   context.get_gf_res_reserve()->get_max_nodes(), false,
                                                   context.get_cparams().op_offload));
      shapes.push_back(std::move(shape));
    } else if (found == shapes.end()) {
      const auto older = [](const Shape& a, const Shape& b) { return a.last_use < b.last_use; };
      i = static_cast<size_t>(std::min_element(shapes.begin() + 1, shapes.end(), older) - shapes.begin());
    }
    shapes[i].rows = rows;
    shapes[i].rows_with_logits = rows_with_logits;
    shapes[i].last_use = ++uses;
    return i;
  }

  void swap(Shape& shape) {
    std::swap(context.*open(Scheduler()), shape.scheduler);
    std::swap(context.*open(Results()), shape.results);
    std::swap(context.*open(ActiveResult()), shape.active);
  }

  void use(size_t i) {
    if (i == current) return;
    swap(shapes[current]);
    swap(shapes[i]);
    current = i;
  }
};

GraphShelf::GraphShelf(llama_context* context) : shelf_(new Shelf{*context}) {}

// The context takes down what it has made itself.
GraphShelf::~GraphShelf() { shelf_->use(0); }

void GraphShelf::take(int rows, int rows_with_logits) { shelf_->use(shelf_->find(rows, rows_with_logits)); }

}  // namespace adaptive_spec
