// llama.cpp's trained draft heads, through its libcommon: EAGLE-3, MTP and DFlash, which read hidden states.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "draft/drafter.h"
#include "draft/trained_head.h"
#include "engine/context.h"

struct common_speculative;

namespace adaptive_spec {

// They follow every row that the target reads, since its hidden states are there right after its pass only: a plan of
// depth 0 doesn't spare them that. They say nothing of how sure they are: their signals have no probability.
class TrainedDrafter : public Drafter {
 public:
  struct Options {
    int context_size = 0, parallel = 1, max_depth = 1, threads = 1;
    const KernelSet* kernels = nullptr;  // null is ggml's own
  };
  // `target` decodes without branches, and outlives it, as does `never`, whose tokens end a draft that masks ends of
  // generation. Asks the target for hidden states from now on. Throws EngineError where it can't be run.
  TrainedDrafter(TrainedHead head, Context& target, const Options& options, struct ggml_threadpool* pool,
                 const std::atomic<bool>* abort, const std::vector<int32_t>& never);
  ~TrainedDrafter() override;

  const char* name() const override { return name_of(head_.kind); }
  void extend(std::span<Draft*> drafts) override;
  void follow(const llama_batch& read) override;
  void roll_back(int seq, int length, int kept) override;
  int lag(int seq, int length) const override { return std::max(0, length - std::max(0, read_[seq])); }
  void use(ggml_threadpool* pool, int threads) override { threads_.use(pool, threads); }
  ThreadUse take_use() override { return threads_.take_use(); }
  void end(int seq, int kept) override;
  void wipe() override;

 private:
  struct Deleter {
    void operator()(common_speculative* p) const;
  };
  struct Proposal {
    std::vector<int32_t> tokens;
    size_t at = 0;   // length of the accepted text that they follow; 0: nothing was proposed
    int wanted = 0;  // tokens that were asked for
  };

  void make_context(const Options& options, ggml_threadpool* pool);
  void start();
  // Runs `task` on this drafter's threads, when it is this engine's turn to compute.
  void compute(const std::function<void()>& task);
  // Forgets what is cached of a sequence from that position on.
  void forget(int seq, int position);
  // Nothing of it can be followed any more, until it ends.
  void lose(int seq);
  bool is_in_step(const Draft& draft) const;
  void propose(std::span<Draft*> drafts);
  // Asked by llama.cpp in the middle of a pass.
  bool must_stop() const;

  TrainedHead head_;
  Context& target_;
  const std::atomic<bool>* abort_;
  const std::vector<int32_t>& never_;
  const KernelSet* kernels_;
  const int parallel_, most_;
  ContextHandle context_;
  std::unique_ptr<common_speculative, Deleter> common_;  // has to go before the context
  std::vector<int> read_;            // by sequence: positions of the target's that were followed
  std::vector<bool> lost_;           // by sequence: rows of it were missed, and it is over before others are followed
  std::vector<bool> primed_;         // by sequence: libcommon has drafted for it, and takes what was accepted
  std::vector<Proposal> proposals_;  // by sequence
  std::vector<Proposal*> growing_;   // while libcommon drafts
  ContextThreads threads_;
};

}  // namespace adaptive_spec
