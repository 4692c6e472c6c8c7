// The draft model's loop: feed what is new, read one row, propose, repeat.
#include "draft/model_drafter.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/clock.h"
#include "kernels/logits.h"

namespace adaptive_spec {
namespace {

// After a step with this drafter at most two tokens are new (the last draft token and the target's own); more is
// catching up.
constexpr int kUsualLag = 2;
// Of a row, behind the likeliest: later ones are too seldom right to be worth a row of the target's batch.
constexpr size_t kGuesses = 2;
// The same behind a guess, the likeliest among them.
constexpr int kChildren = 2;

// So many are read with the first draft token, as after a run of n-grams; more in passes of their own, which the others'
// drafts need not wait for.
constexpr int kTogether = 16;

// Weight of a new time in a running mean.
constexpr double kNews = 1.0 / 8;
// The model knows nothing of a grammar: so many of its likeliest tokens may be illegal before a draft ends.
constexpr int kOthers = 8;

// A drawn token is one of the model's likeliest: to draw among all would take a pass over the vocabulary, for tokens
// that the target hardly ever accepts.
constexpr int kDrawnAmong = 128;

}  // namespace

ModelDrafter::ModelDrafter(ModelHandle model, VocabularyMap map, const ContextOptions& options,
                           ggml_threadpool* pool, const std::atomic<bool>* abort)
    : model_(std::move(model)),
      map_(std::move(map)),
      cached_(options.parallel, 0),
      forks_(options.parallel),
      samplers_(options.parallel),
      usual_ms_(options.parallel, 0) {
  context_ = std::make_unique<Context>(model_.get(), options, pool, abort);
  growing_.reserve(options.parallel);
  rows_.reserve(options.parallel);
}

void ModelDrafter::extend(std::span<Draft*> drafts) {
  while (propose(drafts, [](Draft& draft, int32_t token, const Signals& signals) { draft.offer(token, signals); })) {
  }
}

bool ModelDrafter::propose(std::span<Draft*> drafts, const TakeProposal& take) {
  for (Draft* draft : drafts) {
    draft->stopped |= bad_;
    draft->take_forced();
  }
  context_->clear_batch();
  // Behind n-grams' tokens there may be more to read than a batch of all sequences has room for.
  const int beside = context_->branches() > 0 ? kBeside : 0;
  const int room_each = context_->room() / std::max<int>(1, drafts.size()) - beside;
  // What a pass usually takes tells what of this one is catching up.
  const int together = usual_ms_[drafts.size() - 1] > 0 ? kTogether : kUsualLag;
  int piece = kPieceRows;
  for (Draft* draft : drafts)
    if (draft->wants_more() && (lag(*draft) > together || unread(*draft) > room_each))
      piece -= catch_up(*draft, draft->others_wait ? piece : context_->context_size());
  const double start = now_ms();
  context_->clear_batch();
  growing_.clear();
  rows_.clear();
  behind_.clear();
  beside_.clear();
  bool is_usual = true;
  for (Draft* draft : drafts) {
    if (!draft->wants_more()) continue;
    const bool is_behind = lag(*draft) > kUsualLag;
    is_usual &= unread(*draft) <= kUsualLag;
    choose_beside(*draft);
    if (!feed(*draft)) continue;
    growing_.push_back(draft);
    rows_.push_back(context_->rows() - 1);
    if (is_behind) behind_.push_back(draft);
  }
  for (Draft* draft : growing_) add_beside(*draft);
  if (growing_.empty() || !decode(growing_)) return false;
  for (size_t i = 0; i < growing_.size(); ++i) read(*growing_[i], rows_[i], take);
  for (const Beside& one : beside_)
    if (one.row >= 0) read_beside(*one.draft, one.guess, context_->logits(one.row));
  const double ms = now_ms() - start;
  double& usual_ms = usual_ms_[growing_.size() - 1];
  if (is_usual) usual_ms += usual_ms > 0 ? kNews * (ms - usual_ms) : ms;
  const double drafting = behind_.empty() || usual_ms == 0 ? ms : std::min(ms, usual_ms);
  // The batch serves all its drafts at once, so each is charged its share.
  for (Draft* draft : growing_) draft->draft_ms += drafting / static_cast<double>(growing_.size());
  for (Draft* draft : behind_) draft->catch_up_ms += (ms - drafting) / static_cast<double>(behind_.size());
  return true;
}

int32_t ModelDrafter::draft_id(const Draft& draft, int position) const {
  const int accepted = static_cast<int>(draft.accepted.size());
  return map_.to_draft(position < accepted ? draft.accepted[position] : draft.tokens[position - accepted]);
}

int ModelDrafter::unread(const Draft& draft) const {
  return static_cast<int>(draft.accepted.size() + draft.tokens.size()) - cached_[draft.seq];
}

int ModelDrafter::lag(const Draft& draft) const {
  return lag(draft.seq, static_cast<int>(draft.accepted.size()));
}

int ModelDrafter::catch_up(Draft& draft, int most) {
  const double start = now_ms();
  int& cached = cached_[draft.seq];
  const int before = cached;
  // The last one is fed with the others.
  const int all = std::min(cached + unread(draft), context_->context_size()) - 1;
  const int end = std::min(all, cached + std::max(0, most));
  while (cached < end && !draft.stopped) {
    context_->clear_batch();
    while (cached < end && context_->room() > 0) {
      const int32_t id = draft_id(draft, cached);
      if (id < 0) {
        draft.stopped = true;
        break;
      }
      context_->add(id, cached, draft.seq, false, branches_at(draft.seq, cached));
      ++cached;
    }
    Draft* self = &draft;
    if (context_->rows() > 0 && !decode({&self, 1})) break;
  }
  draft.stopped |= end < all;
  draft.catch_up_ms += now_ms() - start;
  return cached - before;
}

bool ModelDrafter::feed(Draft& draft) {
  int& cached = cached_[draft.seq];
  const int total = static_cast<int>(draft.accepted.size() + draft.tokens.size());
  draft.stopped = total > context_->context_size() || unread(draft) > context_->room();
  for (int i = cached; i < total && !draft.stopped; ++i) draft.stopped = draft_id(draft, i) < 0;
  if (draft.stopped) return false;
  for (; cached < total; ++cached)
    context_->add(draft_id(draft, cached), cached, draft.seq, cached == total - 1, branches_at(draft.seq, cached));
  return true;
}

bool ModelDrafter::decode(std::span<Draft*> in_batch) {
  if (context_->decode() == DecodeStatus::kOk) return true;
  // Aborted or failed: what the cache really holds decides, and these drafts stay as long as they are.
  for (Draft* draft : in_batch) {
    draft->stopped = true;
    int& cached = cached_[draft->seq];
    cached = std::min(cached, context_->length(draft->seq));
    cut(draft->seq, cached);
  }
  return false;
}

bool ModelDrafter::may_propose(const Draft& draft, int32_t id) const {
  const int32_t token = map_.to_target(id);
  return token < 0 || draft.allows(token);
}

void ModelDrafter::read(Draft& draft, int row, const TakeProposal& take) {
  float* logits = context_->logits(row);
  if (draft.mask_eog)
    for (int32_t id : map_.draft_eog()) logits[id] = -std::numeric_limits<float>::infinity();
  Choice choice = choose(logits, context_->n_vocab());
  for (int others = 0; choice.id >= 0 && !may_propose(draft, choice.id) && others < kOthers; ++others) {
    logits[choice.id] = -std::numeric_limits<float>::infinity();
    choice = choose(logits, context_->n_vocab());
  }
  if (choice.id < 0) {
    // Whether the request can go on is the target's to say. What is cached may be bad too, and is left alone.
    draft.stopped = bad_ = true;
    return;
  }
  const int32_t token = map_.to_target(choice.id);
  if (token < 0) {
    draft.stopped = true;
    return;
  }
  const size_t place = draft.tokens.size();
  others_.clear();
  // Before the token is taken: the guide is at this place now.
  if (draft.wants_guesses && !draft.sampling) find_others(draft, logits, choice);
  take(draft, token, {choice.probability, choice.margin, choice.entropy});
  if (draft.sampling && draft.tokens.size() > place && draft.signals[place].origin == Origin::kModel)
    draw_last(draft, logits);
  for (const Guess& other : others_) draft.guess(other.place, other.token, other.share);
}

void ModelDrafter::draw_last(Draft& draft, float* logits) {
  std::optional<Sampler>& sampler = samplers_[draft.seq];
  if (!sampler) {
    // The nearer to the target's distribution, the more is accepted; but the penalties' history is the target's alone.
    SamplingParams params = *draft.sampling;
    params.top_k = params.top_k > 0 ? std::min(params.top_k, kDrawnAmong) : kDrawnAmong;
    params.penalty_last_n = 0;
    params.dry.multiplier = 0;
    sampler.emplace(params, std::span<const int32_t>{}, std::vector<int32_t>{}, context_->n_vocab());
  }
  Distribution from = sampler->distribution(logits);
  for (Probability& one : from) one.id = map_.to_target(one.id);
  std::erase_if(from, [](const Probability& one) { return one.id < 0; });
  sort_by_id(from);
  const double u = draft_number(draft.sampling->seed, draft.accepted.size(), draft.tokens.size() - 1);
  if (!normalise(from)) return;
  draft.tokens.back() = draw(from, u);
  draft.drawn_from.back() = std::move(from);
}

void ModelDrafter::find_others(const Draft& draft, float* logits, const Choice& first) {
  int32_t id = first.id;
  for (int i = 0; i < kOthers && others_.size() < kGuesses; ++i) {
    logits[id] = -std::numeric_limits<float>::infinity();
    id = argmax(logits, context_->n_vocab());
    if (id < 0) return;
    if (!may_propose(draft, id)) continue;
    const float probability = std::exp(logits[id] - first.log_sum_exp);
    others_.push_back({static_cast<int>(draft.tokens.size()), map_.to_target(id),
                       probability / std::max(1 - first.probability, 1e-6f)});
  }
}

void ModelDrafter::roll_back(int seq, int length, int kept) {
  int& cached = cached_[seq];
  if (cached <= length + kept && forks_[seq].empty()) return;
  cached = std::min(cached, length + kept);
  cut(seq, cached);
}

void ModelDrafter::cut(int seq, int length) {
  if (forks_[seq].empty())
    context_->keep(seq, length);
  else
    context_->join(seq, length, forks_[seq]);
  forks_[seq].clear();
}

uint32_t ModelDrafter::branches_at(int seq, int position) const {
  uint32_t branches = Context::kAllBranches;
  for (size_t i = 0; i < forks_[seq].size(); ++i)
    if (position >= forks_[seq][i]) branches &= ~(2u << i);
  return branches;
}

void ModelDrafter::choose_beside(Draft& draft) {
  if (draft.asks_beside <= 0 || context_->branches() == 0) return;
  std::vector<Guess>& guesses = draft.guesses;
  std::vector<int>& forks = forks_[draft.seq];
  const auto accepted = static_cast<int>(draft.accepted.size());
  TokenTree::weigh(guesses, draft.signals, draft.stop ? draft.stop->acceptance : AcceptanceModel());
  const auto asked = std::count_if(guesses.begin(), guesses.end(), [](const Guess& one) { return one.branch > 0; });
  // Their cells are besides those of the text with the draft.
  const int room = context_->context_size() - accepted - draft.depth;
  const auto most = std::min<ptrdiff_t>(kBeside, std::min(draft.asks_beside, room) - asked);
  // The branch of the guess before it, unless another one has gone on from there.
  const auto continued = [&](const Guess& guess) {
    if (guess.below < 0) return 0;
    const int branch = guesses[guess.below].branch;
    const bool is_taken = std::any_of(guesses.begin(), guesses.end(), [&](const Guess& other) {
      return other.branch == branch && other.place >= guess.place;
    });
    return is_taken ? 0 : branch;
  };
  for (ptrdiff_t n = 0; n < most; ++n) {
    const bool may_fork = static_cast<int>(forks.size()) < context_->branches();
    int best = -1;
    for (int i = 0; i < static_cast<int>(guesses.size()); ++i) {
      const Guess& guess = guesses[i];
      if (guess.branch > 0 || (guess.below >= 0 && guesses[guess.below].branch == 0)) continue;
      if (best >= 0 && guess.probability <= guesses[best].probability) continue;
      if ((may_fork || continued(guess) > 0) && map_.to_draft(guess.token) >= 0 && draft.wants_after(guess)) best = i;
    }
    if (best < 0) return;
    Guess& guess = guesses[best];
    const int branch = continued(guess);
    if (branch == 0) {
      const Guess* first = &guess;
      while (first->below >= 0) first = &guesses[first->below];
      forks.push_back(accepted + first->place);
      context_->fork(draft.seq, static_cast<int>(forks.size()), forks.back(),
                     guess.below < 0 ? 0 : guesses[guess.below].branch, accepted + guess.place);
    }
    guess.branch = branch > 0 ? branch : static_cast<int>(forks.size());
    beside_.push_back({&draft, best, -1});
  }
}

void ModelDrafter::add_beside(Draft& draft) {
  for (Beside& one : beside_) {
    if (one.draft != &draft) continue;
    const Guess& guess = draft.guesses[one.guess];
    one.row = context_->add(map_.to_draft(guess.token), static_cast<int>(draft.accepted.size()) + guess.place, draft.seq,
                            true, 1u << guess.branch);
  }
}

void ModelDrafter::read_beside(Draft& draft, int guess, float* logits) {
  if (draft.mask_eog)
    for (int32_t id : map_.draft_eog()) logits[id] = -std::numeric_limits<float>::infinity();
  const Choice choice = choose(logits, context_->n_vocab());
  if (choice.id < 0) {
    draft.stopped = bad_ = true;
    return;
  }
  draft.path_to(guess, path_);
  int32_t id = choice.id;
  for (int i = 0; i < kChildren && id >= 0; ++i) {
    const int32_t token = map_.to_target(id);
    const float probability = std::exp(logits[id] - choice.log_sum_exp);
    if (token >= 0 && draft.allows_after(path_, token)) draft.follow(guess, token, probability);
    logits[id] = -std::numeric_limits<float>::infinity();
    id = argmax(logits, context_->n_vocab());
  }
  draft.return_guide();
}

int ModelDrafter::lag(int seq, int length) const { return std::max(0, length - cached_[seq]); }

void ModelDrafter::restore(int seq, const SessionState& from) {
  cached_[seq] = context_->set_state(seq, from.draft, from.draft_tokens) ? from.draft_tokens : 0;
}

void ModelDrafter::end(int seq, int kept) {
  cached_[seq] = std::min(cached_[seq], kept);
  if (cached_[seq] > 0)
    cut(seq, cached_[seq]);
  else
    context_->forget(seq);
  forks_[seq].clear();
  samplers_[seq].reset();
  if (!bad_) return;
  context_->wipe();
  std::fill(cached_.begin(), cached_.end(), 0);
  bad_ = false;
}

}  // namespace adaptive_spec
