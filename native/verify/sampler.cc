// The target's sampler: argmax where that is all, llama.cpp's chain otherwise.
#include "verify/sampler.h"

#include <limits>

#include "kernels/logits.h"

namespace adaptive_spec {
namespace {

// Tokens that are looked at one by one before a row is masked as a whole, which takes as long as some hundred.
constexpr int kOthers = 16;

}  // namespace

SamplerChain llama_chain(const SamplingParams& params, int n_vocab) {
  SamplerChain chain(llama_sampler_chain_init({.no_perf = true}));
  const auto add = [&](llama_sampler* sampler) { llama_sampler_chain_add(chain.get(), sampler); };
  if (params.penalizes())
    add(llama_sampler_init_penalties(n_vocab, params.penalty_last_n, params.repeat_penalty, params.frequency_penalty,
                                     params.presence_penalty));
  if (params.temperature <= 0) {
    add(llama_sampler_init_greedy());
    return chain;
  }
  if (params.top_k > 0) add(llama_sampler_init_top_k(params.top_k));
  if (params.top_p < 1) add(llama_sampler_init_top_p(params.top_p, 1));
  if (params.min_p > 0) add(llama_sampler_init_min_p(params.min_p, 1));
  add(llama_sampler_init_temp(params.temperature));
  // llama.cpp takes this one seed as the wish for a random one, which would give a new text each time.
  constexpr uint32_t kInstead = 0x5EED5EED;
  add(llama_sampler_init_dist(params.seed == LLAMA_DEFAULT_SEED ? kInstead : params.seed));
  return chain;
}

Sampler::Sampler(const SamplingParams& params, std::span<const int32_t> prompt, std::vector<int32_t> masked,
                 int n_vocab, Grammar* grammar)
    : masked_(std::move(masked)), n_vocab_(n_vocab), grammar_(grammar) {
  if (params.temperature <= 0 && !params.penalizes()) return;
  chain_ = llama_chain(params, n_vocab);
  for (int32_t token : prompt) llama_sampler_accept(chain_.get(), token);
  if (Shortlist::serves(params, n_vocab)) shortlist_.emplace(params, n_vocab);
}

int32_t Sampler::sample(float* logits) {
  for (int32_t id : masked_) logits[id] = -std::numeric_limits<float>::infinity();
  int32_t token = pick(logits);
  if (grammar_ && token >= 0 && !grammar_->allows(token)) token = pick_legal(logits, token);
  if (token < 0) return token;
  if (chain_) llama_sampler_accept(chain_.get(), token);
  if (grammar_) grammar_->accept(token);
  return token;
}

// As llama.cpp has it: where the token that was picked without the grammar is illegal, the row is masked and the
// whole chain picks again. Greedy comes to the same by looking at the next best tokens first.
int32_t Sampler::pick_legal(float* logits, int32_t illegal) {
  for (int others = 0; !chain_ && illegal >= 0 && others < kOthers; ++others) {
    logits[illegal] = -std::numeric_limits<float>::infinity();
    illegal = argmax(logits, n_vocab_);
    if (illegal >= 0 && grammar_->allows(illegal)) return illegal;
  }
  grammar_->mask(logits);
  const int32_t token = pick(logits);
  is_stuck_ = token < 0;
  return token;
}

int32_t Sampler::pick(float* logits) {
  if (!chain_) return argmax(logits, n_vocab_);
  if (shortlist_) {
    const Shortlist::Outcome outcome = shortlist_->shorten(logits);
    if (outcome == Shortlist::Outcome::kBadRow) return -1;
    if (outcome == Shortlist::Outcome::kShort) return draw(shortlist_->entries(), shortlist_->links_done());
  }
  if (argmax(logits, n_vocab_) < 0) return -1;
  whole_row_.resize(n_vocab_);
  for (int32_t id = 0; id < n_vocab_; ++id) whole_row_[id] = {id, logits[id], 0};
  return draw({whole_row_.data(), whole_row_.size(), -1, false}, 0);
}

int32_t Sampler::draw(llama_token_data_array row, int first) {
  for (int link = first; link < llama_sampler_chain_n(chain_.get()); ++link)
    llama_sampler_apply(llama_sampler_chain_get(chain_.get(), link), &row);
  return row.data[row.selected].id;
}

}  // namespace adaptive_spec
