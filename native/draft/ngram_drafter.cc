// Two look-ups per token at most: in the text itself, and in the store.
#include "draft/ngram_drafter.h"

#include <algorithm>

#include "engine/clock.h"

namespace adaptive_spec {

std::optional<NgramIndex::Match> NgramDrafter::look(const Draft& draft) {
  NgramIndex& index = indexes_[draft.seq];
  index.read(draft.accepted);
  auto match = index.predict(draft.tokens);
  // What the text itself says is right more often than a match of the same length, or of the same score.
  if (store_ && draft.shares)
    if (const auto other = store_->predict(draft.accepted, draft.tokens);
        other && (!match || (other->length > match->length && other->score > match->score)))
      match = other;
  if (match && draft.mask_eog && std::find(never_.begin(), never_.end(), match->token) != never_.end()) return std::nullopt;
  if (match && !draft.allows(match->token)) return std::nullopt;
  return match;
}

void NgramDrafter::extend(std::span<Draft*> drafts) {
  for (Draft* draft : drafts) {
    const double start = now_ms();
    while (draft->take_forced(), draft->wants_any()) {
      const auto match = look(*draft);
      if (!match) {
        draft->stopped = true;
        break;
      }
      const Signals signals = Signals::of_match(match->score, Origin::kNgram);
      if (!draft->wants(signals)) break;
      draft->offer(match->token, signals);
    }
    draft->draft_ms += now_ms() - start;
  }
}

}  // namespace adaptive_spec
