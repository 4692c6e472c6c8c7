// One proposal per accepted text, as long as may be; plans take from it what they want.
#include "draft/common_drafter.h"

#include <common.h>
#include <speculative.h>

#include <algorithm>
#include <cmath>

#include "engine/clock.h"

namespace adaptive_spec {
namespace {

constexpr char kShared[] = "ngram-mod";

const Signals kUntold{.probability = NAN, .margin = NAN, .entropy = NAN, .origin = Origin::kNgram};

}  // namespace

const std::vector<std::string>& CommonDrafter::names() {
  static const std::vector<std::string> names = {"ngram-simple", "ngram-map-k", "ngram-map-k4v", kShared,
                                                 "ngram-cache"};
  return names;
}

CommonDrafter::CommonDrafter(const std::string& name, int parallel, int max_depth,
                             const std::vector<int32_t>& never)
    : name_(name), parallel_(parallel), max_depth_(max_depth), never_(never), texts_(parallel) {}

CommonDrafter::~CommonDrafter() = default;

void CommonDrafter::Deleter::operator()(common_speculative* p) const { common_speculative_free(p); }

std::unique_ptr<common_speculative, CommonDrafter::Deleter> CommonDrafter::make(int sequences) const {
  common_params_speculative params;
  params.types = {common_speculative_type_from_name(name_)};
  // None is asked for more than `max_depth`, and a plan may ask for less than the least of ngram-mod, which is 48.
  // ngram-simple proposes nothing where its longest draft is shorter than what it looks for.
  for (auto* map : {&params.ngram_simple, &params.ngram_map_k, &params.ngram_map_k4v})
    map->size_m = std::max(map->size_n, static_cast<uint16_t>(max_depth_));
  params.ngram_mod.n_max = max_depth_;
  params.ngram_mod.n_min = 0;
  return std::unique_ptr<common_speculative, Deleter>(
      common_speculative_init(params, static_cast<uint32_t>(sequences)));
}

void CommonDrafter::propose(int seq, std::span<const int32_t> accepted) {
  Text& text = texts_[seq];
  const bool is_shared = name_ == kShared;
  auto& owner = is_shared ? shared_ : text.own;
  if (!owner) owner = make(is_shared ? parallel_ : 1);
  const llama_seq_id id = is_shared ? seq : 0;
  if (text.proposed_at > 0) judge(text, owner.get(), id, accepted);
  text.read.insert(text.read.end(), accepted.begin() + static_cast<int64_t>(text.read.size()), accepted.end() - 1);
  if (text.proposed_at == 0) common_speculative_begin(owner.get(), id, text.read);
  text.proposal.clear();
  text.proposed_at = accepted.size();
  common_speculative_get_draft_params(owner.get(), id) = {.drafting = true,
                                                          .n_max = max_depth_,
                                                          .pos0 = static_cast<llama_pos>(text.read.size()),
                                                          .id_last = accepted.back(),
                                                          .prompt = &text.read,
                                                          .result = &text.proposal};
  common_speculative_draft(owner.get());
}

void CommonDrafter::judge(const Text& text, common_speculative* drafter, int id,
                          std::span<const int32_t> accepted) const {
  const std::span<const int32_t> came = accepted.subspan(text.proposed_at);
  const auto [wrong, instead] = std::mismatch(text.proposal.begin(), text.proposal.end(), came.begin(), came.end());
  // A plan may have taken less of it than was proposed: what nobody has seen is neither right nor wrong.
  if (text.proposal.empty() || (instead == came.end() && wrong != text.proposal.end())) return;
  common_speculative_accept(drafter, id, static_cast<uint16_t>(wrong - text.proposal.begin()));
}

void CommonDrafter::extend(std::span<Draft*> drafts) {
  for (Draft* draft : drafts) {
    if (!draft->wants_any()) continue;
    const double start = now_ms();
    Text& text = texts_[draft->seq];
    if (text.proposed_at != draft->accepted.size()) propose(draft->seq, draft->accepted);
    while (draft->take_forced(), draft->wants_any()) {
      // What was drafted before may be a part of the proposal, or not: forced by a grammar, or, where the plan has changed
      // the drafter, another's.
      const size_t at = draft->tokens.size();
      const bool goes_on = at < text.proposal.size() &&
                           std::equal(draft->tokens.begin(), draft->tokens.end(), text.proposal.begin());
      const bool is_never = goes_on && draft->mask_eog &&
                            std::find(never_.begin(), never_.end(), text.proposal[at]) != never_.end();
      if (!goes_on || is_never)
        draft->stopped = true;
      else
        draft->offer(text.proposal[at], kUntold);
    }
    draft->draft_ms += now_ms() - start;
  }
}

void CommonDrafter::end(int seq, int) { texts_[seq] = {}; }

}  // namespace adaptive_spec
