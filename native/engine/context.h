// Owned handles for what llama.cpp gives out, and the one place that calls llama_decode.
#pragma once

#include <llama.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/context_threads.h"
#include "engine/graph_shelf.h"
#include "kernels/kernel_set.h"

namespace adaptive_spec {

// An error with one of the package's codes; JavaScript turns it into an AdaptiveSpecError.
struct EngineError : std::runtime_error {
  EngineError(std::string code, const std::string& message, std::string hint)
      : std::runtime_error(message), code(std::move(code)), hint(std::move(hint)) {}
  std::string code, hint;
};

struct ModelDeleter {
  void operator()(llama_model* p) const { llama_model_free(p); }
};
struct ContextDeleter {
  void operator()(llama_context* p) const { llama_free(p); }
};
struct ThreadPoolDeleter {
  void operator()(struct ggml_threadpool* p) const;
};
using ModelHandle = std::shared_ptr<llama_model>;  // engines of one process share weights
using ContextHandle = std::unique_ptr<llama_context, ContextDeleter>;
using ThreadPoolHandle = std::shared_ptr<struct ggml_threadpool>;  // and threads (pool_share.h)

// Once per process: llama.cpp's globals, and its log kept to the last error of each thread.
void start_backend();

// The kernels of that name (kernels/instruction_set.h); null for ggml's own. Throws EngineError UNSUPPORTED.
const KernelSet* find_kernels(const std::string& name);

struct ModelOptions {
  std::string path;
  bool mmap = true, mlock = false;
  bool mtp = false;                    // with its MTP layers, where it has some
  const KernelSet* kernels = nullptr;  // null is ggml's own
  int threads = 1;                     // to repack the weights
  std::string placement;               // of memory, by the engine's `numa`
  std::function<bool(float)> progress;  // 0 to 1; answers false to give up
};
// One that is loaded already, in the same way, is shared. Throws EngineError MODEL_INVALID with what llama.cpp said.
ModelHandle load_model(const ModelOptions& options);

ThreadPoolHandle make_thread_pool(int threads);

struct ContextOptions {
  int context_size = 0;  // tokens per sequence
  int parallel = 1;      // sequences
  int branches = 0;      // of each sequence in one batch, besides the sequence itself
  int max_rows = 0;      // rows with logits in one batch
  int batch_size = 512;  // rows in one batch
  int threads = 1;
  std::string kv_type = "f16";
  int flash_attention = -1;  // -1 our own where it can be had, else none; 0 none; 1 ours or ggml's
  const KernelSet* kernels = nullptr;  // null is ggml's own
};

enum class DecodeStatus { kOk, kAborted, kFailed };

// A context with its batch. All members run on the engine thread.
class Context {
 public:
  Context(llama_model* model, const ContextOptions& options, struct ggml_threadpool* pool,
          const std::atomic<bool>* abort);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  void clear_batch() {
    batch_.n_tokens = rows_with_logits_ = 0;
    has_branches_ = false;
  }
  // Adds a row; answers its index in the batch. Ids and sizes are checked here, since llama.cpp would abort.
  // `branches`: which of the sequence's branches see it and the rows behind it: bit 0 the sequence itself. The row sees
  // what the first of its branches sees.
  int add(int32_t token, int position, int seq, bool logits, uint32_t branches = kAllBranches);
  static constexpr uint32_t kAllBranches = ~0u;
  const llama_batch& batch() const { return batch_; }
  int rows() const { return batch_.n_tokens; }
  int room() const { return batch_size_ - batch_.n_tokens; }
  DecodeStatus decode();
  // Hidden states are wanted of it, or no more: graphs that are kept don't give them out, and llama.cpp doesn't see that.
  void outputs_changed() { graphs_.emplace(ctx_.get()); }
  // Decodes on these threads from now on; at most as many as the pool has. What was used before must live until the next
  // decode.
  void use(struct ggml_threadpool* pool, int threads) { threads_.use(pool, threads); }
  // Of all decodes since the last call.
  ThreadUse take_use() { return threads_.take_use(); }
  // The logits of a row that was added with logits; n_vocab() floats, ours to change until the next decode.
  float* logits(int row);
  // Keeps the first `length` positions of a sequence.
  void keep(int seq, int length);
  // A branch leaves the sequence at this position, and goes on with the cells of another one up to `length`.
  void fork(int seq, int branch, int position, int from, int length);
  // The same as keep after batches with branches. Branch i + 1 left the sequence at position forks[i].
  void join(int seq, int length, std::span<const int> forks);
  void forget(int seq);
  void forget_all();
  // The same, and zeroes the cache: a NaN in a cell that nobody owns still spreads, since attention reads all cells
  // and masks afterwards.
  void wipe();
  // Positions that the cache holds of a sequence.
  int length(int seq) const;
  // What the cache holds of a sequence, in llama.cpp's own form. Nothing where there isn't the memory for it.
  std::vector<uint8_t> state(int seq);
  // Puts it in place of what is there, of `length` positions. False: it doesn't fit, and nothing is there.
  bool set_state(int seq, std::span<const uint8_t> state, int length);

  int n_vocab() const { return n_vocab_; }
  int context_size() const { return context_size_; }
  const std::string& last_error() const { return last_error_; }
  // False for recurrent and hybrid models, whose state cannot be rolled back. Decodes two tokens to find out.
  bool can_roll_back();
  int branches() const { return branches_; }
  // Whether a row beside a chain gets the logits that it would get in it: where its attention is ours
  // (kernels/attention.cc). Decodes a token to find out.
  bool can_branch();
  llama_context* get() { return ctx_.get(); }

 private:
  void create(llama_model* model, const ContextOptions& options, struct ggml_threadpool* pool,
              const std::atomic<bool>* abort, bool flash_attention);
  llama_seq_id id(int seq, int branch) const { return seq * (branches_ + 1) + branch; }
  // Whether our attention computes this model's: asked of a batch.
  bool attends();

  const KernelSet* kernels_;
  ContextHandle ctx_;
  std::optional<GraphShelf> graphs_;
  llama_batch batch_{};
  int n_vocab_ = 0, context_size_ = 0, batch_size_ = 0, max_rows_ = 0, parallel_ = 1, rows_with_logits_ = 0;
  int branches_ = 0;
  bool flash_attention_ = false, has_branches_ = false, shares_cells_ = false;
  std::string last_error_;
  ContextThreads threads_;
};

// Bytes of a token as text; control tokens give none, or their names.
void append_piece(const llama_vocab* vocab, int32_t token, std::string& out, bool names = false);

}  // namespace adaptive_spec
