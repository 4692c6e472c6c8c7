// llama.cpp's own n-gram drafters, through its libcommon: ngram-simple, ngram-map-k, ngram-map-k4v, ngram-mod, ngram-cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "draft/drafter.h"

struct common_speculative;

namespace adaptive_spec {

// They propose whole continuations and say nothing of how sure they are: their signals have no probability.
class CommonDrafter : public Drafter {
 public:
  // Names as llama.cpp's --spec-type has them.
  static const std::vector<std::string>& names();
  // Proposals have up to `max_depth` tokens (ngram-cache: 8). Tokens in `never`, which outlives this, end a draft that
  // masks ends of generation. Nothing is allocated before the first draft.
  CommonDrafter(const std::string& name, int parallel, int max_depth, const std::vector<int32_t>& never);
  ~CommonDrafter() override;

  const char* name() const override { return name_.c_str(); }
  void extend(std::span<Draft*> drafts) override;
  void roll_back(int, int, int) override {}  // it reads accepted text only
  int lag(int, int) const override { return 0; }
  void use(ggml_threadpool*, int) override {}
  ThreadUse take_use() override { return {}; }
  void end(int seq, int kept) override;

 private:
  struct Deleter {
    void operator()(common_speculative* p) const;
  };
  struct Text {
    std::unique_ptr<common_speculative, Deleter> own;  // where sequences share none
    std::vector<int32_t> read;      // accepted tokens but the last
    std::vector<int32_t> proposal;  // what may follow the accepted text
    size_t proposed_at = 0;         // its length then; 0: nothing was proposed
  };

  std::unique_ptr<common_speculative, Deleter> make(int sequences) const;
  void propose(int seq, std::span<const int32_t> accepted);
  // Tells how many of the last proposal's tokens came, if the text has shown it by now.
  void judge(const Text& text, common_speculative* drafter, int id, std::span<const int32_t> accepted) const;

  const std::string name_;
  const int parallel_, max_depth_;
  const std::vector<int32_t>& never_;
  std::unique_ptr<common_speculative, Deleter> shared_;  // ngram-mod: one table of 16 MiB for all texts
  std::vector<Text> texts_;                              // by sequence
};

}  // namespace adaptive_spec
