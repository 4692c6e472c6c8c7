// One speculation step for all running sequences.
//
//   plan -> draft <= depth tokens -> one decode of [last, d1 .. dm] -> accept row by row -> roll both caches back
//
// The report of the step before was posted when its tokens were known; while its answer is on the way the first
// token of the next draft is made, since any depth of 1 or more needs it.
#include "engine/step.h"

#include <algorithm>
#include <utility>

#include "draft/siblings.h"
#include "engine/clock.h"
#include "verify/accept.h"

namespace adaptive_spec {
namespace {

// Text that nobody answers to may be this old when it is passed on; a step more, at most. Too short to be seen.
constexpr double kQuietMs = 30;
// The same where nobody waits for text either: only what learns of steps hears of them, and need not at once.
constexpr double kUnheardMs = 250;

// Whether a plan was made for another load: half or twice as many sequences share the steps now.
bool is_of_another_load(int then, int now) { return 2 * now <= then || now >= 2 * then; }

EngineError stuck_in(const Grammar& grammar) {
  if (grammar.is_too_ambiguous())
    return {"GRAMMAR_INVALID", "The grammar can be read in too many ways at once.",
            "Give a grammar whose alternatives differ in what they begin with."};
  return {"GRAMMAR_INVALID", "No token of the vocabulary goes on as the grammar wants.",
          "Allow characters in the grammar that the model's tokens can write."};
}

// The tokens before that row were the target's own, and stay. Answers as emit does: this sequence is over.
bool end_at_bad_row(Sequence& s) {
  if (s.sampler.is_stuck()) {
    s.fail(stuck_in(*s.request.grammar));
    return false;
  }
  s.fail({kBadLogits,
          "The target's logits after token " + std::to_string(s.tokens.size()) + " are NaN or infinite.",
          "The model's file is damaged, or its numbers overflow: download it again, or use another quantisation."});
  return false;
}

}  // namespace

bool Step::run(std::span<Sequence*> sequences) {
  sequences_ = sequences;
  failure_.clear();
  start_drafts();
  await_plans();
  extend_drafts();
  grow_trees();
  if (!verify()) return false;
  accept();
  roll_back();
  return true;
}

void Step::begin(Sequence& sequence) {
  sequence.mark_ms = now_ms() - sequence.verify_ms;
  sequence.result.prompt_ms = sequence.verify_ms;
  sequence.cached = sequence.prefilled;
  tell(sequence, {}, true);
  listener_.flush();
}

bool Step::is_due(const Sequence& s) const { return s.held <= 1 || is_of_another_load(s.planned_for, running_); }

int Step::depth_of(const Sequence& s) const {
  return drafters_.empty() ? 0 : std::min({s.plan.depth, max_depth_, s.room()});
}

int Step::drafter_of(const Sequence& s) const {
  const int drafter = s.plan.drafter < 0 ? s.request.plan.drafter : s.plan.drafter;
  return std::clamp(drafter, 0, static_cast<int>(drafters_.size()) - 1);
}

int Step::tree_nodes_of(const Sequence& s) const {
  if (target_.branches() == 0) return 0;
  return std::min(s.plan.tree_nodes < 0 ? s.request.plan.tree_nodes : s.plan.tree_nodes, max_depth_);
}

void Step::extend() {
  for (size_t i = 0; i < drafters_.size(); ++i) {
    drafts_.clear();
    for (Sequence* s : to_extend_)
      if (s->drafter == static_cast<int>(i)) drafts_.push_back(&s->draft);
    if (!drafts_.empty()) drafters_[i]->extend(drafts_);
  }
}

void Step::start_drafts() {
  const bool overlap = desk_.waiting();
  to_extend_.clear();
  for (Sequence* s : sequences_) {
    s->draft.clear();
    s->draft.accepted = s->tokens;
    s->drafter = drafters_.empty() ? -1 : drafter_of(*s);
    // Whether the token stays is the coming plan's to say. By the last one it must be worth making.
    s->draft.depth = std::min(1, depth_of(*s));
    s->draft.stop = nullptr;
    s->draft.others_wait = sequences_.size() > 1;
    s->draft.wants_guesses = wants_guesses(*s);
    s->draft.asks_beside = 0;
    s->tree.clear();
    if (overlap && s->draft.depth > 0 && s->plan.stop.worth_more(0, 1, depth_of(*s), false)) to_extend_.push_back(s);
  }
  extend();
}

void Step::await_plans() {
  const double start = now_ms();
  if (desk_.waiting()) desk_.wait(deadline_ms_);
  const double waited = now_ms() - start + std::exchange(crossing_ms_, 0);
  for (Sequence* s : sequences_) {
    if (!s->awaits) continue;
    s->wait_ms = waited;
    const std::optional<Plan> plan = desk_.take(s->slot);
    if (plan) {
      s->plan = *plan;
      s->held = plan->steps - 1;
    } else {
      s->held = 0;  // the last one goes on only until the new one comes
    }
    s->late = !plan;
  }
  // Those that await nothing too: a neighbour's wait has started their drafts.
  for (Sequence* s : sequences_) judge_start(*s);
}

void Step::judge_start(Sequence& s) {
  Draft& draft = s.draft;
  draft.depth = depth_of(s);
  draft.stop = &s.plan.stop;
  draft.wants_guesses = wants_guesses(s);
  // A guess and what follows it are two nodes, beside the chain that the plan leaves whole.
  draft.asks_beside = draft.wants_guesses ? tree_nodes_of(s) - (s.plan.trim ? 0 : draft.depth) - 1 : 0;
  if (drafters_.empty()) return;
  const bool same_drafter = drafter_of(s) == s.drafter;
  s.drafter = drafter_of(s);
  if (!same_drafter) {  // this one has yet to say what it would propose
    draft.stopped = false;
    draft.guesses.clear();
  }
  if (draft.tokens.empty()) return;
  const int32_t token = draft.tokens[0];
  const Signals first = draft.signals[0];
  Distribution from = std::move(draft.drawn_from[0]);
  draft.tokens.clear();
  draft.signals.clear();
  draft.drawn_from.clear();
  if (draft.guide) draft.guide->rewind();
  if (same_drafter && draft.wants_any() && (first.is_free() ? draft.wants(first) : draft.wants_more()))
    draft.offer(token, first, std::move(from));
  if (draft.tokens.empty()) draft.guesses.clear();
  if (!s.awaits) return;
  ++s.result.overlapped_drafts;
  s.result.wasted_drafts += draft.tokens.empty();
}

void Step::extend_drafts() {
  to_extend_.clear();
  for (Sequence* s : sequences_)
    if (s->draft.depth > 0) to_extend_.push_back(s);
  extend();
}

void Step::grow_trees() {
  for (Sequence* s : sequences_) {
    Draft& draft = s->draft;
    const Plan& plan = s->plan;
    const auto length = static_cast<int>(s->tokens.size());
    TreeBounds bounds{.chain = std::min(static_cast<int>(draft.tokens.size()), plan.verify),
                      // Each node has a row, and a cell of the cache besides those of the accepted text.
                      .nodes = std::min(tree_nodes_of(*s), target_.context_size() - length),
                      .branches = std::min(plan.branches, target_.branches()),
                      .rows = length - s->cached,
                      // Where time has no price nothing is cut for it.
                      .trims = plan.trim && plan.stop.tokens_per_ms > 0};
    if (draft.has_drawn_tokens()) {
      // Whether a drawn token is verified must not hang on that token, nor on what was drawn after it.
      bounds.trims = false;
      bounds.whole = true;
      const int longest = std::min(draft.depth, plan.verify);
      draw_siblings(draft, bounds.chain, std::min(bounds.branches, bounds.nodes - longest), bounds.rows + longest);
    }
    TokenTree::weigh(draft.guesses, draft.signals, plan.stop.acceptance);
    if (!draft.guesses.empty() && !draft.sampling && s->drafter >= 0)
      drafters_[s->drafter]->follow_guesses(draft, bounds.nodes);
    s->tree.grow(draft.tokens, draft.signals, draft.drawn_from, draft.guesses, bounds, plan.stop, s->rows_before);
    s->verified = s->tree.chain();
  }
}

void Step::add_rows(const Sequence& s, int position) {
  if (s.tree.beside() == 0) {
    for (int i = 0; i < s.verified; ++i) target_.add(s.draft.tokens[i], position + i + 1, s.slot, true);
    return;
  }
  s.tree.assign_branches(target_.branches(), branches_of_nodes_);
  for (size_t i = 0; i < branches_of_nodes_.size(); ++i) {
    const TokenTree::Node& node = s.tree.nodes()[i];
    target_.add(node.token, position + node.depth, s.slot, true, branches_of_nodes_[i]);
  }
}

bool Step::verify() {
  target_.clear_batch();
  first_row_.clear();
  length_before_.clear();
  for (Sequence* s : sequences_) {
    const int first = target_.rows(), last = static_cast<int>(s->tokens.size()) - 1;
    // What was accepted beside the chain stands in cells behind the chain's, out of order: it is read again.
    for (int i = s->cached; i < last; ++i) target_.add(s->tokens[i], i, s->slot, false);
    first_row_.push_back(target_.rows());
    length_before_.push_back(last + 1);
    target_.add(s->tokens.back(), last, s->slot, true);
    add_rows(*s, last);
    s->rows = target_.rows() - first;
  }
  const double start = now_ms();
  const DecodeStatus status = target_.decode();
  if (status == DecodeStatus::kOk) {
    for (auto& drafter : drafters_) drafter->follow(target_.batch());
    const double verify_ms = now_ms() - start;
    for (Sequence* s : sequences_) s->verify_ms = verify_ms;
    return true;
  }
  if (status == DecodeStatus::kFailed) failure_ = target_.last_error();
  // Part of the batch may be in the cache: take the whole step back.
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const Sequence& s = *sequences_[i];
    target_.keep(s.slot, s.cached);
    for (auto& drafter : drafters_) drafter->roll_back(s.slot, length_before_[i], 0);
  }
  return false;
}

void Step::accept() {
  accepted_.clear();
  for (size_t i = 0; i < sequences_.size(); ++i) {
    Sequence& s = *sequences_[i];
    const int first = first_row_[i];
    float* logits = nullptr;
    const auto read = [&](size_t row) {
      logits = target_.logits(first + static_cast<int>(row));
      s.look(logits);
    };
    const auto emit = [&](int32_t token) { return token < 0 ? end_at_bad_row(s) : s.emit(token, logits); };
    const auto sample = [&](size_t row) { return read(row), s.pick(logits, row); };
    if (s.tree.beside() > 0) {
      accepted_.push_back(accept_tree(s.tree, sample, emit));
    } else {
      accepted_.push_back({accept_chain(std::span<const int32_t>(s.draft.tokens).first(s.verified), sample, emit)});
    }
  }
  bool answer_wanted = false;
  // JavaScript that is woken for one plan is asked for others soon due: many sequences would wake it at every step.
  const bool is_asking = std::any_of(sequences_.begin(), sequences_.end(), [this](const Sequence* s) {
    return s->request.asks && !s->over && !s->asked_early && is_due(*s);
  });
  for (size_t i = 0; i < sequences_.size(); ++i) {
    tell(*sequences_[i], accepted_[i], is_asking);
    answer_wanted |= sequences_[i]->awaits || sequences_[i]->asked_early;
  }
  // JavaScript runs on a core that a decode wants too: where it isn't asked, it is woken for several steps at once.
  const double now = now_ms();
  if (!answer_wanted && now - flushed_ms_ < (listener_.is_followed() ? kQuietMs : kUnheardMs)) return;
  listener_.flush();
  flushed_ms_ = now_ms();
  // Not only the wait counts as crossing: the call that wakes JavaScript may hand it this very core.
  crossing_ms_ = flushed_ms_ - now;
}

void Step::roll_back() {
  for (size_t i = 0; i < sequences_.size(); ++i) {
    Sequence& s = *sequences_[i];
    const int kept = accepted_[i].chain;
    s.cached = length_before_[i] + kept;
    if (s.tree.beside() > 0) {
      s.tree.fork_depths(forks_);
      for (int& fork : forks_) fork += length_before_[i];
      target_.join(s.slot, s.cached, forks_);
    } else if (kept < s.verified) {
      target_.keep(s.slot, s.cached);
    }
    for (auto& drafter : drafters_) drafter->roll_back(s.slot, length_before_[i], kept);
  }
}

void Step::tell(Sequence& s, const AcceptedPath& accepted, bool is_asking) {
  StepReport report = s.report(accepted);
  if (!drafters_.empty()) report.drafter_lag = drafters_[drafter_of(s)]->lag(s.slot, static_cast<int>(s.tokens.size()));
  report.running = running_;
  report.waiting = waiting_;
  report.last = s.over;
  const bool was_asked = std::exchange(s.asked_early, false);
  s.awaits = false;
  if (s.request.asks && !s.over) {
    if (was_asked) {
      desk_.press(s.slot);
      s.awaits = true;
    } else if (is_due(s) || (is_asking && 2 * s.held <= s.plan.steps)) {
      // Where the last plan holds for a step more, JavaScript thinks beside that step, and nothing waits for it.
      s.asked_early = s.held > 0;
      s.awaits = !s.asked_early;
      s.planned_for = running_;
      report.asked = true;
      report.question = desk_.ask(s.slot, s.asked_early);
    }
  }
  s.held = std::max(0, s.held - 1);
  listener_.on_step(s.request.id, s.slot, std::move(report));
}

}  // namespace adaptive_spec
