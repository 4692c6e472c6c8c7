// Drafts with a small model of its own: its likeliest token or a drawn one, one token a decode, all sequences in one
// batch. Where a tree is wanted, the likeliest guesses are rows of the same passes.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "draft/drafter.h"
#include "draft/vocabulary_map.h"
#include "engine/context.h"
#include "engine/session_shelf.h"
#include "kernels/logits.h"
#include "verify/sampler.h"

namespace adaptive_spec {

class ModelDrafter : public Drafter {
 public:
  // Rows of a pass beside each draft's own; the context has room for them where it has branches.
  static constexpr int kBeside = 3;

  ModelDrafter(ModelHandle model, VocabularyMap map, const ContextOptions& options, struct ggml_threadpool* pool,
               const std::atomic<bool>* abort);

  const char* name() const override { return "model"; }
  void extend(std::span<Draft*> drafts) override;
  // One token for each draft that wants one, to `take` rather than into the draft. False: there was none to be had.
  // Where a draft's tokens are drawn, `take` gets the likeliest all the same, and so decides without knowing the drawn
  // one, which replaces it in the draft.
  using TakeProposal = std::function<void(Draft&, int32_t token, const Signals&)>;
  bool propose(std::span<Draft*> drafts, const TakeProposal& take);
  void roll_back(int seq, int length, int kept) override;
  int lag(int seq, int length) const override;
  void end(int seq, int kept) override;
  // What is cached of a sequence, for a session to take along.
  void save(int seq, SessionState& to) { to.draft_tokens = cached_[seq], to.draft = context_->state(seq); }
  // Takes it in; where that can't be done nothing is cached, and the text is read again.
  void restore(int seq, const SessionState& from);
  void use(ggml_threadpool* pool, int threads) override { context_->use(pool, threads); }
  ThreadUse take_use() override { return context_->take_use(); }
  Context& context() { return *context_; }

 private:
  int32_t draft_id(const Draft& draft, int position) const;
  int lag(const Draft& draft) const;
  // Accepted and draft tokens that the cache lacks.
  int unread(const Draft& draft) const;
  // Reads all of them but the last, in batches of its own, or `most`: then this draft ends. Answers how many.
  int catch_up(Draft& draft, int most);
  // Adds what is new of a sequence to the batch, its last row with logits. False: this draft ends here.
  bool feed(Draft& draft);
  void read(Draft& draft, int row, const TakeProposal& take);
  // Finds the likeliest guesses that may go on in the coming pass, and gives them branches of the cache. Their rows are
  // for add_beside, behind all drafts' own.
  void choose_beside(Draft& draft);
  void add_beside(Draft& draft);
  // What may follow a guess.
  void read_beside(Draft& draft, int guess, float* logits);
  // Of a sequence, those that see the chain's row at this position.
  uint32_t branches_at(int seq, int position) const;
  // The first `length` positions of a sequence stay, in all of its branches.
  void cut(int seq, int length);
  // Whether the draft's guide, if it has one, allows what the model proposes.
  bool may_propose(const Draft& draft, int32_t id) const;
  // Puts a drawn token in place of the draft's last one.
  void draw_last(Draft& draft, float* logits);
  // Fills others_ with the likeliest tokens behind the first that may stand at the place to which the draft has come. The
  // row is left without those before them.
  void find_others(const Draft& draft, float* logits, const Choice& first);
  bool decode(std::span<Draft*> in_batch);

  ModelHandle model_;
  VocabularyMap map_;
  std::unique_ptr<Context> context_;
  std::vector<int> cached_;  // by sequence: positions in the cache, accepted ones and drafted ones
  std::vector<std::vector<int>> forks_;  // by sequence: where its branches in use left the chain
  std::vector<std::optional<Sampler>> samplers_;  // by sequence; none before it draws
  bool bad_ = false;         // a row was: nothing is drafted until its sequence, or another, ends
  std::vector<Draft*> growing_;
  std::vector<Draft*> behind_;  // of them, those with more to read than usual
  std::vector<double> usual_ms_;  // by drafts in a pass, less one: what it takes where none is behind; 0: not known
  std::vector<Guess> others_;  // of the row that is read
  struct Beside {
    Draft* draft;
    int guess, row;
  };
  std::vector<Beside> beside_;  // of this pass; rows are -1 until they are added
  std::vector<int32_t> path_;
  std::vector<int> rows_;  // by index in growing_: the batch row with its logits
};

}  // namespace adaptive_spec
