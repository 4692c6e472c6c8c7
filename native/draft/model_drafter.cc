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
  const int room_each = context_->room() / std::max<int>(1, drafts.size());
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
  bool is_usual = true;
  for (Draft* draft : drafts) {
    if (!draft->wants_more()) continue;
    const bool is_behind = lag(*draft) > kUsualLag;
    is_usual &= unread(*draft) <= kUsualLag;
    if (!feed(*draft)) continue;
    growing_.push_back(draft);
    rows_.push_back(context_->rows() - 1);
    if (is_behind) behind_.push_back(draft);
  }
  if (growing_.empty() || !decode(growing_)) return false;
  for (size_t i = 0; i < growing_.size(); ++i) read(*growing_[i], rows_[i], take);
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
      context_->add(id, cached++, draft.seq, false);
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
  for (; cached < total; ++cached) context_->add(draft_id(draft, cached), cached, draft.seq, cached == total - 1);
  return true;
}

bool ModelDrafter::decode(std::span<Draft*> in_batch) {
  if (context_->decode() == DecodeStatus::kOk) return true;
  // Aborted or failed: what the cache really holds decides, and these drafts stay as long as they are.
  for (Draft* draft : in_batch) {
    draft->stopped = true;
    int& cached = cached_[draft->seq];
    cached = std::min(cached, context_->length(draft->seq));
    context_->keep(draft->seq, cached);
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
  if (cached <= length + kept) return;
  cached = length + kept;
  context_->keep(seq, cached);
}

int ModelDrafter::lag(int seq, int length) const { return std::max(0, length - cached_[seq]); }

void ModelDrafter::restore(int seq, const SessionState& from) {
  cached_[seq] = context_->set_state(seq, from.draft, from.draft_tokens) ? from.draft_tokens : 0;
}

void ModelDrafter::end(int seq, int kept) {
  cached_[seq] = std::min(cached_[seq], kept);
  if (cached_[seq] > 0)
    context_->keep(seq, cached_[seq]);
  else
    context_->forget(seq);
  samplers_[seq].reset();
  if (!bad_) return;
  context_->wipe();
  std::fill(cached_.begin(), cached_.end(), 0);
  bad_ = false;
}

}  // namespace adaptive_spec
