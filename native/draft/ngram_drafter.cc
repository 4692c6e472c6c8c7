// Two look-ups per token at most: in the text itself, and in the store.
#include "draft/ngram_drafter.h"

#include <algorithm>
#include <numeric>

#include "engine/clock.h"

namespace adaptive_spec {

std::optional<NgramIndex::Match> NgramDrafter::find(const Draft& draft, std::span<const int32_t> path, int32_t but) {
  NgramIndex& index = indexes_[draft.seq];
  index.read(draft.accepted);
  auto match = index.predict(path, but);
  // What the text itself says is right more often than a match of the same length, or of the same score.
  if (store_ && draft.shares)
    if (const auto other = store_->predict(draft.accepted, path);
        other && other->token != but && (!match || (other->length > match->length && other->score > match->score)))
      match = other;
  if (match && draft.mask_eog && std::find(never_.begin(), never_.end(), match->token) != never_.end()) return std::nullopt;
  return match;
}

std::optional<NgramIndex::Match> NgramDrafter::look(const Draft& draft, int32_t but) {
  const auto match = find(draft, draft.tokens, but);
  if (match && !draft.allows(match->token)) return std::nullopt;
  return match;
}

bool NgramDrafter::offer(Draft& draft, const NgramIndex::Match& match) {
  const Signals signals = Signals::of_match(match.score, Origin::kNgram);
  if (!draft.wants(signals)) return false;
  // Before the token is taken: the guide is at this place now.
  const auto other = draft.wants_guesses ? look(draft, match.token) : std::nullopt;
  const int place = static_cast<int>(draft.tokens.size());
  draft.offer(match.token, signals);
  if (other) draft.guess(place, other->token, other->score);
  return true;
}

void NgramDrafter::extend(std::span<Draft*> drafts) {
  for (Draft* draft : drafts) {
    const double start = now_ms();
    while (draft->take_forced(), draft->wants_any()) {
      const auto match = look(*draft);
      if (!match) draft->stopped = true;
      if (!match || !offer(*draft, *match)) break;
    }
    draft->draft_ms += now_ms() - start;
  }
}

void NgramDrafter::follow_guesses(Draft& draft, int most) {
  const double start = now_ms();
  std::vector<Guess>& guesses = draft.guesses;
  open_.resize(guesses.size());
  std::iota(open_.begin(), open_.end(), 0);
  while (most > 0 && !open_.empty()) {
    const auto likeliest = std::max_element(
        open_.begin(), open_.end(), [&](int a, int b) { return guesses[a].probability < guesses[b].probability; });
    const int at = *likeliest;
    open_.erase(likeliest);
    if (guesses[at].place + 1 >= draft.depth) continue;
    draft.path_to(at, path_);
    const auto match = find(draft, path_);
    if (!match || !draft.allows_after(path_, match->token)) continue;
    const int next = draft.follow(at, match->token, match->score);
    if (next < 0) continue;
    guesses[next].probability = guesses[at].probability * match->score;
    open_.push_back(next);
    --most;
  }
  draft.draft_ms += now_ms() - start;
}

}  // namespace adaptive_spec
