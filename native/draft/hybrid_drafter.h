// N-grams first where they are sure, the draft model else; each other's opinion where both have one.
#pragma once

#include "draft/model_drafter.h"
#include "draft/ngram_drafter.h"

namespace adaptive_spec {

class HybridDrafter : public Drafter {
 public:
  // Both outlive it. What they keep of a sequence is theirs to end and roll back.
  HybridDrafter(ModelDrafter& model, NgramDrafter& ngram) : model_(model), ngram_(ngram) {}

  const char* name() const override { return "hybrid"; }
  void extend(std::span<Draft*> drafts) override;
  void follow_guesses(Draft& draft, int most) override { ngram_.follow_guesses(draft, most); }
  void roll_back(int, int, int) override {}
  int lag(int seq, int length) const override { return model_.lag(seq, length); }
  void use(ggml_threadpool*, int) override {}
  ThreadUse take_use() override { return {}; }
  void end(int, int) override {}

 private:
  ModelDrafter& model_;
  NgramDrafter& ngram_;
  std::vector<Draft*> to_ask_;
  std::vector<std::optional<NgramIndex::Match>> matches_;  // by index in to_ask_
};

}  // namespace adaptive_spec
