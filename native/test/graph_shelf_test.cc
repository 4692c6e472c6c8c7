// Graphs of several batch shapes are kept, and a kept graph computes what a new one would.
#include "engine/graph_shelf.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/context.h"
#include "test/harness.h"

namespace adaptive_spec {
namespace {

class Decoder {
 public:
  Decoder() : context_(load().get(), {.context_size = 512, .max_rows = 48}, pool_.get(), &abort_) {}

  // Rows behind the first three tokens; the logits of the last one.
  std::vector<float> decode(int rows) {
    context_.keep(0, 3);
    context_.clear_batch();
    for (int i = context_.length(0); i < 3 + rows; ++i) context_.add(i % 7, i, 0, i >= 3);
    CHECK(context_.decode() == DecodeStatus::kOk);
    const float* logits = context_.logits(context_.rows() - 1);
    return {logits, logits + context_.n_vocab()};
  }
  int reused() { return llama_perf_context(context_.get()).n_reused; }

 private:
  static ModelHandle load() {
    const char* folder = std::getenv("ADAPTIVE_SPEC_TINY_MODELS");
    if (!folder) throw std::runtime_error("set ADAPTIVE_SPEC_TINY_MODELS to where test/tiny-models.ts wrote them");
    start_backend();
    static const ModelHandle model = load_model({.path = std::string(folder) + "/target.gguf"});
    return model;
  }

  std::atomic<bool> abort_ = false;
  ThreadPoolHandle pool_ = make_thread_pool(1);
  Context context_;
};

TEST("graphs: shapes in turn are built once each") {
  Decoder decoder;
  for (const int rows : {1, 3, 2, 9}) decoder.decode(rows);
  decoder.decode(1);  // the first pass had the three tokens before it too
  const int before = decoder.reused();
  for (int turn = 0; turn < 3; ++turn)
    for (const int rows : {3, 1, 9, 2}) decoder.decode(rows);
  CHECK(decoder.reused() - before == 12);
}

TEST("graphs: one that was kept gives the logits of a new one, as do shapes that had to make room") {
  Decoder decoder;
  const auto alone = [](int rows) { return Decoder().decode(rows); };
  for (int turn = 0; turn < 2; ++turn)
    for (int rows = 1; rows <= 40; rows += turn == 0 ? 3 : 1) CHECK(decoder.decode(rows) == alone(rows));
}

}  // namespace
}  // namespace adaptive_spec
