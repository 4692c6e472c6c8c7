// Drafts what stood in the text before, or in those of other requests: look-up without a model.
#pragma once

#include <vector>

#include "draft/drafter.h"
#include "draft/ngram_index.h"
#include "draft/ngram_store.h"

namespace adaptive_spec {

class NgramDrafter : public Drafter {
 public:
  // Tokens in `never` are not proposed where a draft masks ends of generation. `store`, null for none, outlives it.
  NgramDrafter(int parallel, const std::vector<int32_t>& never, const NgramStore* store = nullptr)
      : never_(never), store_(store), indexes_(parallel) {}

  const char* name() const override { return "ngram"; }
  void extend(std::span<Draft*> drafts) override;
  void roll_back(int, int, int) override {}  // it reads accepted text only
  int lag(int, int) const override { return 0; }
  void use(ggml_threadpool*, int) override {}
  ThreadUse take_use() override { return {}; }
  void end(int seq, int) override { indexes_[seq].clear(); }

  // What would be proposed after the draft as it is, having read its accepted text; another token than `but`.
  std::optional<NgramIndex::Match> look(const Draft& draft, int32_t but = -1);
  // Takes in a match that `look` has found. False where that isn't worth verifying.
  bool offer(Draft& draft, const NgramIndex::Match& match);
  // N-grams that go on from the draft's likeliest guesses, and from what they have added there.
  void follow_guesses(Draft& draft, int most) override;

 private:
  // The same after any tokens that follow the accepted text, whether or not the draft's guide allows what it finds.
  std::optional<NgramIndex::Match> find(const Draft& draft, std::span<const int32_t> path, int32_t but = -1);

  const std::vector<int32_t>& never_;
  const NgramStore* store_;
  std::vector<NgramIndex> indexes_;  // by sequence
  std::vector<int32_t> path_;        // to a guess
  std::vector<int> open_;            // guesses that nothing has been looked up for yet
};

}  // namespace adaptive_spec
